"""A model family of your own: a small masked transformer conditioned on class labels.

MaskGIT's layout (arXiv 2202.04200): one label token, then the image tokens, all of which see each
other. A prompt is the name of a label; one more label stands for none, which guidance moves away
from. There is no text side and no cache.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from showo_turbo.errors import UserError, shown
from showo_turbo.models.protocols import ImageModel
from showo_turbo.text_tokenizer import TextTokenizer

SIZES = ("image_tokens", "codebook_size", "hidden_size", "layers", "heads")


@dataclass(frozen=True)
class LabelMaskGITConfig:
    """Sizes of a `LabelMaskGIT`.

    Args:
        labels: Names of the classes.
        image_tokens: Tokens an image.
        codebook_size: Codes of the image tokenizer.
        image_tokenizer: `shapes`, folder or hub id of the image tokenizer.
        hidden_size: Width.
        layers: Number of transformer layers.
        heads: Attention heads.

    Raises:
        UserError: If a size is not a whole number above 0, the heads do not divide the width, or
            there are no labels.
    """

    family: ClassVar[str] = "label_maskgit"
    needs_text_tokenizer: ClassVar[bool] = False
    tokenizer: ClassVar[None] = None

    labels: tuple[str, ...]
    image_tokens: int = 36
    codebook_size: int = 512
    image_tokenizer: str = "shapes"
    hidden_size: int = 96
    layers: int = 4
    heads: int = 4

    def __post_init__(self) -> None:
        for name in SIZES:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise UserError(f"{name} is {shown(value)}; expected a whole number above 0")
        if self.hidden_size % self.heads:
            raise UserError(f"heads is {self.heads}; expected a divisor of {self.hidden_size}")
        if not self.labels or not all(isinstance(name, str) for name in self.labels):
            raise UserError(f"labels is {shown(self.labels)}; expected names of classes, give some")

    @property
    def values_per_token(self) -> int:
        """Activations of a layer; nothing is cached."""
        return 8 * self.hidden_size

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a parsed `config.json`."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        labels = known.pop("labels", ())
        return cls(tuple(labels) if isinstance(labels, list) else labels, **known)

    def to_dict(self) -> dict[str, Any]:
        """The `config.json`."""
        return {"_class_name": "LabelMaskGIT", **asdict(self), "labels": list(self.labels)}


class LabelMaskGIT(ImageModel):
    """Predicts the codes of an image from its label and from the codes that are known.

    Args:
        config: Sizes.
    """

    config_class = LabelMaskGITConfig
    longest_prompt = 1

    def __init__(self, config: LabelMaskGITConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.labels = nn.Embedding(len(config.labels) + 1, width)
        self.codes = nn.Embedding(config.codebook_size + 1, width)  # the last is the mask
        self.positions = nn.Embedding(config.image_tokens + 1, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                config.heads,
                4 * width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, config.codebook_size)

    @property
    def null_prompt(self) -> list[int]:
        """The label that stands for none."""
        return [len(self.config.labels)]

    def encode_prompt(self, text_tokenizer: TextTokenizer | None, text: str) -> list[int]:
        """The number of a label."""
        if text not in self.config.labels:
            raise UserError(
                f"the prompt {shown(text)} is not one of the {len(self.config.labels)} labels; "
                f"expected one such as {shown(self.config.labels[0])}, correct it"
            )
        return [self.config.labels.index(text)]

    def image_logits(self, prompts: Sequence[Sequence[int]], codes: Tensor) -> Tensor:
        """Predict every code, `(batch, image_tokens, codebook)`."""
        labels = torch.tensor([list(prompt) for prompt in prompts], device=codes.device)
        hidden = torch.cat([self.labels(labels), self.codes(codes)], dim=1) + self.positions.weight
        for layer in self.layers:
            hidden = layer(hidden)
        logits: Tensor = self.lm_head(self.norm(hidden[:, 1:]))
        return logits
