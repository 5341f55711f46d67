"""What is collected in the stages of a run, and how long they train on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from ..errors import UserError
from ..trajectories import TrajectoryStore

_COUNTED = {
    "images": ("image", "image_trajectories", "captions"),
    "texts": ("text", "text_trajectories", "questions"),
}
"""Of each kind of trajectories: their stream, what a stage calls their number, and for what they
are collected."""


@dataclass(frozen=True)
class StageOfRun:
    """What of a stage decides what is collected in it.

    A stage whose first round trains on stored trajectories, and whose later ones collect, is two.

    Attributes:
        epochs: Passes over its trajectories.
        rounds: How often the teacher is renewed.
        images: Image trajectories of a round.
        texts: Text trajectories of a round.
        collects: Which of `images` and `texts` are collected, and not stored.
        sampling_steps: Denoising steps of an image.
        guided: Whether every image is computed twice.
        segments: Segments of image trajectories.
        text_steps: Denoising steps of an answer, where answers are denoised.
        text_guided: Whether every answer is computed twice, likewise.
        needs_base: Whether the model that the run started from generates images, too.
    """

    epochs: int
    rounds: int
    images: int
    texts: int
    collects: frozenset[str]
    sampling_steps: int
    guided: bool
    segments: int
    text_steps: int
    text_guided: bool
    needs_base: bool


def read_stages(
    stages: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    stored: Mapping[str, Any] | None,
    batches: Mapping[str, int],
) -> tuple[StageOfRun, ...]:
    """Read the stages of a curriculum.

    Args:
        stages: As the configuration has them.
        options: Of the module.
        stored: Folders of the stores that the first stage is given, by kind.
        batches: Samples of each stream; trajectories of a stream without any are not counted.

    Raises:
        UserError: If the number of a stage's trajectories is not known.
    """
    found: list[StageOfRun] = []
    for number, stage in enumerate(stages, 1):
        given = stage.get("trajectories") or (stored if number == 1 else None) or {}
        kinds = [kind for kind, (stream, *_) in _COUNTED.items() if batches.get(stream)]
        named = {kind: given[kind] for kind in kinds if given.get(kind)}
        for epochs, rounds, folders in _alike(stage, named):
            counts = {kind: _count(number, stage, kind, folders.get(kind)) for kind in kinds}
            found.append(
                _stage(stage, options, epochs, rounds, counts, frozenset(kinds) - folders.keys())
            )
    return tuple(found)


def begun_stages(
    stages: Sequence[StageOfRun], steps_of: Callable[[StageOfRun], int], most: int | None
) -> tuple[StageOfRun, ...]:
    """The stages that a run gets to, the last of them with the epochs and rounds that it begins.

    Args:
        stages: All of them.
        steps_of: Gives the optimizer steps of an epoch of a stage.
        most: Optimizer steps of the run at most.
    """
    if most is None:
        return tuple(stages)
    found: list[StageOfRun] = []
    left = most
    for stage in stages:
        if left <= 0:
            break
        epochs = min(stage.epochs, -(-left // steps_of(stage)))
        rounds = -(-stage.rounds * epochs // stage.epochs)
        found.append(replace(stage, epochs=epochs, rounds=rounds))
        left -= epochs * steps_of(stage)
    return tuple(found)


def _alike(
    stage: Mapping[str, Any], named: Mapping[str, Any]
) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    """Epochs, rounds and stores of the rounds that are alike: only the first one has stores."""
    refresh, epochs = int(stage.get("refresh_every_n_epochs") or 0), int(stage["epochs"])
    length = min(refresh or epochs, epochs)
    if named:
        yield length, 1, named
        epochs -= length
    if epochs:
        yield epochs, -(-epochs // length), {}


def _count(number: int, stage: Mapping[str, Any], kind: str, folder: Any) -> int:
    """Trajectories of a kind in a round: those in a store, or those that are collected.

    Raises:
        UserError: If all are collected that the data has, or the store is not there.
    """
    _, name, asked_for = _COUNTED[kind]
    count = stage.get(name)
    if folder is not None and Path(folder).is_dir():
        store = TrajectoryStore.inspect(folder)
        return store.num_samples if store.complete else store.identity.num_prompts
    if count is None:
        where = f"all {asked_for} of the data" if folder is None else f"{folder}, which is missing"
        raise UserError(
            f"stage {number} trains on trajectories of {where}, and plan needs their number; name "
            f"it in {name} of the stage"
        )
    groups = int(stage.get("images_per_caption") or 1) if kind == "images" and not folder else 1
    return int(count) * groups


def _stage(
    stage: Mapping[str, Any],
    options: Mapping[str, Any],
    epochs: int,
    rounds: int,
    counts: Mapping[str, int],
    collects: frozenset[str],
) -> StageOfRun:
    sampling = {**options["teacher_sampling"], **_changes(stage, "sampling")}
    decoding = options.get("teacher_decoding") or options["decoding"]
    decoding = {**decoding, **_changes(stage, "decoding")}
    return StageOfRun(
        epochs=epochs,
        rounds=rounds,
        images=counts.get("images", 0),
        texts=counts.get("texts", 0),
        collects=collects,
        sampling_steps=int(sampling["sampling_steps"]),
        guided=float(sampling["guidance_scale"] or 0) > 0,
        segments=int(stage["image_segments"]),
        text_steps=int(decoding.get("sampling_steps") or decoding["max_new_tokens"]),
        text_guided=float(decoding.get("guidance_scale") or 0) > 0,
        needs_base="images" in collects and names_base(stage.get("source")),
    )


def names_base(source: Any) -> bool:
    """Whether a source of images, or one within it, has the base as its network."""
    if isinstance(source, list):
        return any(map(names_base, source))
    if not isinstance(source, Mapping) or "class_path" not in source:
        return False
    kind, given = resolve_name(source["class_path"]), source.get("init_args") or {}
    own = given.get("network") or getattr(kind, "network", None)
    return own == "base" or any(map(names_base, given.values()))


def _changes(stage: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in (stage.get(name) or {}).items() if value is not None}
