"""What generates the images that a student is trained towards."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from ..models.protocols import ImageModel
from ..sampling.changes import Changes
from .record import ImageTrajectory

if TYPE_CHECKING:
    from .image_collector import ImageCollection, ImagePrompt

ADDED = "added"
"""In the metadata of a field that a source did not have at first: at its default it does not count
in the identity, so that stores from before are still those of such a source."""

Network = Literal["teacher", "base"]
"""The round's teacher, which is the student as it was when the round began; or the model that the
run started from."""


@dataclass(frozen=True)
class Collecting:
    """What sources generate with.

    Attributes:
        networks: By name, see `Network`; in evaluation mode.
        settings: Of the collection; its sampling is the stage's.
        decode: Turns codes `(batch, image tokens)` into pixels; None without an image tokenizer.
        prompts: All prompts of the collection.
    """

    networks: Mapping[str, ImageModel]
    settings: "ImageCollection"
    decode: Callable[[Tensor], Tensor] | None = None
    prompts: Sequence["ImagePrompt"] = ()


class ImageSource(ABC):
    """Generates images for prompts, as trajectories. One of your own is a subclass, in the YAML.

    What it generates must be a function of its arguments, so that neither the batches nor an
    interruption changes a store.
    """

    @property
    def needs_base(self) -> bool:
        """Whether it generates with the model that the run started from."""
        return False

    def check(  # noqa: B027
        self, settings: "ImageCollection", model: ImageModel, captions: Sequence[str] = ()
    ) -> None:
        """Look for what cannot be generated, before anything is.

        Args:
            settings: Of the collection.
            model: Of the architecture and size that generates.
            captions: What to generate.

        Raises:
            UserError: Naming the value and its range.
        """

    @abstractmethod
    def draw(
        self, collecting: Collecting, prompts: Sequence["ImagePrompt"], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt.

        Args:
            collecting: The networks, and how trajectories are recorded.
            prompts: What to generate.
            seeds: One a prompt.

        Returns:
            For each prompt a trajectory, or None if it is left out.
        """

    def identity(self) -> str:
        """All that determines what is generated, apart from the networks, as canonical JSON."""
        return json.dumps(_describe(self), sort_keys=True)


def _describe(value: Any) -> Any:
    """Plain JSON that determines an object."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_describe(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(name): _describe(entry) for name, entry in value.items()}
    if isinstance(value, Changes):
        return {name: entry for name, entry in asdict(value).items() if entry is not None}
    found = (
        {own.name: getattr(value, own.name) for own in fields(value) if not _is_unused(value, own)}
        if is_dataclass(value)
        else {name: entry for name, entry in vars(value).items() if not name.startswith("_")}
    )
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return {"class": kind} | {name: _describe(entry) for name, entry in found.items()}


def _is_unused(value: Any, own: Field[Any]) -> bool:
    """Whether a field is a later addition, and has its default."""
    return ADDED in own.metadata and getattr(value, own.name) == own.default
