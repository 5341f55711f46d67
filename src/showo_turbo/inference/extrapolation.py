"""Images that grow beyond their edges."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.images import to_images
from ..errors import UserError
from ..sampling.extrapolation import extrapolate_codes
from ..sampling.image_sampling import ImageSampling
from ..sampling.windows import Direction, plan_growth
from .drawing import Checked, PromptIds, encode_negative, forwards_of
from .image_sources import ImageSource, check_images
from .loaded_model import LoadedModel
from .results import ExtrapolatedImages, Statistics


@dataclass(frozen=True)
class Extrapolation:
    """Images that grow beyond their edges.

    Args:
        images: Files or Pillow images.
        directions: For each image where it grows, in this order.
        prompts: For each image one prompt for each of its directions, or a single one.
        negative: What guidance moves away from, one an image; see `Prompts`.
        offset: How many rows or columns fewer than half of them are kept; see `plan_growth`.
    """

    images: Sequence[ImageSource]
    directions: Sequence[Sequence[Direction]]
    prompts: Sequence[Sequence[str]]
    negative: Sequence[str | None] | None = None
    offset: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def prepare(self, model: LoadedModel, sampling: ImageSampling) -> Checked[ExtrapolatedImages]:
        """Check directions, prompts and images, which are read; see `DrawingTask`."""
        growths = [plan_growth(model.grid_side, own, self.offset) for own in self.directions]
        ids = [model.encode_prompts(self._prompts_of(index)) for index in range(len(self))]
        negative = encode_negative(model, sampling, self.negative, len(self))
        check_images(self.images, model.background)

        def draw(indices: Sequence[int], seeds: Sequence[int]) -> ExtrapolatedImages:
            codes = model.encode_images([self.images[i] for i in indices])
            grids, seconds = model.timed(
                lambda: extrapolate_codes(
                    model.network,
                    [ids[i] for i in indices],
                    codes,
                    [growths[i] for i in indices],
                    sampling,
                    seeds,
                    None if negative is None else [negative[i] for i in indices],
                )
            )
            # One at a time: they may differ in size, and be large.
            images = [to_images(model.decode_images(grid[None]))[0] for grid in grids]
            windows = sum(len(growths[i].windows) for i in indices)
            new_tokens = sum(grid.numel() for grid in grids) - codes.numel()
            return ExtrapolatedImages(
                images=images,
                grids=[grid.cpu() for grid in grids],
                seeds=list(seeds),
                statistics=Statistics(
                    len(indices), new_tokens, forwards_of(sampling, windows), seconds
                ),
            )

        every_prompt = PromptIds([prompt for own in ids for prompt in own], negative)
        return Checked(every_prompt.longest, draw)

    def _prompts_of(self, index: int) -> Sequence[str]:
        """One prompt for each direction of an image."""
        prompts, directions = self.prompts[index], self.directions[index]
        if len(prompts) == 1:
            return [prompts[0]] * len(directions)
        if len(prompts) != len(directions):
            raise UserError(
                f"there are {len(directions)} directions and {len(prompts)} prompts for image "
                f"{index + 1}; give one prompt for each direction, or a single one"
            )
        return prompts
