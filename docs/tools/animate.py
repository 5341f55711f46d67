"""Draw the animated image of the front page: images coming out of the mask.

python docs/tools/animate.py          # writes docs/pictures/sampling.gif
"""

from pathlib import Path

import torch
from PIL import Image

from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import denoise_images
from showo_turbo.utils.images import to_bytes
from showo_turbo.viz.film_strip import hide_masked

PROMPTS = (
    "a photo of a red circle",
    "a photo of a blue square and a yellow triangle",
    "a photo of three squares",
    "a photo of a yellow circle",
    "a photo of a triangle right of a circle",
    "a photo of two crosses on a white background",
)
SCALE, GAP = 4, 6
FRAME_MS, PAUSE_MS = 140, 1800


def frames(pipeline: ShowoPipeline) -> list[Image.Image]:
    """All images side by side, one image per step, the masked one first."""
    sampling = ImageSampling(16, guidance_scale=1.0, reveal_order="halton")
    steps = list(denoise_images(pipeline.network, pipeline.encode_prompts(PROMPTS), sampling))
    pixels = pipeline.decode_images(pipeline.as_grids(steps[-1].codes))
    mask = pipeline.network.mask_code
    states = [torch.full_like(steps[0].codes, mask), *(step.codes for step in steps)]
    return [side_by_side(pixels, state == mask) for state in states]


def side_by_side(pixels: torch.Tensor, masked: torch.Tensor) -> Image.Image:
    """Images with their masked patches gray, enlarged, in one row on white."""
    side = pixels.shape[-1] * SCALE
    row = Image.new("RGB", (len(pixels) * (side + GAP) - GAP, side), "white")
    hidden = torch.stack([hide_masked(*one) for one in zip(pixels, masked, strict=True)])
    for index, array in enumerate(to_bytes(hidden)):
        enlarged = Image.fromarray(array).resize((side, side), Image.Resampling.NEAREST)
        row.paste(enlarged, (index * (side + GAP), 0))
    return row


def main() -> None:
    """Write the image."""
    drawn = frames(ShowoPipeline.from_pretrained("shapes"))
    first, last = drawn[0], drawn[-1]
    both = Image.new("RGB", (first.width, 2 * first.height))  # the mask's gray is in no last frame
    both.paste(first, (0, 0))
    both.paste(last, (0, first.height))
    palette = both.quantize(32)
    shown = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn]
    path = Path(__file__).parents[1] / "pictures" / "sampling.gif"
    durations = [FRAME_MS] * (len(shown) - 1) + [PAUSE_MS]
    shown[0].save(path, save_all=True, append_images=shown[1:], duration=durations, loop=0)
    print(f"written: {path}, {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
