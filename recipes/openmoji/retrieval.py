"""Judges an image by which one of all known images is nearest to it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from showo_turbo.data.images import load_image
from showo_turbo.errors import UserError
from showo_turbo.evaluation import Checker
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.trajectories.checker import PromptMetadata


class NearestPicture(Checker):
    """An image is right if, of all known images, the one that was asked for is nearest to it.

    `image` in the prompt's metadata, a file name, names the one that was asked for. Distances are
    Euclidean, of pixels or of what an image tokenizer makes of them before it quantizes. Images
    that are alike in them, such as drawings that differ in their names only, count as one.

    Args:
        pictures: Folder of all images, PNG files.
        resolution: Side of the images in pixels.
        image_tokenizer: Measure in its features, a folder or hub id; in pixels by default.

    Example:
        YAML, in the repository's folder::

            evaluation:
              checker:
                class_path: recipes.openmoji.retrieval.NearestPicture
                init_args: {pictures: data/openmoji/pictures}
    """

    def __init__(
        self, pictures: Path, resolution: int = 32, image_tokenizer: str | None = None
    ) -> None:
        self.pictures = pictures
        self.resolution = resolution
        self.image_tokenizer = image_tokenizer

    def can_judge(self, prompt: PromptMetadata) -> bool:
        """Whether a prompt says which image it asks for."""
        return prompt.get("image") in self._places

    def judge(self, pixels: Tensor, prompts: Sequence[PromptMetadata]) -> list[bool]:
        """Whether each image is nearest to the image of its prompt."""
        distances = self._distances(pixels)
        asked = torch.tensor([self._places[str(entry["image"])] for entry in prompts])
        own = distances.gather(1, asked[:, None])[:, 0]
        # Of images that are alike, either one is the nearest.
        return (own <= distances.min(dim=1).values + 1e-4).tolist()

    def describe(self, pixels: Tensor) -> list[str]:
        """The name of the image that is nearest to each image."""
        names = list(self._places)
        return [names[index] for index in self._distances(pixels).argmin(dim=1).tolist()]

    def _distances(self, pixels: Tensor) -> Tensor:
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(self._features(pixels.cpu().float()), self._known, compute_mode=exact)

    def _features(self, pixels: Tensor) -> Tensor:
        """`(images, features)` of pixels `(images, 3, side, side)`."""
        if self._network is None:
            return pixels.flatten(1)
        with torch.no_grad():
            parts = [self._network.pixels_to_latents(part) for part in pixels.split(64)]
        return torch.cat(parts).flatten(1)

    @cached_property
    def _network(self) -> MAGVITv2 | None:
        if self.image_tokenizer is None:
            return None
        return MAGVITv2.from_pretrained(self.image_tokenizer).eval()

    @cached_property
    def _places(self) -> dict[str, int]:
        """Number of each image, by its file name."""
        names = sorted(path.name for path in self.pictures.glob("*.png"))
        if not names:
            raise UserError(
                f"{self.pictures} holds no PNG files; expected the images that are asked for, "
                "name their folder"
            )
        return {name: number for number, name in enumerate(names)}

    @cached_property
    def _known(self) -> Tensor:
        """Features of all images."""
        return self._features(
            torch.stack(
                [load_image(self.pictures / name, self.resolution) for name in self._places]
            )
        )
