"""The transformer of Show-o: Phi over whole sequences, and over what follows a key-value cache."""

from collections.abc import Sequence
from contextlib import nullcontext
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PhiForCausalLM, PhiModel

from ...errors import UserError
from ..layout import Layout, cached_attention_mask
from ..protocols import TextModel
from ..recomputation import checkpoint_options
from .attention import Packing, fast_training_attention
from .cache import KeyValueCache
from .compiled import CacheSizes, CompiledDecoding, StaticKeyValueCache
from .config import ShowoConfig

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


def cache_argument(kind: type[nn.Module]) -> str:
    """How a network of transformers calls its cache: `cache` from 5.24 on, before otherwise."""
    return "cache" if "cache" in signature(kind.forward).parameters else "past_key_values"


CACHE_ARGUMENT = cache_argument(PhiModel)

FEW_TOKENS = 8
"""So many tokens at most are scored with the factors of the output head changed over."""


class CachedPhi(TextModel):
    """Phi with QK-norm and its output head; what its tokens mean is the network's matter.

    Args:
        config: Sizes.

    Attributes:
        showo: The transformer, named as in the released checkpoints, whose keys begin with it.
        recomputes: Whether activations are recomputed in the backward pass.
        flexible: Whether whole sequences are trained with FlexAttention.
    """

    def __init__(self, config: ShowoConfig) -> None:
        super().__init__(config)
        self.config: ShowoConfig = config
        self.showo = PhiForCausalLM(config.phi())
        self._compiled: CompiledDecoding | None = None
        self.recomputes = False
        self.flexible = False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return cast(torch.device, self.showo.lm_head.weight.device)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return cast(torch.dtype, self.showo.lm_head.weight.dtype)

    def gradient_checkpointing_enable(self, elementwise: bool = False) -> None:
        """Recompute each layer in the backward pass instead of storing it; see `ImageModel`."""
        self.recomputes = True
        # Newer versions of transformers have renamed it, and warn of the old name.
        renamed = getattr(self.showo, "activation_checkpointing_enable", None)
        (renamed or self.showo.gradient_checkpointing_enable)(checkpoint_options(elementwise))

    def flex_attention_enable(self) -> None:
        """Train with FlexAttention; see `ImageModel`."""
        self.flexible = True

    def mask_of(self, layout: Layout) -> "Tensor | BlockMask":
        """Who sees whom in whole sequences, for the attention that is to be used."""
        flexible = self.flexible and torch.is_grad_enabled()
        return layout.block_mask if flexible else layout.attention_mask

    def lora_layers(self) -> tuple[nn.Module, nn.Module]:
        """The blocks that adapters go into, and the module that keeps their scaling."""
        return self.showo.model.layers, self.showo

    def hidden_states(
        self,
        input_ids: Tensor,
        attention_mask: "Tensor | BlockMask",
        position_ids: Tensor | None = None,
        embeddings: Tensor | None = None,
    ) -> Tensor:
        """Run the transformer over whole sequences.

        Args:
            input_ids: `(batch, tokens)`.
            attention_mask: `(batch, 1, tokens, tokens)` bool, `True` where attended; or see
                `mask_of`.
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
            UserError: If embeddings are given for other tokens than the first, and decoding is
                compiled.
        """
        if isinstance(cache, StaticKeyValueCache):
            if cache.filled and self._compiled is not None:
                if embeddings is not None:
                    raise UserError(
                        "compiled decoding takes no noise, which this model reads; leave compile "
                        "out"
                    )
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

    def append_rows(self, rows: Sequence[Sequence[int]], cache: KeyValueCache) -> Tensor:
        """Run the transformer over tokens of each row that follow what the cache holds.

        See `append`, which is this where all rows are of one length. Rows of different lengths are
        packed: what looks at one token at a time computes no padding. Compiled code, which has
        fixed shapes, does.

        Args:
            rows: Token ids of each sample, at least one of each.
            cache: Prefixes; each sample continues at its own length.

        Returns:
            `(tokens of all rows, hidden)`, row after row.
        """
        widths = [len(row) for row in rows]
        longest = max(widths)
        if min(widths) == longest:
            return self.append(torch.tensor(rows, device=self.device), cache).flatten(0, 1)
        packing = Packing.of(widths, self.device)
        if isinstance(cache, StaticKeyValueCache):
            filled = [[*row, *[0] * (longest - len(row))] for row in rows]
            hidden = self.append(torch.tensor(filled, device=self.device), cache)
            return packing.pack(hidden)[0]
        ids = torch.tensor([token for row in rows for token in row], device=self.device)
        positions, extent = cache.append_packed(packing)
        mask = cached_attention_mask(cache.lengths, longest, extent, bidirectional=False)
        return self._run(ids[None], mask, positions, cache, packing=packing)[0]

    def _run(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        positions: Tensor,
        cache: KeyValueCache,
        embeddings: Tensor | None = None,
        **packed: Packing,
    ) -> Tensor:
        output = self.showo.model(
            input_ids=input_ids if embeddings is None else None,
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=positions,
            use_cache=False,
            **{CACHE_ARGUMENT: cache},
            **packed,
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
