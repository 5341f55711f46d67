"""Images that grow beyond their edges."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.protocols import ImageModel
from ..utils.random import stateless_seed
from .image_sampling import ImageSampling
from .options import seed_of_each
from .parallel import decode_image_codes
from .windows import Growth


@torch.no_grad()
def extrapolate_codes(
    model: ImageModel,
    prompts: Sequence[Sequence[Sequence[int]]],
    codes: Tensor,
    growths: Sequence[Growth],
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
    negative_prompts: Sequence[Sequence[int]] | None = None,
) -> list[Tensor]:
    """Grow images window by window, each in `sampling_steps` steps.

    Codes stay codes between the windows, and those that are known stay as they are, bit for bit.
    Images of a batch may grow in different ways. A sample depends on its own seed only, each of
    its windows on a seed that follows from it.

    Args:
        model: Network in eval mode.
        prompts: Ids of each sample, for each of its directions.
        codes: `(batch, image_tokens)` of the images, row by row.
        growths: How each of them grows.
        sampling: Options.
        seeds: One a sample; 0, 1, 2, ... by default.
        negative_prompts: Ids of each sample that guidance moves away from; see `denoise_images`.

    Returns:
        The codes `(rows, columns)` of each.

    Source: Show-o (arXiv 2408.12528) and its released inference script.
    """
    seeds = seed_of_each(seeds, len(codes))
    grids = [
        place(own, growth, model.mask_code) for own, growth in zip(codes, growths, strict=True)
    ]
    for turn in range(max(len(growth.windows) for growth in growths)):
        samples = [i for i, growth in enumerate(growths) if turn < len(growth.windows)]
        windows = [growths[i].windows[turn] for i in samples]
        squares = [
            growths[i].square(grids[i], window.row, window.column)
            for i, window in zip(samples, windows, strict=True)
        ]
        drawn = decode_image_codes(
            model,
            [prompts[i][window.direction] for i, window in zip(samples, windows, strict=True)],
            sampling,
            [stateless_seed(seeds[i], turn, stream="window") for i in samples],
            torch.stack([square.flatten() for square in squares]),
            None if negative_prompts is None else [negative_prompts[i] for i in samples],
        )
        for square, own in zip(squares, drawn, strict=True):
            square.copy_(own.view_as(square))
    return grids


def place(codes: Tensor, growth: Growth, elsewhere: int) -> Tensor:
    """The finished grid of which only the given square is known yet, `(rows, columns)`.

    Args:
        codes: `(image_tokens,)` of the square, row by row.
        growth: Where it lies.
        elsewhere: What stands in the place of all other codes.
    """
    grid = codes.new_full((growth.rows, growth.columns), elsewhere)
    square = growth.square(grid, growth.row, growth.column)
    square.copy_(codes.view_as(square))
    return grid
