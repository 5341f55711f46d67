"""Trajectories that were collected before, as the input of a training."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..models.image_input import ImageInput
from ..sampling.image_sampling import ImageSampling
from .dataset import open_texts
from .model_identity import ModelIdentity
from .segments import check_recorded
from .store import TrajectoryStore

_TOKENIZERS = {"text_tokenizer": "text tokenizer", "image_tokenizer": "image tokenizer"}


@dataclass(frozen=True)
class Training:
    """What a training asks of the trajectories that it is given.

    Args:
        model: The model that is trained.
        teacher: Fingerprint of the teacher; None while it is not known.
        sampling: How the training says that the teacher was sampled.
        image_segments: Segments that image trajectories are going to be cut into.
        image_input: How images are given to the model when it is asked about them.
    """

    model: ModelIdentity
    teacher: str | None
    sampling: ImageSampling
    image_segments: int
    image_input: ImageInput


@dataclass(frozen=True)
class StoredTrajectories:
    """Stores to train on that `showo-turbo collect` made, in place of collecting.

    What is not named is collected as ever.

    Args:
        images: Folder of a store of image trajectories, such as `data/trajectories/images`.
        texts: Folder of a store of text trajectories, such as `data/trajectories/texts`.
        on_mismatch: What to do where another teacher made a store, or another tokenizer or other
            settings than the stage's were used: raise, or warn. Stores of another architecture
            or of other sizes are always refused.

    Raises:
        UserError: If neither is named.
    """

    images: Path | None = None
    texts: Path | None = None
    on_mismatch: Literal["raise", "warn"] = "raise"

    def __post_init__(self) -> None:
        if self.images is None and self.texts is None:
            raise UserError(
                "trajectories name no store; expected images, texts or both, the folders that "
                "collect made, name one or leave trajectories out"
            )

    def folder(self, kind: str) -> Path | None:
        """The folder of a kind of store, `images` or `texts`, if it is named."""
        return self.images if kind == "images" else self.texts

    def open(
        self, kind: str, training: Training, warn: Callable[[str], None], verify: bool = True
    ) -> TrajectoryStore:
        """Open a store that is named, if a training can use it.

        Args:
            kind: `images` or `texts`.
            training: What is asked of the store.
            warn: Called with each mismatch that is accepted.
            verify: Whether to compare the shards' checksums, which reads them once.

        Raises:
            UserError: If it is not a finished, complete store of this kind, or does not fit.
        """
        folder = self.folder(kind)
        assert folder is not None  # whoever asks has looked
        store = TrajectoryStore.open(folder, kind=kind, verify=verify)
        identity = store.identity
        _check_sizes(store, training.model)
        if kind == "texts":
            _check_images(store, training.image_input)
        if kind == "images":
            steps = identity.settings.get("sampling.sampling_steps")
            segments = identity.settings.get("segments")
            if steps != training.sampling.sampling_steps:
                raise UserError(
                    f"{folder} was collected with sampling_steps {steps}, but the stage says "
                    f"{training.sampling.sampling_steps}; set sampling_steps to {steps}, or name "
                    "another store"
                )
            if type(steps) is int and type(segments) is int and segments > 0:
                try:
                    check_recorded(training.image_segments, steps, segments)
                except UserError as error:
                    raise UserError(f"{folder}: {error}") from None
        for mismatch in _mismatches(store, training):
            if self.on_mismatch == "raise":
                raise UserError(
                    f"{folder} {mismatch}; name another store, or accept it with on_mismatch: warn"
                )
            warn(f"{folder} {mismatch}; it is trained on nevertheless")
        return store


def _check_sizes(store: TrajectoryStore, model: ModelIdentity) -> None:
    """Raise if trajectories do not fit a model.

    Raises:
        UserError: Naming the architecture or the size that differs.
    """
    for field in fields(ModelIdentity):
        theirs, ours = getattr(store.identity.model, field.name), getattr(model, field.name)
        if field.name not in _TOKENIZERS and theirs != ours:
            raise UserError(
                f"{store.folder} was collected with {field.name} {theirs or 'unknown'}, but the "
                f"model's is {ours}; collect with this model, or name another store"
            )


def _check_images(store: TrajectoryStore, image_input: ImageInput) -> None:
    """Raise if texts are about images that are not given as a model reads them.

    Raises:
        UserError: Naming what they are given as.
    """
    if not store.num_samples:
        return
    if fault := image_input.misfit(open_texts(store)[0].image):
        raise UserError(
            f"{store.folder} holds images as {fault}; collect with this model, or name another "
            "store"
        )


def _mismatches(store: TrajectoryStore, training: Training) -> Iterator[str]:
    """What differs that a user may accept, one phrase for each."""
    identity = store.identity
    if training.teacher is not None and identity.teacher != training.teacher:
        yield (
            f"was made by teacher {identity.teacher[:12]}..., but the teacher is "
            f"{training.teacher[:12]}..."
        )
    for name, words in _TOKENIZERS.items():
        theirs, ours = getattr(identity.model, name), getattr(training.model, name)
        if theirs is not None and ours is not None and theirs != ours:
            yield (
                f"was collected with {words} {theirs[:12] or 'unknown'}..., but the {words} is "
                f"{ours[:12]}..."
            )
    sampling = asdict(training.sampling.resolved) if identity.kind == "images" else {}
    for name, asked in sampling.items():
        used = identity.setting(f"sampling.{name}")
        if used != asked:
            yield f"was collected with {name} {used}, but the stage says {asked}"
