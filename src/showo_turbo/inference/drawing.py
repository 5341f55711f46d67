"""What is to be generated: images of prompts here; changes of images in modules of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..data.images import to_images
from ..errors import UserError
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import decode_image_codes
from .loaded_model import LoadedModel
from .results import DrawnImages, GeneratedImages, Statistics

Result = TypeVar("Result", bound=DrawnImages, covariant=True)


@dataclass(frozen=True)
class Checked(Generic[Result]):
    """A task that has been found to be right.

    Attributes:
        longest_prompt: Most ids of a prompt.
        draw: Generates the images with some indices, each with its seed.
    """

    longest_prompt: int
    draw: Callable[[Sequence[int], Sequence[int]], Result]


class DrawingTask(Protocol[Result]):
    """Images to generate, in batches of any size."""

    def __len__(self) -> int:
        """How many images."""

    def prepare(self, model: LoadedModel, sampling: ImageSampling) -> Checked[Result]:
        """Check everything, before anything is generated.

        Args:
            model: Generates the images.
            sampling: How; it has been checked.

        Raises:
            UserError: If anything of the task is wrong.
        """


@dataclass(frozen=True)
class Prompts:
    """Texts of images: what to generate, and what guidance moves away from.

    Args:
        texts: One an image.
        negative: One an image, None for the model's empty prompt; by default that for all.
    """

    texts: Sequence[str]
    negative: Sequence[str | None] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def encode(self, model: LoadedModel, sampling: ImageSampling) -> "PromptIds":
        """The ids.

        Raises:
            UserError: If one is too long or means nothing to the model, or there are negative ones
                of another number or without guidance.
        """
        return PromptIds(
            model.encode_prompts(self.texts),
            encode_negative(model, sampling, self.negative, len(self)),
        )


@dataclass(frozen=True)
class PromptIds:
    """Ids of prompts.

    Attributes:
        ids: Of what to generate, one list per image.
        negative: Of what guidance moves away from; None for the model's empty prompt.
    """

    ids: Sequence[Sequence[int]]
    negative: Sequence[Sequence[int]] | None

    @property
    def longest(self) -> int:
        """Most ids of a prompt."""
        return max(map(len, [*self.ids, *(self.negative or ())]))

    def of(self, indices: Sequence[int]) -> "PromptIds":
        """Those of some images."""
        negative = None if self.negative is None else [self.negative[i] for i in indices]
        return PromptIds([self.ids[i] for i in indices], negative)


def encode_negative(
    model: LoadedModel, sampling: ImageSampling, texts: Sequence[str | None] | None, images: int
) -> list[Sequence[int]] | None:
    """Ids of negative prompts, the model's empty prompt where one is None.

    Args:
        model: The model.
        sampling: How it samples.
        texts: One an image.
        images: How many images there are.

    Returns:
        One list an image; None if there are none.

    Raises:
        UserError: If there are more or fewer, or there is no guidance that could use them.
    """
    if texts is None or all(text is None for text in texts):
        return None
    if len(texts) != images:
        raise UserError(
            f"there are {len(texts)} negative prompts for {images} images; give one for each, or "
            "one text for all"
        )
    if not sampling.guided:
        raise UserError(
            "there is a negative prompt, but guidance_scale is 0, so that it changes nothing; "
            "raise guidance_scale or leave it out"
        )
    given = iter(model.encode_prompts([text for text in texts if text is not None]))
    return [model.network.null_prompt if text is None else next(given) for text in texts]


def forwards_of(sampling: ImageSampling, rounds: int) -> int:
    """Forwards of an image that is decoded in full so many times; see `Statistics`."""
    return (2 if sampling.guided else 1) * sampling.sampling_steps * rounds


@dataclass(frozen=True)
class Generation:
    """New images.

    Args:
        prompts: One an image.
    """

    prompts: Prompts

    def __len__(self) -> int:
        return len(self.prompts)

    def prepare(self, model: LoadedModel, sampling: ImageSampling) -> Checked[GeneratedImages]:
        """Check the prompts; see `DrawingTask`."""
        ids = self.prompts.encode(model, sampling)

        def draw(indices: Sequence[int], seeds: Sequence[int]) -> GeneratedImages:
            own = ids.of(indices)
            codes, seconds = model.timed(
                lambda: decode_image_codes(
                    model.network, own.ids, sampling, seeds, None, own.negative
                )
            )
            forwards = len(indices) * forwards_of(sampling, 1)
            return GeneratedImages(
                images=to_images(model.decode_images(model.as_grids(codes))),
                codes=codes.cpu(),
                seeds=list(seeds),
                statistics=Statistics(len(indices), codes.numel(), forwards, seconds),
            )

        return Checked(ids.longest, draw)
