"""Fréchet inception distance between generated images and photographs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.images import load_image
from ..data.transparency import BACKGROUND, check_background
from ..errors import UserError
from ..utils.images import to_bytes
from .names import NamedMetric
from .weights import INCEPTION, required_file

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


class FID(NamedMetric):
    """Distance of the distributions of generated and of real images; smaller is better.

    Unit: squared distance of two Gaussians in the 2048 features of Inception. It shrinks with the
    number of images: tables use 30,000 of COCO 2014. The distance itself is computed by
    torchmetrics.

    Source: arXiv 1706.08500; features as by torch-fidelity.

    Args:
        real: Folder with the real images, at least two; they are cut to squares.
        weights: File of the Inception network.
        resolution: Side of the real images in pixels, best that of the generated ones.
        network: Another network of features, in place of Inception: from bytes
            `(batch, 3, height, width)` to `(batch, features)`.
        batch_size: Real images read at once.
        background: Color that shows through transparent parts of the real images.
        options: `name`, what tables call it; others are those of torchmetrics.

    Raises:
        UserError: If there are fewer than two real images, the weights are missing, or
            torch-fidelity is not installed.
    """

    higher_is_better = False
    full_state_update = False

    def __init__(
        self,
        real: Path,
        weights: Path = Path("weights/weights-inception-2015-12-05-6726825d.pth"),
        resolution: int = 256,
        network: nn.Module | None = None,
        batch_size: int = 32,
        background: str = BACKGROUND,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_background(background)
        files = sorted(path for path in Path(real).rglob("*") if path.suffix in IMAGE_SUFFIXES)
        if len(files) < 2:
            raise UserError(f"{real} holds {len(files)} images; FID needs at least 2 to compare to")
        self.distance = self._distance(weights, network)
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            images = [load_image(path, resolution, background) for path in batch]
            self.distance.update(_bytes(torch.stack(images)), real=True)

    def update(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]] = ()) -> None:
        """Add generated images.

        Args:
            pixels: `(batch, 3, height, width)` in [-1, 1].
            metadata: Not used.
        """
        self.distance.update(_bytes(pixels).to(self.distance.device), real=False)

    def compute(self) -> Tensor:
        """The distance.

        Raises:
            UserError: If fewer than two images were generated.
        """
        try:
            found: Tensor = self.distance.compute()
        except RuntimeError as error:
            if "More than one sample" not in str(error):
                raise
            raise UserError(
                "FID has seen fewer than 2 generated images; give at least 2 prompts, or remove it"
            ) from None
        return found

    def reset(self) -> None:
        """Forget the generated images, and keep the real ones."""
        super().reset()
        if "distance" in self._modules:
            self.distance.reset()

    def _distance(self, weights: Path, network: nn.Module | None) -> Any:
        from torchmetrics.image.fid import FrechetInceptionDistance

        class Distance(FrechetInceptionDistance):
            """Every process has seen all real images, which count once, and generated its own."""

            def add_state(self, name: str, default: Any, *given: Any, **options: Any) -> None:
                if name.startswith("real"):
                    given, options = (), options | {"dist_reduce_fx": _first}
                super().add_state(name, default, *given, **options)

        if network is not None:
            return Distance(network, reset_real_features=False)
        path = required_file(weights, INCEPTION, "FID")
        try:
            return Distance(reset_real_features=False, feature_extractor_weights_path=str(path))
        except ModuleNotFoundError:
            raise UserError(
                'FID needs torch-fidelity; install it with: pip install "showo-turbo[fid]"'
            ) from None


def _first(states: Tensor) -> Tensor:
    """The state of the first process."""
    return states[0]


def _bytes(pixels: Tensor) -> Tensor:
    return torch.from_numpy(to_bytes(pixels)).permute(0, 3, 1, 2)
