"""Sizes of an MMaDA network, and the `config.json` that holds them."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

from ...errors import UserError, shown
from .vocabulary import Vocabulary

Padding = Literal["masked", "visible"]

LARGEST_SIZE = 2**24
LARGEST_SIZES = {"layers": 1024}
"""Larger networks exist nowhere but in a damaged `config.json`, and take forever to build."""

_RELEASED_NAMES = {
    "codebook_size": "codebook_size",
    "image_tokens": "num_vq_tokens",
    "vocabulary_size": "new_vocab_size",
    "hidden_size": "d_model",
    "layers": "n_layers",
    "heads": "n_heads",
    "kv_heads": "n_kv_heads",
    "intermediate_size": "mlp_hidden_size",
    "rope_theta": "rope_theta",
    "norm_eps": "rms_norm_eps",
    "max_position_embeddings": "max_sequence_length",
    "eos_id": "eos_token_id",
    "mask_id": "mask_token_id",
}
"""How the released `config.json` files call what they hold of an `MMaDAConfig`."""

_ARCHITECTURE: dict[str, object] = {
    "activation_type": "silu",
    "alibi": False,
    "attention_layer_norm": False,
    "bias_for_layer_norm": False,
    "block_group_size": 1,
    "block_type": "llama",
    "include_bias": False,
    "include_qkv_bias": False,
    "input_emb_norm": False,
    "layer_norm_type": "rms",
    "layer_norm_with_affine": True,
    "rope": True,
    "rope_full_precision": True,
    "scale_logits": False,
    "weight_tying": False,
}
"""What those files say of the architecture, all of which the network has built in."""


@dataclass(frozen=True)
class MMaDAConfig:
    """Sizes of an MMaDA network; the defaults are those of the released 8B model at 512 px.

    Args:
        text_vocabulary_size: Tokens of the text tokenizer, special ones included; the image codes
            follow.
        codebook_size: Codes of the image tokenizer.
        vocabulary_size: Rows of the embedding and of the output head; those beyond the image codes
            are unused.
        image_tokens: Tokens an image (256 at 256 px, 1,024 at 512 px).
        max_text_length: Longest text beside an image in tokens, special ones included.
        padding: Whether prompts for images attend to their padding. `masked` is how the published
            code samples, and then padding need not be computed; `visible` is how it trained
            before June 2025, when attention ignored every mask.
        tokenizer: Folder or hub id of the text tokenizer; none when `tokenizer.json` lies in the
            model's own folder.
        image_tokenizer: `shapes`, folder or hub id of the image tokenizer; none when it lies in the
            model's own folder, as `image_tokenizer`.
        bos_id: See `Vocabulary`.
        eos_id: Likewise.
        soi_id: Likewise.
        mask_id: Likewise.
        start_header_id: Likewise.
        hidden_size: Width.
        layers: Number of transformer layers.
        heads: Attention heads.
        kv_heads: Heads of keys and values, each shared by as many queries.
        intermediate_size: Width of the feed-forward layers.
        rope_theta: Base of the rotary frequencies.
        norm_eps: What keeps the norms from dividing by zero.
        max_position_embeddings: Longest sequence that the network is meant for.

    Attributes:
        family: Name of the architecture.
        needs_text_tokenizer: Whether prompts are encoded by a text tokenizer.

    Raises:
        UserError: If a value is of the wrong type or out of range.
    """

    family = "mmada"
    needs_text_tokenizer = True
    text_vocabulary_size: int = Vocabulary.image_offset
    codebook_size: int = Vocabulary.codebook_size
    vocabulary_size: int = 134656
    image_tokens: int = 1024
    max_text_length: int = 512
    padding: Padding = "masked"
    tokenizer: str | None = "Gen-Verse/MMaDA-8B-Base"
    image_tokenizer: str | None = "showlab/magvitv2"
    bos_id: int = Vocabulary.bos_id
    eos_id: int = Vocabulary.eos_id
    soi_id: int = Vocabulary.soi_id
    mask_id: int = Vocabulary.mask_id
    start_header_id: int = Vocabulary.start_header_id
    hidden_size: int = 4096
    layers: int = 32
    heads: int = 32
    kv_heads: int = 32
    intermediate_size: int = 12288
    rope_theta: float = 5e5
    norm_eps: float = 1e-5
    max_position_embeddings: int = 4096
    vocabulary: Vocabulary = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_sizes()
        vocabulary = Vocabulary(
            self.bos_id,
            self.eos_id,
            self.soi_id,
            self.mask_id,
            self.start_header_id,
            self.text_vocabulary_size,
            self.codebook_size,
        )
        self._check_ids(vocabulary)
        object.__setattr__(self, "vocabulary", vocabulary)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a `config.json`, of a released checkpoint or of our own.

        Where a released file lacks a field, the published code takes that of another network;
        here it must be there. What such files do not hold our own add under `showo_turbo`.

        Raises:
            UserError: If a field is missing, or a value is of the wrong type or out of range.
        """
        own = values.get("showo_turbo", {})
        if not isinstance(own, dict):
            raise _wrong_value("showo_turbo", own, "an object of sizes")
        required = (*_RELEASED_NAMES.values(), *_ARCHITECTURE)
        missing = [name for name in required if name not in values]
        if missing:
            raise UserError(
                f"it lacks {', '.join(missing[:3])}{', ...' if missing[3:] else ''}; expected all "
                "fields of MMaDA's (LLaDA, the text model it is made of, has none of images), "
                "restore the file"
            )
        for name, expected in _ARCHITECTURE.items():
            if values[name] != expected or type(values[name]) is not type(expected):
                raise _wrong_value(name, values[name], f"{expected!r}, which this network has")
        released = {name: values[theirs] for name, theirs in _RELEASED_NAMES.items()}
        added = {name: own[name] for name in _own_names() if name in own}
        return cls(**released, **added)

    def to_dict(self) -> dict[str, Any]:
        """The `config.json` that both the released code and `from_dict` read."""
        released = {theirs: getattr(self, name) for name, theirs in _RELEASED_NAMES.items()}
        return {
            "_class_name": "MMaDA",
            "model_type": "mmada",
            **_ARCHITECTURE,
            "attention_dropout": 0.0,
            "embedding_dropout": 0.0,
            "residual_dropout": 0.0,
            **released,
            "embedding_size": self.vocabulary_size,
            "llm_vocab_size": self.vocabulary_size - self.codebook_size,
            "pad_token_id": self.eos_id,
            "vocab_size": self.vocabulary_size,
            "showo_turbo": {name: getattr(self, name) for name in _own_names()},
        }

    @property
    def text_room(self) -> int:
        """Text tokens that fit behind an image, question and answer together."""
        return self.max_position_embeddings - self.image_tokens - 4

    @property
    def values_per_token(self) -> int:
        """Activations of a layer; nothing is cached."""
        return 8 * self.hidden_size + 3 * self.intermediate_size

    def _check_sizes(self) -> None:
        """Raise on sizes that no network has."""
        for name in (
            "text_vocabulary_size",
            "codebook_size",
            "vocabulary_size",
            "image_tokens",
            "max_text_length",
            "hidden_size",
            "layers",
            "heads",
            "kv_heads",
            "intermediate_size",
            "max_position_embeddings",
        ):
            value, largest = getattr(self, name), LARGEST_SIZES.get(name, LARGEST_SIZE)
            if type(value) is not int or not 1 <= value <= largest:
                raise _wrong_value(name, value, f"a whole number from 1 to {largest:,}")
        for name in ("rope_theta", "norm_eps"):
            number = getattr(self, name)
            if type(number) not in (int, float) or not 0 < number < float("inf"):
                raise _wrong_value(name, number, "a number above 0")
        if self.hidden_size % (2 * self.heads):
            half = f"a divisor of half of hidden_size={self.hidden_size}"
            raise _wrong_value("heads", self.heads, half)
        if self.heads % self.kv_heads:
            raise _wrong_value("kv_heads", self.kv_heads, f"a divisor of heads={self.heads}")
        if self.padding not in get_args(Padding):
            raise _wrong_value("padding", self.padding, "'masked' or 'visible'")
        if self.max_text_length < 3:
            raise _wrong_value("max_text_length", self.max_text_length, "3 or more")
        if self.text_room < 1:
            positions = f"more than {self.image_tokens + 4}, an image and what surrounds it"
            raise _wrong_value("max_position_embeddings", self.max_position_embeddings, positions)
        tokenizers: dict[str, object] = {
            "tokenizer": self.tokenizer,
            "image_tokenizer": self.image_tokenizer,
        }
        for name, text in tokenizers.items():
            if text is not None and not isinstance(text, str):
                raise _wrong_value(name, text, "a folder or a hub id")

    def _check_ids(self, vocabulary: Vocabulary) -> None:
        """Raise on ids that tokens share, or that have no row."""
        taken: dict[int, str] = {}
        for name, value in vocabulary.special_ids.items():
            if type(value) is not int or not 0 <= value < self.text_vocabulary_size:
                expected = f"an id of text, 0 to {self.text_vocabulary_size - 1}"
                raise _wrong_value(name, value, expected)
            if value in taken:
                raise _wrong_value(name, value, f"another id than that of {taken[value]}")
            taken[value] = name
        last = vocabulary.image_rows.stop
        if self.vocabulary_size < last:
            expected = f"at least {last:,}, text and image codes"
            raise _wrong_value("vocabulary_size", self.vocabulary_size, expected)


def _own_names() -> list[str]:
    """What released files do not hold."""
    return [
        entry.name
        for entry in fields(MMaDAConfig)
        if entry.init and entry.name not in _RELEASED_NAMES
    ]


def _wrong_value(name: str, value: object, expected: str) -> UserError:
    theirs = _RELEASED_NAMES.get(name, name)
    label = name if theirs == name else f"{name} ({theirs} in released files)"
    return UserError(f"{label} is {shown(value)}; expected {expected}, correct or restore it")
