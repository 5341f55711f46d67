"""How well images fit their prompts, as CLIP and its children see it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from ..errors import UserError
from ..models.weight_files import load_weights_only
from ..utils.images import to_bytes
from .names import NamedMetric
from .weights import HPS_V2, OPEN_CLIP, Download, required_file


class CLIPScore(NamedMetric):
    """Mean cosine similarity of images and their prompts in CLIP's space, times `scale`.

    Unit: a cosine in [-1, 1]; with `scale: 100` the points of other tables. Negative similarities
    count as they are. Each network gives other values: compare only within one.

    Source: CLIPScore (arXiv 2104.08718), without the factor 2.5 and the cut at 0.

    Args:
        weights: File of an open_clip network: its weights, or these under `state_dict`.
        architecture: Its name in open_clip, such as `ViT-H-14`. OpenAI's weights need one with
            `-quickgelu`, such as `ViT-L-14-quickgelu`: their activation is another.
        scale: Factor of the similarity.
        batch_size: Images seen at once.
        options: `name`, what tables call it; others are those of torchmetrics.

    Raises:
        UserError: If the weights are missing or do not fit, or there is no such architecture.
    """

    higher_is_better = True
    full_state_update = False
    download: Download = OPEN_CLIP

    total: Tensor
    count: Tensor

    def __init__(
        self,
        weights: Path = Path("weights/open_clip_pytorch_model.bin"),
        architecture: str = "ViT-H-14",
        scale: float = 1.0,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        path = required_file(weights, self.download, type(self).__name__)
        self.network, self.transform = load_open_clip(path, architecture)
        self.tokenizer = open_clip.get_tokenizer(architecture)
        self.scale = scale
        self.batch_size = batch_size
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> None:
        """Add images.

        Args:
            pixels: `(batch, 3, height, width)` in [-1, 1].
            metadata: Of each image, with its `prompt`.
        """
        for start in range(0, len(pixels), self.batch_size):
            part = slice(start, start + self.batch_size)
            texts = [str(entry["prompt"]) for entry in metadata[part]]
            images = preprocess(pixels[part], self.transform).to(self.device)
            seen = self.network.encode_image(images, normalize=True)
            read = self.network.encode_text(self.tokenizer(texts).to(self.device), normalize=True)
            self.total += (seen * read).sum().double()
            self.count += len(texts)

    def compute(self) -> Tensor:
        """The mean; NaN without images."""
        return (self.scale * self.total / self.count).float()


class HPSv2(CLIPScore):
    """Human preference score v2: CLIP's cosine after training on people's choices.

    Unit: a cosine, about 0.2 to 0.3 for photographs; with `scale: 100` the points of other tables.

    Source: HPS v2 (arXiv 2306.09341); the released checkpoint is an open_clip ViT-H-14.

    Args:
        weights: The released `HPS_v2_compressed.pt` (v2.0) or `HPS_v2.1_compressed.pt`.
        architecture: Of the network.
        scale: Factor of the similarity.
        batch_size: Images seen at once.
        options: `name`, what tables call it, such as `HPSv2.1`; others are those of torchmetrics.

    Raises:
        UserError: If the weights are missing or do not fit.
    """

    download = HPS_V2

    def __init__(
        self,
        weights: Path = Path("weights/HPS_v2_compressed.pt"),
        architecture: str = "ViT-H-14",
        scale: float = 1.0,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(weights, architecture, scale, batch_size, **options)


def load_open_clip(path: Path, architecture: str) -> tuple[Any, Any]:
    """An open_clip network with weights of a local file, frozen, and its image transform.

    Raises:
        UserError: If there is no such architecture, or the weights do not fit it, or they are
            called OpenAI's and the architecture is one without OpenAI's activation.
    """
    if architecture not in open_clip.list_models():
        raise UserError(
            f"open_clip has no architecture {architecture!r}; choose one of open_clip.list_models()"
        )
    quick = f"{architecture}-quickgelu"
    # Nothing in the weights tells which activation they were trained with.
    if "openai" in path.name.lower() and quick in open_clip.list_models():
        raise UserError(
            f"{path} holds OpenAI's weights by its name, and {architecture} has another activation "
            f"than theirs; expected the architecture {quick!r}, set it so"
        )
    content = load_weights_only(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    state = {key.removeprefix("module."): value for key, value in state.items()}
    # Older files hold what is computed nowadays.
    state.pop("text.transformer.embeddings.position_ids", None)
    network, _, transform = open_clip.create_model_and_transforms(architecture, pretrained=None)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path} does not fit {architecture}: {reason}") from None
    network.requires_grad_(False)
    return network.eval(), transform


def preprocess(pixels: Tensor, transform: Any) -> Tensor:
    """Bring images into the form that a network of open_clip expects, as its authors do.

    Args:
        pixels: `(batch, 3, height, width)` in [-1, 1].
        transform: open_clip's, which takes Pillow images.
    """
    from PIL import Image

    return torch.stack([transform(Image.fromarray(image)) for image in to_bytes(pixels)])
