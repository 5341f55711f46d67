"""Encoders of images for models that are asked about continuous features of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ..errors import UserError
from .checkpoints import (
    VISION_ENCODER_FOLDER,
    load_state_into,
    read_config,
    resolve_folder,
    save_checkpoint,
)
from .image_input import Crop, ImageEncoder, ImageInput
from .magvitv2 import MAGVITv2

if TYPE_CHECKING:
    from transformers import CLIPVisionModel

_PREFIX = "vision_model."
"""How the keys of the vision transformer begin in files, whatever else is in them."""

_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)
"""What determines the vision transformer; further keys of files are notes, or about training."""

_RECOMPUTED = "embeddings.position_ids"
"""Numbers of the positions, which older files hold as well."""


class CLIPFeatures(ImageEncoder):
    """Features of the patches of an image, from the vision transformer of CLIP.

    They are the hidden states before its last layer, without that of the class token and without
    the final normalization.

    Args:
        model: The vision transformer.

    Source: Show-o (arXiv 2408.12528), section 4, and its released code; CLIP (arXiv 2103.00020).
    """

    crop: Crop = "floor"
    mean: Tensor
    std: Tensor

    def __init__(self, model: "CLIPVisionModel") -> None:
        from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        super().__init__()
        self.model = model
        config: Any = model.config
        self.resolution = int(config.image_size)
        shape = (3, 1, 1)
        self.register_buffer("mean", torch.tensor(OPENAI_CLIP_MEAN).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(OPENAI_CLIP_STD).view(shape), persistent=False)

    @property
    def tokens(self) -> int:
        """Patches of an image."""
        config: Any = self.model.config
        return int((config.image_size // config.patch_size) ** 2)

    @property
    def width(self) -> int:
        """Numbers of a feature."""
        return int(self.model.config.hidden_size)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels in `[-1, 1]` as CLIP was trained on them.

        Args:
            pixels: `(batch, 3, resolution, resolution)`.
        """
        normalized: Tensor = ((pixels + 1) / 2 - self.mean) / self.std
        return normalized

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Features `(batch, tokens, width)` of pixels `(batch, 3, resolution, resolution)`.

        Raises:
            UserError: If the pixels are of another size.
        """
        if pixels.shape[-2:] != (self.resolution, self.resolution):
            raise UserError(
                f"an image of {pixels.shape[-2]}x{pixels.shape[-1]} pixels is given to a vision "
                f"encoder that takes {self.resolution}x{self.resolution}; set resolution to "
                f"{self.resolution}"
            )
        output = self.model(self.normalize(pixels), output_hidden_states=True)
        features: Tensor = output.hidden_states[-2][:, 1:]
        return features

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """Load the vision transformer of a CLIP model, in evaluation mode.

        Args:
            model: Folder or hub id of a CLIP model, or of its vision transformer alone; likewise
                those of a model whose folder holds its vision encoder.

        Raises:
            UserError: If files are missing, or do not fit their `config.json`.
        """
        from transformers import CLIPVisionConfig, CLIPVisionModel

        folder = resolve_folder(model, "clip")
        if (folder / VISION_ENCODER_FOLDER).is_dir():
            folder = folder / VISION_ENCODER_FOLDER
        values = read_config(folder)
        try:
            config = CLIPVisionConfig(**_vision_sizes(values))
            if type(config.image_size) is not int or type(config.patch_size) is not int:
                raise ValueError("image_size and patch_size are not whole numbers")
            with torch.device("meta"):
                network = CLIPVisionModel(config)
        except Exception as error:  # transformers raises errors of many kinds on wrong sizes
            reason = " ".join(str(error).split())[:120]
            raise UserError(
                f"{folder / 'config.json'} describes no vision transformer of CLIP ({reason}); "
                "restore it, or name another vision encoder"
            ) from None
        # Depending on its version, transformers names them with or without this beginning.
        ours = _PREFIX if any(key.startswith(_PREFIX) for key in network.state_dict()) else ""
        load_state_into(network, folder, lambda state: _vision_weights(state, ours))
        return cls(network).eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `pytorch_model.safetensors` of the vision transformer alone."""
        state = {
            _PREFIX + key.removeprefix(_PREFIX): value
            for key, value in self.model.state_dict().items()
        }
        sizes = {name: getattr(self.model.config, name) for name in _SIZES}
        save_checkpoint(Path(folder), state, {"model_type": "clip_vision_model", **sizes})


class LatentFeatures(ImageEncoder):
    """Latents of an image tokenizer before they are quantized, in raster order.

    Args:
        image_tokenizer: The image tokenizer.

    Source: Show-o (arXiv 2408.12528), section 4.
    """

    def __init__(self, image_tokenizer: MAGVITv2) -> None:
        super().__init__()
        self.image_tokenizer = image_tokenizer

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Features `(batch, tokens, bits)` of pixels `(batch, 3, height, width)`."""
        return self.image_tokenizer.pixels_to_latents(pixels).flatten(2).transpose(1, 2)


def check_vision_encoder(image_input: ImageInput, encoder: CLIPFeatures) -> None:
    """Raise if a vision encoder's features are not those that a model reads.

    Raises:
        UserError: Naming both sizes.
    """
    for name, theirs, ours in (
        ("width", encoder.width, image_input.width),
        ("number", encoder.tokens, image_input.tokens),
    ):
        if theirs != ours:
            raise UserError(
                f"the vision encoder's features have {name} {theirs}, those of the model's images "
                f"{ours}; name the vision encoder that the model was trained with"
            )


def _vision_sizes(values: dict[str, Any]) -> dict[str, Any]:
    """The sizes of the vision transformer in a `config.json`, of all of CLIP or of it alone."""
    found = values.get("vision_config", values)
    if not isinstance(found, dict):
        raise ValueError("its vision_config is not an object")
    return {name: found[name] for name in _SIZES if name in found}


def _vision_weights(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Of the weights in a file those of the vision transformer, by the names of the network."""
    if any(key.startswith(_PREFIX) for key in state):
        chosen = [key for key in state if key.startswith(_PREFIX)]
        state = {key.removeprefix(_PREFIX): state[key] for key in chosen}
    return {prefix + key: value for key, value in state.items() if key != _RECOMPUTED}
