"""Sources of images: networks that sample them, mixtures, and images that are verified."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..errors import UserError, check_kind
from ..models.protocols import ImageModel
from ..sampling.image_sampling import SamplingChanges
from ..utils.random import stateless_seed, uniform
from .checker import Checker, marks_of
from .image_collector import ImageCollection, ImagePrompt, record_images
from .record import ImageTrajectory
from .source import Collecting, ImageSource, Network


@dataclass(frozen=True)
class Sampled(ImageSource):
    """Images that one network samples.

    Args:
        sampling: What changes of how the stage samples.
        network: `teacher`, the student as it was when the round began, or `base`, the model that
            the run started from.
    """

    sampling: SamplingChanges = field(default_factory=SamplingChanges)
    network: Network = "teacher"

    @property
    def needs_base(self) -> bool:
        """Whether it generates with the model that the run started from."""
        return self.network == "base"

    def check(
        self, settings: ImageCollection, model: ImageModel, captions: Sequence[str] = ()
    ) -> None:
        """Look for what cannot be generated; see `ImageSource.check`."""
        changed_settings(settings, self.sampling).sampling.check(model.config)

    def draw(
        self, collecting: Collecting, prompts: Sequence[ImagePrompt], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt; see `ImageSource.draw`."""
        settings = changed_settings(collecting.settings, self.sampling)
        return record_images(collecting.networks[self.network], prompts, settings, seeds)


@dataclass(frozen=True)
class Wrapping(ImageSource):
    """Changes what one other source generates.

    Args:
        source: The other source.

    Raises:
        UserError: If it is of another kind.
    """

    source: ImageSource

    def __post_init__(self) -> None:
        check_kind(self.source, ImageSource, f"source of {type(self).__name__}")

    @property
    def needs_base(self) -> bool:
        """Whether the source generates with the model that the run started from."""
        return self.source.needs_base

    def check(
        self, settings: ImageCollection, model: ImageModel, captions: Sequence[str] = ()
    ) -> None:
        """Look for what cannot be generated; see `ImageSource.check`."""
        self.source.check(settings, model, captions)


@dataclass(frozen=True)
class Several(ImageSource):
    """Generates from several sources.

    Args:
        sources: The sources.

    Raises:
        UserError: If there are none.
    """

    sources: list[ImageSource]

    def __post_init__(self) -> None:
        if not self.sources:
            raise UserError("there are no sources of images; give at least one under `sources`")
        for source in self.sources:
            check_kind(source, ImageSource, "an entry of sources")

    @property
    def needs_base(self) -> bool:
        """Whether one of them generates with the model that the run started from."""
        return any(source.needs_base for source in self.sources)

    def check(
        self, settings: ImageCollection, model: ImageModel, captions: Sequence[str] = ()
    ) -> None:
        """Look for what cannot be generated; see `ImageSource.check`."""
        for source in self.sources:
            source.check(settings, model, captions)


@dataclass(frozen=True)
class Mixed(Several):
    """Images from several sources, one chosen at random for each prompt.

    Args:
        sources: The sources.
        shares: How often each is chosen, in proportion; all equally often by default.

    Raises:
        UserError: If the shares are not one weight for each source.
    """

    shares: list[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = self._weights()
        if len(shares) != len(self.sources) or min(shares) < 0 or sum(shares) <= 0:
            raise UserError(
                f"shares is {self.shares}; expected a weight of 0 or more for each of "
                f"{len(self.sources)} sources, at least one above 0"
            )

    def draw(
        self, collecting: Collecting, prompts: Sequence[ImagePrompt], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt; see `ImageSource.draw`."""
        chosen = [self._choose(seed) for seed in seeds]
        results: list[ImageTrajectory | None] = [None] * len(prompts)
        for number, source in enumerate(self.sources):
            fill(results, source, collecting, prompts, seeds, [c == number for c in chosen])
        return results

    def _weights(self) -> list[float]:
        return [1.0] * len(self.sources) if self.shares is None else self.shares

    def _choose(self, seed: int) -> int:
        weights = self._weights()
        left = uniform(seed, stream="source") * sum(weights)
        for number, weight in enumerate(weights):
            if left < weight:
                return number
            left -= weight
        return len(weights) - 1


@dataclass(frozen=True)
class FirstAccepted(Several):
    """Of several sources, tried in order, the first image that a checker accepts.

    Prompts without an accepted image are left out, and counted as `rejected`.

    Args:
        sources: Tried in order.
        checker: Says which images satisfy their prompts, such as `ShapesChecker`.
        tries: Images that each source generates of a prompt at most, from seeds of their own.

    Raises:
        UserError: If there are no sources or tries.
    """

    checker: Checker
    tries: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tries < 1:
            raise UserError(f"tries is {self.tries}; expected at least 1, correct it")

    def check(
        self, settings: ImageCollection, model: ImageModel, captions: Sequence[str] = ()
    ) -> None:
        """Look for what cannot be generated or judged; see `ImageSource.check`."""
        super().check(settings, model, captions)
        for caption in captions:
            if not self.checker.can_judge({"prompt": caption}):
                raise UserError(
                    f"{type(self.checker).__name__} cannot judge {caption!r}; expected captions "
                    "that it understands: leave others out with skip_prompts"
                )

    def draw(
        self, collecting: Collecting, prompts: Sequence[ImagePrompt], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt; see `ImageSource.draw`."""
        asked = [{"prompt": prompt.text} for prompt in prompts]
        accepted: list[ImageTrajectory | None] = [None] * len(prompts)
        for source in self.sources:
            for attempt in range(self.tries):
                tried = [attempt_seed(seed, attempt) for seed in seeds]
                missing = [record is None for record in accepted]
                if not any(missing):
                    return accepted
                found: list[ImageTrajectory | None] = [None] * len(prompts)
                fill(found, source, collecting, prompts, tried, missing)
                self._accept(collecting, asked, found, accepted)
        return accepted

    def _accept(
        self,
        collecting: Collecting,
        asked: Sequence[Mapping[str, Any]],
        found: Sequence[ImageTrajectory | None],
        accepted: list[ImageTrajectory | None],
    ) -> None:
        """Keep the images that satisfy their prompts."""
        assert collecting.decode is not None  # whoever collects for a checker has a tokenizer
        judged = [(place, record) for place, record in enumerate(found) if record is not None]
        if not judged:
            return
        codes = torch.stack([record.codes.long() for _, record in judged])
        of = [asked[place] for place, _ in judged]
        right = marks_of(self.checker, collecting.decode(codes), of)
        for (place, record), is_right in zip(judged, right, strict=True):
            if is_right:
                accepted[place] = record


def fill(
    results: list[ImageTrajectory | None],
    source: ImageSource,
    collecting: Collecting,
    prompts: Sequence[ImagePrompt],
    seeds: Sequence[int],
    wanted: Sequence[bool],
) -> None:
    """Put a source's images of the wanted prompts into their places."""
    places = [place for place, is_wanted in enumerate(wanted) if is_wanted]
    if places:
        drawn = source.draw(
            collecting, [prompts[place] for place in places], [seeds[place] for place in places]
        )
        for place, record in zip(places, drawn, strict=True):
            results[place] = record


def attempt_seed(seed: int, attempt: int) -> int:
    """The seed of one of several images of a prompt; the first one's is the prompt's own."""
    return seed if attempt == 0 else stateless_seed(seed, attempt, stream="attempt")


def changed_settings(settings: ImageCollection, changes: SamplingChanges) -> ImageCollection:
    """The settings of a network that samples with changes."""
    return replace(settings, sampling=changes.over(settings.sampling), source=None)
