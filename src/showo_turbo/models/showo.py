"""Show-o: one Phi transformer over text and image tokens."""

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PhiConfig, PhiForCausalLM

from ..errors import UserError, shown
from ..vocabulary import Vocabulary
from .attention import cached_attention_mask, fast_training_attention
from .cache import KeyValueCache
from .checkpoints import load_state_into, read_config, resolve_folder, save_checkpoint
from .compiled import CacheSizes, CompiledDecoding, StaticKeyValueCache

LARGEST_SIZE = 2**24
LARGEST_SIZES = {"layers": 1024}
"""Larger networks exist nowhere but in a damaged `config.json`, and take forever to build."""

_RELEASED_NAMES = {
    "text_vocabulary_size": "llm_vocab_size",
    "codebook_size": "codebook_size",
    "image_tokens": "num_vq_tokens",
    "tokenizer": "llm_model_path",
}
"""How the released `config.json` files call what they hold of a `ShowoConfig`."""


@dataclass(frozen=True)
class ShowoConfig:
    """Sizes of a Show-o network; the defaults are those of the released 256 px model.

    Args:
        text_vocabulary_size: Text tokens of the tokenizer.
        codebook_size: Codes of the image tokenizer.
        image_tokens: Tokens an image (256 at 256 px, 1,024 at 512 px).
        max_text_length: Longest prompt in tokens, `sot` and `eot` included; the published
            training uses 128 with images.
        tokenizer: Folder or hub id of the text tokenizer; none when `tokenizer.json` lies in the
            model's own folder.
        image_tokenizer: `shapes`, folder or hub id of the image tokenizer.
        eos_id: Id of `<|endoftext|>`.
        hidden_size: Width.
        layers: Number of transformer layers.
        heads: Attention heads.
        intermediate_size: Width of the feed-forward layers; 4 x hidden by default.
        partial_rotary_factor: Share of each head's dimensions that rotate.
        max_position_embeddings: Longest sequence that the rotary table is meant for.

    Raises:
        UserError: If a value is of the wrong type or out of range.
    """

    text_vocabulary_size: int = 50295
    codebook_size: int = 8192
    image_tokens: int = 256
    max_text_length: int = 128
    tokenizer: str | None = "microsoft/phi-1_5"
    image_tokenizer: str = "showlab/magvitv2"
    eos_id: int = 50256
    hidden_size: int = 2048
    layers: int = 24
    heads: int = 32
    intermediate_size: int | None = None
    partial_rotary_factor: float = 0.5
    max_position_embeddings: int = 2048
    vocabulary: Vocabulary = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check()
        vocabulary = Vocabulary(
            self.text_vocabulary_size, self.codebook_size, bos_id=self.eos_id, eos_id=self.eos_id
        )
        object.__setattr__(self, "vocabulary", vocabulary)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a `config.json`, of a released checkpoint or of our own.

        Released files name only the vocabulary (`llm_vocab_size`, `codebook_size`,
        `num_vq_tokens`, `llm_model_path`); the network's sizes then are Phi-1.5's. Our own add
        what differs under `showo_turbo`.

        Raises:
            UserError: If a value is of the wrong type or out of range.
        """
        own = values.get("showo_turbo", {})
        if not isinstance(own, dict):
            raise _wrong_value("showo_turbo", own, "an object of sizes")
        released = {
            name: values[theirs]
            for name, theirs in _RELEASED_NAMES.items()
            if values.get(theirs) is not None
        }
        known = {name: own[name] for name in cls.__dataclass_fields__ if name in own}
        return cls(**(known | released))

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read a model folder's `config.json`.

        Raises:
            UserError: If it is missing, no JSON object, or describes no Show-o.
        """
        values = read_config(folder)
        try:
            return cls.from_dict(values)
        except UserError as error:
            raise UserError(f"{folder / 'config.json'} describes no Show-o: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """The `config.json` that both the released code and `from_dict` read."""
        own = {k: v for k, v in asdict(self).items() if k != "vocabulary"}
        return {
            "_class_name": "Showo",
            "codebook_size": self.codebook_size,
            "llm_model_path": self.tokenizer,
            "llm_vocab_size": self.text_vocabulary_size,
            "mask_token_id": self.vocabulary.mask_id,
            "num_vq_tokens": self.image_tokens,
            "vocab_size": self.vocabulary.size,
            "w_clip_vit": False,
            "showo_turbo": own,
        }

    def _check(self) -> None:
        """Refuse sizes that no network has."""
        counts = {
            "text_vocabulary_size": self.text_vocabulary_size,
            "codebook_size": self.codebook_size,
            "image_tokens": self.image_tokens,
            "max_text_length": self.max_text_length,
            "hidden_size": self.hidden_size,
            "layers": self.layers,
            "heads": self.heads,
            "max_position_embeddings": self.max_position_embeddings,
        }
        if self.intermediate_size is not None:
            counts["intermediate_size"] = self.intermediate_size
        for name, value in counts.items():
            largest = LARGEST_SIZES.get(name, LARGEST_SIZE)
            if type(value) is not int or not 1 <= value <= largest:
                raise _wrong_value(name, value, f"a whole number from 1 to {largest:,}")
        if type(self.eos_id) is not int or not 0 <= self.eos_id < self.text_vocabulary_size:
            raise _wrong_value("eos_id", self.eos_id, f"0 to {self.text_vocabulary_size - 1}")
        if self.hidden_size % self.heads:
            raise _wrong_value("heads", self.heads, f"a divisor of hidden_size={self.hidden_size}")
        factor: object = self.partial_rotary_factor
        if not isinstance(factor, int | float) or not 0 < factor <= 1:
            raise _wrong_value("partial_rotary_factor", factor, "above 0 and at most 1")
        tokenizers: dict[str, object] = {
            "tokenizer": self.tokenizer or "",
            "image_tokenizer": self.image_tokenizer,
        }
        for name, text in tokenizers.items():
            if not isinstance(text, str):
                raise _wrong_value(name, text, "a folder or a hub id")

    @property
    def text_room(self) -> int:
        """Text tokens that fit behind an image, question and answer together."""
        return self.max_position_embeddings - self.image_tokens - 4

    def phi(self) -> PhiConfig:
        """The transformer's configuration for transformers."""
        sizes: dict[str, Any] = {
            "vocab_size": self.vocabulary.size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size or 4 * self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "partial_rotary_factor": self.partial_rotary_factor,
            "qk_layernorm": True,
            "layer_norm_eps": 1e-5,
            "hidden_act": "gelu_pytorch_tanh",  # the fused form of the released gelu_new
            "max_position_embeddings": self.max_position_embeddings,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": None,
            "attn_implementation": "sdpa",
        }
        return PhiConfig(**sizes)


def _wrong_value(name: str, value: object, expected: str) -> UserError:
    theirs = _RELEASED_NAMES.get(name, name)
    label = name if theirs == name else f"{name} ({theirs} in released files)"
    return UserError(f"{label} is {shown(value)}; expected {expected}, correct or restore it")


class Showo(nn.Module):
    """Phi with QK-norm over the joint vocabulary; denoises image tokens and writes text.

    Image positions predict their own token (unshifted), text positions the next one (shifted).

    Args:
        config: Sizes.

    Source: Show-o (arXiv 2408.12528); the state dict is key for key that of the released files.
    """

    def __init__(self, config: ShowoConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        # Named as in the released checkpoints, whose keys all begin with "showo.".
        self.showo = PhiForCausalLM(config.phi())
        self._compiled: CompiledDecoding | None = None
        self.recomputes = False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return cast(torch.device, self.showo.lm_head.weight.device)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return cast(torch.dtype, self.showo.lm_head.weight.dtype)

    def gradient_checkpointing_enable(self) -> None:
        """Recompute each layer in the backward pass instead of storing it."""
        self.recomputes = True
        self.showo.gradient_checkpointing_enable({"use_reentrant": False})

    def hidden_states(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor | None = None
    ) -> Tensor:
        """Run the transformer over whole sequences.

        Args:
            input_ids: `(batch, tokens)`.
            attention_mask: `(batch, 1, tokens, tokens)` bool, `True` where attended.
            position_ids: `(batch, tokens)`; `0 .. tokens - 1` by default.

        Returns:
            `(batch, tokens, hidden)` after the final norm.
        """
        # Recomputed layers must save what the first pass saved, so they keep PyTorch's choice.
        with nullcontext() if self.recomputes else fast_training_attention(input_ids):
            output = self.showo.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                use_cache=False,
            )
        return cast(Tensor, output.last_hidden_state)

    def append(
        self,
        input_ids: Tensor,
        cache: KeyValueCache,
        *,
        bidirectional: bool = False,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Run the transformer over tokens that follow what the cache holds.

        The cache's `lengths` are left as they were: the caller decides how many of the new
        tokens stay.

        Args:
            input_ids: `(batch, new_tokens)`.
            cache: Prefixes; each sample continues at its own length.
            bidirectional: Whether the new tokens see each other both ways.
            attention_mask: Overrides the mask, `(batch, 1, new_tokens, key_slots)` bool; slots
                beyond are not attended to.

        Returns:
            `(batch, new_tokens, hidden)` after the final norm.
        """
        if isinstance(cache, StaticKeyValueCache):
            if cache.filled and self._compiled is not None:
                return self._compiled.append(input_ids, cache, bidirectional)
            cache.filled = True
        positions, extent = cache.append(input_ids.shape[1])
        if attention_mask is None:
            attention_mask = cached_attention_mask(
                cache.lengths, input_ids.shape[1], extent, bidirectional=bidirectional
            )
        else:
            attention_mask = F.pad(attention_mask, (0, extent - attention_mask.shape[-1]))
        return self._run(input_ids, attention_mask, positions, cache)

    def _run(
        self, input_ids: Tensor, attention_mask: Tensor, positions: Tensor, cache: KeyValueCache
    ) -> Tensor:
        output = self.showo.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=False,
        )
        return cast(Tensor, output.last_hidden_state)

    def new_cache(self, batch: int, capacity: int) -> KeyValueCache:
        """An empty cache for `batch` samples of at most `capacity` tokens."""
        if self._compiled is not None:
            return self._compiled.new_cache(batch, capacity)
        return KeyValueCache(self.config.layers, batch, capacity, self.device)

    def compile_decoding(self, **options: Any) -> None:
        """From now on, decode with compiled code and static shapes; see `CompiledDecoding`.

        The weights must stay where they are, and one batch is decoded at a time.

        Args:
            options: For `torch.compile`.
        """
        heads = self.config.heads
        sizes = CacheSizes(
            self.config.layers,
            heads,
            self.config.hidden_size // heads,
            self.dtype,
            self.device,
        )
        self._compiled = CompiledDecoding(self._run, sizes, options or None)

    def logits(self, hidden: Tensor, rows: slice = slice(None)) -> Tensor:
        """Output head, or only some of its rows.

        Args:
            hidden: `(..., hidden)`.
            rows: Token ids to score; all by default. `vocabulary.image_rows` gives the codebook,
                `vocabulary.text_rows` the text.

        Returns:
            `(..., rows)`.
        """
        head = self.showo.lm_head
        return F.linear(hidden, head.weight[rows], head.bias[rows])

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor | None = None
    ) -> Tensor:
        """Logits `(batch, tokens, vocabulary)` of whole sequences; see `hidden_states`."""
        return self.logits(self.hidden_states(input_ids, attention_mask, position_ids))

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """Load a released or saved model.

        Args:
            model: `shapes`, a local folder or a hub id such as `showlab/show-o-512x512`.

        Raises:
            UserError: If there is no such model, or its keys or shapes do not fit its config.
        """
        folder = resolve_folder(model, "showo")
        config = ShowoConfig.from_folder(folder)
        with torch.device("meta"):
            network = cls(config)
        load_state_into(network, folder)
        return network

    def save_pretrained(self, folder: Path) -> None:
        """Write `config.json` and `pytorch_model.safetensors` in the released layout."""
        save_checkpoint(Path(folder), self.state_dict(), self.config.to_dict())
