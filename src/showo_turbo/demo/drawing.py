"""Images coming out of the mask, with the time that each step has taken."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from ..inference.pipeline import ShowoPipeline
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import denoise_images
from ..utils.images import to_bytes
from ..viz.film_strip import hide_masked

SMALLEST_SIDE = 288
"""Pixels that small images are enlarged to at least."""


@dataclass(frozen=True)
class Frame:
    """A state of an image.

    Attributes:
        step: How many steps have been done.
        milliseconds: How long all of them took.
        picture: The image, with masked patches gray.
    """

    step: int
    milliseconds: float
    picture: Image.Image


def drawing_frames(
    pipeline: ShowoPipeline, prompt: str, sampling: ImageSampling, seed: int
) -> list[Frame]:
    """Generate an image and keep every state of it.

    What turns codes into pixels is not counted: it is done once, whatever the number of steps.

    Args:
        pipeline: Generates it.
        prompt: What to generate.
        sampling: How.
        seed: Its seed.

    Returns:
        The masked image and the state after each step.

    Raises:
        UserError: If the prompt is too long or an option is out of range.
    """
    ids = pipeline.encode_prompts([prompt])
    next(denoise_images(pipeline.network, ids, sampling, [seed]))  # the first one is slower
    steps = denoise_images(pipeline.network, ids, sampling, [seed])
    mask = pipeline.network.mask_code
    shape = (1, pipeline.network.config.image_tokens)
    states, times = [torch.full(shape, mask, device=pipeline.device)], [0.0]
    while True:
        step, seconds = pipeline.timed(lambda: next(steps, None))
        if step is None:
            break
        states.append(step.codes)
        times.append(times[-1] + 1000 * seconds)
    images = _images(pipeline, torch.cat(states), mask)
    return [
        Frame(number, time, image)
        for number, (time, image) in enumerate(zip(times, images, strict=True))
    ]


def frame_at(frames: Sequence[Frame], milliseconds: float) -> Frame:
    """The last state that was reached by then."""
    return frames[max(0, bisect_right([frame.milliseconds for frame in frames], milliseconds) - 1)]


def enlarged(image: Image.Image) -> Image.Image:
    """A small image enlarged for viewing, without blurring."""
    scale = -(-SMALLEST_SIDE // max(image.size)) if max(image.size) < SMALLEST_SIDE else 1
    size = (image.width * scale, image.height * scale)
    return image.resize(size, Image.Resampling.NEAREST)


def _images(pipeline: ShowoPipeline, states: Tensor, mask: int) -> list[Image.Image]:
    """Images of codes `(states, image_tokens)`; what is masked is gray."""
    masked = states == mask
    # The last state has all codes: the others are parts of it.
    pixels = pipeline.decode_images(pipeline.as_grids(states[-1:]))[0].cpu()
    hidden = torch.stack([hide_masked(pixels, row) for row in masked.cpu()])
    return [enlarged(Image.fromarray(array)) for array in to_bytes(hidden)]
