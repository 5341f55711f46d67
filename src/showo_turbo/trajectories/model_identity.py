"""What a model is apart from its weights, as far as trajectories depend on it."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import shown
from ..models.protocols import ModelConfig
from ..text_tokenizer import TextTokenizer


@dataclass(frozen=True)
class ModelIdentity:
    """The architecture, the sizes and the tokenizers of a model.

    Attributes:
        family: Name of the architecture; empty where it is not known.
        image_tokens: Tokens an image.
        codebook_size: Codes of the image tokenizer.
        text_vocabulary_size: Text tokens; 0 where the family writes no text.
        text_tokenizer: Fingerprint of the text tokenizer; empty where the family has none.
        image_tokenizer: Fingerprint of what encoded the images of questions: the image tokenizer,
            or the encoder of features; None for trajectories of images, which none has seen.
    """

    family: str = ""
    image_tokens: int = 0
    codebook_size: int = 0
    text_vocabulary_size: int = 0
    text_tokenizer: str = ""
    image_tokenizer: str | None = None

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        text_tokenizer: TextTokenizer | None,
        image_tokenizer: str | None = None,
    ) -> "ModelIdentity":
        """The identity of a model with these tokenizers.

        Args:
            config: The model's.
            text_tokenizer: The model's, if it has one.
            image_tokenizer: The image tokenizer's `fingerprint_module`, if it has a part in this.
        """
        return cls(
            family=config.family,
            image_tokens=config.image_tokens,
            codebook_size=config.codebook_size,
            text_vocabulary_size=getattr(config, "text_vocabulary_size", 0),
            text_tokenizer=text_tokenizer.fingerprint if text_tokenizer else "",
            image_tokenizer=image_tokenizer,
        )


def parse_model_identity(value: Any) -> ModelIdentity:
    """Read a `ModelIdentity` from its JSON value.

    Raises:
        TypeError: If it is not what `asdict(ModelIdentity)` gives.
    """
    if not isinstance(value, dict):
        raise TypeError(f"model is {shown(value)}")
    identity = ModelIdentity(**value)
    for field, (name, entry) in zip(fields(identity), asdict(identity).items(), strict=True):
        optional = name == "image_tokenizer" and entry is None
        if not optional and type(entry) is not (int if field.type is int else str):
            raise TypeError(f"{name} is {shown(entry)}")
    return identity
