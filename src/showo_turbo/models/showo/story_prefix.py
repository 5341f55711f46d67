"""Stories over one key-value cache: what is finished is computed once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...errors import UserError
from .cache import KeyValueCache
from .interleaved import story_ids, text_follows
from .prefixes import CachedImagePrefix, CachedTextPrefix, fill_cache

if TYPE_CHECKING:
    from .network import Showo


class CachedStories:
    """Stories that are being told; see `StoryPrefix`.

    The cache holds every finished text and image of a row, without the `sot` of a text to come.
    Texts are written over a copy of it, so that those that end early wait for the others.

    Args:
        network: Network in eval mode.
        prompts: Each story so far, as `story_ids` gives it.
        room: Tokens that are to be added at most, guesses included.

    Attributes:
        text_follows: Whether a text comes next at the beginning.

    Raises:
        UserError: If it does in some of the stories only.
    """

    def __init__(self, network: "Showo", prompts: Sequence[Sequence[int]], room: int) -> None:
        follows = {text_follows(prompt, network.vocabulary) for prompt in prompts}
        if len(follows) > 1:
            raise UserError(
                "some stories go on with a text and others with an image; expected one kind, "
                "divide them"
            )
        self.text_follows = True in follows
        done = [prompt[:-1] if self.text_follows else prompt for prompt in prompts]
        self._network = network
        prefix = network.sequences.text_to_image_prefix(done, network.device)
        # Not a compiled one: its buffers are not to be copied.
        rows, tokens = prefix.input_ids.shape
        cache = KeyValueCache(network.config.layers, rows, tokens + room, network.device)
        self._cache = fill_cache(network, prefix, cache)

    @property
    def room(self) -> list[int]:
        """Tokens that still fit behind each row."""
        most = self._network.config.max_position_embeddings
        return [most - length for length in self._cache.lengths.tolist()]

    def texts(self) -> CachedTextPrefix:
        """Begin to write the next text of every row."""
        rows = torch.arange(len(self._cache.lengths), device=self._network.device)
        copy = self._cache.select(rows)
        return CachedTextPrefix(self._network, copy, [self._network.vocabulary.sot_id] * len(rows))

    def images(
        self, guided: bool, noise: Tensor | None = None
    ) -> "CachedImagePrefix | _WithUnconditional":
        """Begin to generate the next image of every row, with guidance twice as many rows."""
        if not guided:
            return CachedImagePrefix(self._network, self._cache, noise)
        rows = len(self._cache.lengths)
        halves = (None, None) if noise is None else noise.chunk(2)
        empty = story_ids(self._network.vocabulary, [[]], [])
        return _WithUnconditional(
            CachedImagePrefix(self._network, self._cache, halves[0]),
            CachedImagePrefix.behind(self._network, [empty] * rows, halves[1]),
        )

    def keep_texts(self, texts: Sequence[Sequence[int]]) -> None:
        """Append `sot text eot` to every row."""
        v = self._network.vocabulary
        rows = [[v.sot_id, *text, v.eot_id] for text in texts]
        device = self._network.device
        ids, _, padding = self._network.sequences.right_padded(rows, [0] * len(rows), None, device)
        self._network.append(ids, self._cache)
        self._cache.lengths = self._cache.lengths + (~padding).sum(dim=1)

    def keep_images(self, codes: Tensor) -> None:
        """Append `soi image* eoi` to every row, computed once more with the final codes."""
        image = self._network.sequences.image(codes)
        self._network.append(image, self._cache, bidirectional=True)
        self._cache.lengths = self._cache.lengths + image.shape[1]

    def select(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows only."""
        self._cache = self._cache.select(torch.tensor(rows, device=self._network.device))


class _WithUnconditional:
    """Rows of images that know what comes before them, and as many that do not."""

    def __init__(self, conditional: CachedImagePrefix, unconditional: CachedImagePrefix) -> None:
        self._halves = (conditional, unconditional)

    def logits(self, codes: Tensor) -> Tensor:
        """Predict every image token, the conditional rows first; see `ImagePrefix`."""
        pairs = zip(self._halves, codes.chunk(2), strict=True)
        return torch.cat([half.logits(own) for half, own in pairs])
