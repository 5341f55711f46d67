"""Decoding over a key-value cache: what comes first is computed once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .network import Showo


class CachedImagePrefix:
    """Prompts of images; see `ImagePrefix`.

    Text never looks at the image, so that the prompt's keys and values stay the same over all
    steps; each computes `soi image* eoi` only.

    Args:
        network: Network in eval mode.
        prompts: Text ids of each row.
        noise: `(rows, 1 + image_tokens, noise_size)`, if the network reads noise.
    """

    def __init__(
        self, network: "Showo", prompts: Sequence[Sequence[int]], noise: Tensor | None = None
    ) -> None:
        self._network = network
        self._noise = noise
        prefix = network.sequences.text_to_image_prefix(prompts, network.device)
        ids = prefix.input_ids
        self._cache = network.new_cache(len(ids), ids.shape[1] + network.config.image_tokens + 2)
        network.append(ids, self._cache, attention_mask=prefix.layout.attention_mask)
        self._cache.lengths = prefix.lengths

    def logits(self, codes: Tensor) -> Tensor:
        """Predict every image token of `(rows, image_tokens)` codes, masked or not."""
        network = self._network
        image = network.sequences.image(codes)
        embeddings = None if self._noise is None else network.noisy(image, codes, self._noise)
        hidden = network.append(image, self._cache, bidirectional=True, embeddings=embeddings)
        return network.logits(hidden[:, 1:-1], network.vocabulary.image_rows)


class CachedTextPrefix:
    """Images and questions, and the answers so far; see `TextPrefix`.

    The cache holds every token of a row but the last known one, which the next forward pass feeds
    together with whatever is guessed to follow it. Nothing up to `eoi` ever looks at what follows,
    so that this is exact, whether the image is codes or features.

    Args:
        network: Network in eval mode.
        images: The image of each row, as `ImageInput` says, if there are images.
        prompts: Ids of each row, as `encode_question` gives them.
        room: Tokens that answers and guesses may take at most.
    """

    def __init__(
        self,
        network: "Showo",
        images: Tensor | None,
        prompts: Sequence[Sequence[int]],
        room: int,
    ) -> None:
        self._network = network
        prefix = network.text_prefix(images, prompts)
        ids = prefix.input_ids
        self._cache = network.new_cache(len(ids), ids.shape[1] + room)
        network.append(
            ids,
            self._cache,
            attention_mask=prefix.layout.attention_mask,
            embeddings=network.embeddings_of(prefix, images),
        )
        self._cache.lengths = prefix.lengths - 1
        sot = network.vocabulary.sot_id
        self._last = [prompt[-1] if prompt else sot for prompt in prompts]

    def logits(self, guesses: Sequence[Sequence[int]], *, restrict_to_text: bool = True) -> Tensor:
        """Predict what follows each row's last token and each of its guesses."""
        tokens = [[last, *guess] for last, guess in zip(self._last, guesses, strict=True)]
        network = self._network
        rows = network.vocabulary.text_rows if restrict_to_text else slice(None)
        return network.logits(network.append_rows(tokens, self._cache), rows)

    def keep(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append tokens to the rows; what was fed for them stays, the rest is forgotten."""
        counts = torch.tensor([len(row) for row in tokens], device=self._cache.lengths.device)
        self._cache.lengths = self._cache.lengths + counts
        self._last = [row[-1] for row in tokens]

    def select(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows only."""
        self._cache = self._cache.retain(torch.tensor(rows, device=self._network.device))
        self._last = [self._last[row] for row in rows]

    def join(self, other: "CachedTextPrefix") -> None:
        """Go on with the rows of another prefix, too, behind these."""
        self._cache.join(other._cache)
        self._last = [*self._last, *other._last]
