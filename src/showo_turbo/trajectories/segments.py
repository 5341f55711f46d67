"""Cutting trajectories into segments, and drawing the point of a trajectory to train from.

Consistency is asked for within a segment only: a few short jumps are easier to learn than one over
the whole trajectory, and later stages use fewer segments. Source: Show-o Turbo (arXiv 2502.05415);
multistep consistency models (arXiv 2403.06807).
"""

from ..errors import UserError, shown
from ..utils.random import stateless_seed

MOST_STEPS = 2**15 - 1
"""The step that reveals a token is recorded in 16 bits."""


def check_segments(steps: int, segments: int) -> None:
    """Check that a trajectory of `steps` steps can be cut into `segments` equal segments.

    Raises:
        UserError: If not.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise UserError(
            f"steps is {shown(steps)}; expected at least 1 and at most {MOST_STEPS:,}; set the "
            "number of sampling steps"
        )
    if segments < 1 or steps % segments:
        divisors = ", ".join(str(d) for d in range(1, steps + 1) if steps % d == 0)
        raise UserError(
            f"{shown(segments)} segments do not divide {steps} steps; choose segments from "
            f"{divisors}"
        )


def check_recorded(segments: int, steps: int, recorded: int) -> None:
    """Check that training may cut trajectories into `segments` that were recorded for others.

    The regularizer's targets at a segment's end must have been recorded there.

    Args:
        segments: Number of segments to cut into.
        steps: Number of steps of the trajectories.
        recorded: Number of segments at whose ends the teacher's distributions were recorded.

    Raises:
        UserError: If the ends of the segments are not among the recorded ones.
    """
    if segments < 1 or recorded % segments:
        possible = ", ".join(str(d) for d in range(1, recorded + 1) if recorded % d == 0)
        raise UserError(
            f"{shown(segments)} segments are asked of image trajectories of {steps} steps that "
            f"were recorded for {recorded}; expected one of {possible}, since the teacher's "
            "distributions were not kept at the ends of others: choose one of them, or collect "
            "with more segments"
        )


def segment_ends(steps: int, segments: int) -> list[int]:
    """Return the last state of each segment, such as `[4, 8, 12, 16]` for 16 steps in 4 segments.

    Raises:
        UserError: If the segments do not divide the steps.
    """
    check_segments(steps, segments)
    length = steps // segments
    return list(range(length, steps + 1, length))


def segment_index(k: int, steps: int, segments: int) -> int:
    """Return which segment, from 0, a jump from state `k` (`0 .. steps - 1`) belongs to.

    Raises:
        UserError: If the segments do not divide the steps.
        ValueError: If `k` is not the start of a step.
    """
    check_segments(steps, segments)
    if not 0 <= k < steps:
        raise ValueError(f"k is {k}; expected 0 to {steps - 1}, a state before the last")
    return k * segments // steps


def segment_end(k: int, steps: int, segments: int) -> int:
    """Return `e`, the last state of the segment that a jump from state `k` belongs to.

    Raises:
        UserError: If the segments do not divide the steps.
        ValueError: If `k` is not in `0 .. steps - 1`.
    """
    return (segment_index(k, steps, segments) + 1) * (steps // segments)


def target_state(k: int, steps: int, segments: int) -> int:
    """Return `t`, the state whose prediction a jump from state `k` is trained towards.

    It is the state at the end of k's segment, or, since nothing is masked after the last step, the
    last state with a masked token: `t = e` if `e < K`, else `K - 1`. As published.

    Raises:
        UserError: If the segments do not divide the steps.
        ValueError: If `k` is not in `0 .. steps - 1`.
    """
    return min(segment_end(k, steps, segments), steps - 1)


def iteration_segment(k: int, iterations: int, segments: int) -> tuple[int, int]:
    """Return the segment of Jacobi iterate `k` and the iterate that this segment ends with.

    The number of iterations differs from block to block, so segments are as even as whole numbers
    allow: segment `s` ends with iterate `floor(iterations * (s + 1) / segments)`. The last one ends
    with the fixed point; with fewer iterations than segments some are empty.

    Args:
        k: An iterate before the fixed point, `0 .. iterations - 1`.
        iterations: Number of iterations `J`; iterate `J` is the fixed point.
        segments: Number of segments.

    Raises:
        UserError: If there is no segment.
        ValueError: If `k` is out of range.
    """
    if segments < 1:
        raise UserError(f"{segments} text segments; expected at least 1; set segments for text")
    if not 0 <= k < iterations:
        raise ValueError(f"k is {k}; expected 0 to {iterations - 1}, before the fixed point")
    # The first s with floor(iterations * (s + 1) / segments) > k.
    segment = -(-(k + 1) * segments // iterations) - 1
    return segment, iterations * (segment + 1) // segments


def draw_step(seed: int, epoch: int, index: int, steps: int, stream: str = "") -> int:
    """Draw the state to train from, uniform over `0 .. steps - 1`.

    The draw is a hash of its arguments, with no state of a generator behind it, so that it is the
    same after a resume, on any number of devices and of workers.

    Args:
        seed: Seed of the run.
        epoch: Epoch of the training.
        index: Index of the sample in its data set.
        steps: Number of steps of the trajectory.
        stream: Name that makes draws for different purposes independent.

    Raises:
        ValueError: If `steps` is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; expected at least 1")
    return stateless_seed(seed, epoch, index, stream=stream) % steps
