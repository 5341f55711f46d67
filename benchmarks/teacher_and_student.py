"""What the benchmarks of a teacher and its distilled student share: options, models, sampling."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ability_rows import FILE, floors

from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.image_sampling import ImageSampling, RevealOrder


def options_of(
    description: str | None, cases: str, count: int, guidance: float = 1.0
) -> argparse.ArgumentParser:
    """The options of such a benchmark.

    Args:
        description: Of the benchmark.
        cases: What it is measured on, in the plural; names an option.
        count: How many of them by default.
        guidance: Of the teacher by default.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", required=True, help="folder of the model that was trained")
    parser.add_argument("--student", help="folder of a distilled one")
    parser.add_argument(f"--{cases}", type=int, default=count, help=f"held-out ones ({count})")
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 4], help="(16 4)")
    parser.add_argument(
        "--guidance", type=float, default=guidance, help=f"of the teacher ({guidance:g})"
    )
    parser.add_argument("--output", type=Path, default=FILE)
    return parser


def pipelines_of(options: argparse.Namespace) -> Iterator[tuple[str, ShowoPipeline]]:
    """The teacher and, if there is one, the student, by their names."""
    for name, model in (("teacher", options.teacher), ("student", options.student)):
        if model is not None:
            yield name, ShowoPipeline.from_pretrained(model)


def sampling_of(
    name: str, pipeline: ShowoPipeline, steps: int, guidance: float, order: RevealOrder
) -> ImageSampling:
    """How a model samples in so many steps: a student as it has learned to, a teacher greedily."""
    sampling = replace(pipeline.sampling, sampling_steps=steps)
    if name == "student":
        return sampling
    return replace(
        sampling,
        guidance_scale=guidance,
        reveal_order=order,
        token_temperature=0.0,
        confidence_temperature=0.0,
    )


def kept(scores: Mapping[tuple[str, int], float], floor: float) -> dict[str, float]:
    """What the teacher reaches in most steps, and which part of it the student in fewest.

    Args:
        scores: By model and number of steps.
        floor: What the teacher should reach.
    """
    steps = sorted(count for _, count in scores) or [0]
    teacher = scores.get(("teacher", steps[-1]))
    return floors(teacher, floor, scores.get(("student", steps[0])))
