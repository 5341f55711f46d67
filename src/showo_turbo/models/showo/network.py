"""Show-o: one Phi transformer over text and image tokens."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from inspect import signature
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PhiForCausalLM, PhiModel

from ...errors import UserError
from ...text_tokenizer import TextTokenizer
from ..layout import cached_attention_mask
from ..protocols import AnswerBlocks, TextModel
from .answer_forward import answer_logits
from .attention import fast_training_attention
from .cache import KeyValueCache
from .compiled import CacheSizes, CompiledDecoding, StaticKeyValueCache
from .config import ShowoConfig
from .noise import NoiseEmbedding
from .prefixes import CachedImagePrefix, CachedTextPrefix
from .sequences import Sequences, UnifiedPrompting, format_conversation


def cache_argument(kind: type[nn.Module]) -> str:
    """How a network of transformers calls its cache: `cache` from 5.24 on, before otherwise."""
    return "cache" if "cache" in signature(kind.forward).parameters else "past_key_values"


CACHE_ARGUMENT = cache_argument(PhiModel)

FEW_TOKENS = 8
"""So many tokens at most are scored with the factors of the output head changed over."""

_OF_THE_VOCABULARY = (
    "showo.model.embed_tokens.weight",
    "showo.lm_head.weight",
    "showo.lm_head.bias",
)
"""Weights that have a row a token."""


class Showo(TextModel):
    """Phi with QK-norm over the joint vocabulary; denoises image tokens and writes text.

    Image positions predict their own token (unshifted), text positions the next one (shifted).

    Args:
        config: Sizes.

    Source: Show-o (arXiv 2408.12528); the state dict is key for key that of the released files.
    """

    config_class: ClassVar[type[ShowoConfig]] = ShowoConfig

    def __init__(self, config: ShowoConfig) -> None:
        super().__init__(config)
        self.config: ShowoConfig = config
        self.vocabulary = config.vocabulary
        self.sequences = UnifiedPrompting(config.vocabulary, config.max_text_length)
        # Named as in the released checkpoints, whose keys all begin with "showo.".
        self.showo = PhiForCausalLM(config.phi())
        if config.noise_size:
            self.noise = NoiseEmbedding(config.noise_size, config.hidden_size)
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

    @property
    def longest_prompt(self) -> int:
        """Most text ids of a prompt; `sot` and `eot` are not counted."""
        return self.config.max_text_length - 2

    @property
    def eot_id(self) -> int:
        """Ends a text."""
        return self.vocabulary.eot_id

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights without the row that students of the released code have too many.

        That code gives a student a row beyond the vocabulary, which stands for no token.
        """
        size = self.vocabulary.size
        rows = {key: state[key].shape[:1] for key in _OF_THE_VOCABULARY if key in state}
        surplus = [key for key, count in rows.items() if count == (size + 1,)]
        return state | {key: state[key][:size].clone() for key in surplus}

    def gradient_checkpointing_enable(self) -> None:
        """Recompute each layer in the backward pass instead of storing it."""
        self.recomputes = True
        self.showo.gradient_checkpointing_enable({"use_reentrant": False})

    def encode_prompt(self, text_tokenizer: TextTokenizer | None, text: str) -> list[int]:
        """Text ids of a prompt, without special tokens."""
        return _required(text_tokenizer).encode(text)

    def encode_question(self, text_tokenizer: TextTokenizer | None, question: str) -> list[int]:
        """Text ids of a question as the released models were instructed."""
        tokenizer = _required(text_tokenizer)
        *earlier, last = map(tokenizer.encode, format_conversation(question))
        return [*(i for turn in earlier for i in (*turn, self.vocabulary.eot_id)), *last]

    @property
    def noise_size(self) -> int:
        """Numbers of noise that an image, and each of its tokens, reads; 0 for none."""
        return self.config.noise_size

    def add_noise(self, size: int) -> None:
        """Read noise from now on, at first without an effect; see `NoiseEmbedding`."""
        self.config = replace(self.config, noise_size=size)
        self.noise = NoiseEmbedding(size, self.config.hidden_size).to(self.device, self.dtype)

    def image_logits(
        self, prompts: Sequence[Sequence[int]], codes: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Predict every image token of a state; see `ImageModel.image_logits`."""
        sequences = self.sequences.text_to_image(prompts, codes)
        embeddings = None if noise is None else self.noisy(sequences.input_ids, codes, noise)
        hidden = self.hidden_states_of(sequences, embeddings)
        return self.logits(hidden[:, -codes.shape[1] - 1 : -1], self.vocabulary.image_rows)

    def noisy(self, input_ids: Tensor, codes: Tensor, noise: Tensor) -> Tensor:
        """Embeddings of a sequence that ends with `image* eoi`, with noise on its masked tokens.

        Args:
            input_ids: `(batch, tokens)`.
            codes: `(batch, image_tokens)`.
            noise: `(batch, 1 + image_tokens, noise_size)`.
        """
        embeddings = self.showo.model.embed_tokens(input_ids)
        return self.noise.add_to(embeddings, noise, codes == self.mask_code, end=1)

    def begin_images(
        self, prompts: Sequence[Sequence[int]], noise: Tensor | None = None
    ) -> CachedImagePrefix:
        """Begin to decode images; see `ImageModel.begin_images`."""
        return CachedImagePrefix(self, prompts, noise)

    def begin_text(
        self, image_codes: Tensor | None, prompts: Sequence[Sequence[int]], room: int
    ) -> CachedTextPrefix:
        """Begin to write answers; see `TextModel.begin_text`."""
        return CachedTextPrefix(self, image_codes, prompts, room)

    def answer_logits(
        self, batch: AnswerBlocks, versions: Mapping[str, Tensor], *, fixed_point: bool = False
    ) -> dict[str, Tensor]:
        """Predict the blocks of answers; see `TextModel.answer_logits`."""
        return answer_logits(self, batch, versions, fixed_point=fixed_point)

    def language_logits(
        self, texts: Sequence[Sequence[int]], max_length: int
    ) -> tuple[Tensor, Tensor]:
        """Predict plain texts; see `TextModel.language_logits`."""
        sequences = self.sequences.language(texts, max_length, self.device)
        hidden = self.hidden_states_of(sequences)
        return self.logits(hidden, self.vocabulary.text_rows), sequences.labels

    def hidden_states_of(self, sequences: Sequences, embeddings: Tensor | None = None) -> Tensor:
        """Run the transformer over whole sequences; `(batch, tokens, hidden)`."""
        layout = sequences.layout
        return self.hidden_states(
            sequences.input_ids, layout.attention_mask, layout.position_ids, embeddings
        )

    def lora_layers(self) -> tuple[nn.Module, nn.Module]:
        """The blocks that adapters go into, and the module that keeps their scaling."""
        return self.showo.model.layers, self.showo

    def hidden_states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor | None = None,
        embeddings: Tensor | None = None,
    ) -> Tensor:
        """Run the transformer over whole sequences.

        Args:
            input_ids: `(batch, tokens)`.
            attention_mask: `(batch, 1, tokens, tokens)` bool, `True` where attended.
            position_ids: `(batch, tokens)`; `0 .. tokens - 1` by default.
            embeddings: `(batch, tokens, hidden)`, in place of those of the ids.

        Returns:
            `(batch, tokens, hidden)` after the final norm.
        """
        # Recomputed layers must save what the first pass saved, so they keep PyTorch's choice.
        with nullcontext() if self.recomputes else fast_training_attention(input_ids):
            output = self.showo.model(
                input_ids=input_ids if embeddings is None else None,
                inputs_embeds=embeddings,
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
        embeddings: Tensor | None = None,
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
            embeddings: `(batch, new_tokens, hidden)`, in place of those of the ids.

        Returns:
            `(batch, new_tokens, hidden)` after the final norm.

        Raises:
            UserError: If embeddings are given and decoding is compiled.
        """
        if isinstance(cache, StaticKeyValueCache):
            if embeddings is not None:
                raise UserError(
                    "compiled decoding takes no noise, which this model reads; leave compile out"
                )
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
        return self._run(input_ids, attention_mask, positions, cache, embeddings)

    def _run(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        positions: Tensor,
        cache: KeyValueCache,
        embeddings: Tensor | None = None,
    ) -> Tensor:
        output = self.showo.model(
            input_ids=input_ids if embeddings is None else None,
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=positions,
            use_cache=False,
            **{CACHE_ARGUMENT: cache},
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
        weight, bias = head.weight[rows], head.bias[rows]
        few = hidden.numel() <= FEW_TOKENS * hidden.shape[-1]
        if few and hidden.device.type == "cpu" and not torch.is_grad_enabled():
            # The weights as the left factor: read once, not packed again for a handful of tokens.
            scores = torch.addmm(bias[:, None], weight, hidden.flatten(0, -2).T)
            return scores.T.reshape(*hidden.shape[:-1], -1)
        return F.linear(hidden, weight, bias)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor | None = None
    ) -> Tensor:
        """Logits `(batch, tokens, vocabulary)` of whole sequences; see `hidden_states`."""
        return self.logits(self.hidden_states(input_ids, attention_mask, position_ids))


def _required(text_tokenizer: TextTokenizer | None) -> TextTokenizer:
    if text_tokenizer is None:
        raise UserError("Show-o has no text tokenizer here; name one with text_tokenizer")
    return text_tokenizer
