"""Decoding over a key-value cache: what comes first is computed once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .cache import KeyValueCache

if TYPE_CHECKING:
    from .network import Showo
    from .sequences import Prefixes


class CachedImagePrefix:
    """Prompts of images; see `ImagePrefix`.

    What comes before an image never looks at it, so that its keys and values stay the same over all
    steps; each computes `soi image* eoi` only.

    Args:
        network: Network in eval mode.
        cache: Holds what comes before each row's image.
        noise: `(rows, 1 + image_tokens, noise_size)`, if the network reads noise.
    """

    def __init__(self, network: "Showo", cache: KeyValueCache, noise: Tensor | None = None) -> None:
        self._network = network
        self._cache = cache
        self._noise = noise

    @classmethod
    def behind(
        cls, network: "Showo", prompts: Sequence[Sequence[int]], noise: Tensor | None = None
    ) -> "CachedImagePrefix":
        """Begin behind prompts: text ids of each row, or stories so far."""
        prefix = network.sequences.text_to_image_prefix(prompts, network.device)
        return cls(network, _filled(network, prefix, network.config.image_tokens + 2), noise)

    def logits(self, codes: Tensor) -> Tensor:
        """Predict every image token of `(rows, image_tokens)` codes, masked or not."""
        network = self._network
        image = network.sequences.image(codes)
        embeddings = None if self._noise is None else network.noisy(image, codes, self._noise)
        hidden = network.append(image, self._cache, bidirectional=True, embeddings=embeddings)
        return network.logits(hidden[:, 1:-1], network.vocabulary.image_rows)


class CachedTextPrefix:
    """Texts that are being written behind what a cache holds; see `TextPrefix`.

    The cache holds every token of a row but the last known one, which the next forward pass feeds
    together with whatever is guessed to follow it. Nothing up to `eoi` ever looks at what follows,
    so that this is exact, whether an image is codes or features.

    Args:
        network: Network in eval mode.
        cache: Holds what comes before the last token of each row.
        last: The last token of each row.
    """

    def __init__(self, network: "Showo", cache: KeyValueCache, last: Sequence[int]) -> None:
        self._network = network
        self._cache = cache
        self._last = list(last)

    @classmethod
    def behind(
        cls,
        network: "Showo",
        images: Tensor | None,
        prompts: Sequence[Sequence[int]],
        room: int,
    ) -> "CachedTextPrefix":
        """Begin behind images and questions, texts, or stories so far.

        Args:
            network: Network in eval mode.
            images: The image of each row, as `ImageInput` says, if there are images.
            prompts: Ids of each row, as `encode_question` or `story_prompt` gives them.
            room: Tokens that answers and guesses may take at most.
        """
        prefix = network.text_prefix(images, prompts)
        cache = _filled(network, prefix, room, network.embeddings_of(prefix, images))
        cache.lengths = prefix.lengths - 1
        sot = network.vocabulary.sot_id
        return cls(network, cache, [prompt[-1] if prompt else sot for prompt in prompts])

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


def _filled(
    network: "Showo", prefix: "Prefixes", room: int, embeddings: Tensor | None = None
) -> KeyValueCache:
    """A new cache that holds a prefix, with room behind it."""
    rows, tokens = prefix.input_ids.shape
    return fill_cache(network, prefix, network.new_cache(rows, tokens + room), embeddings)


def fill_cache(
    network: "Showo", prefix: "Prefixes", cache: KeyValueCache, embeddings: Tensor | None = None
) -> KeyValueCache:
    """Compute a prefix into an empty cache.

    Args:
        network: Network in eval mode.
        prefix: What comes first in each row.
        cache: With room for it.
        embeddings: `(rows, tokens, hidden)`, in place of those of the prefix's ids.
    """
    mask = prefix.layout.attention_mask
    network.append(prefix.input_ids, cache, attention_mask=mask, embeddings=embeddings)
    cache.lengths = prefix.lengths
    return cache
