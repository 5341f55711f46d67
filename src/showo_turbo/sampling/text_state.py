"""What autoregressive and Jacobi decoding share: a prefilled cache and the answers so far."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UserError
from ..models.attention import omni_attention_mask
from ..models.cache import KeyValueCache
from ..models.showo import Showo


class TextState:
    """Answers in progress, each with its own length, over one cache.

    The cache holds every token of a sample but the last known one, which the next forward feeds
    together with whatever is guessed to follow it. Samples that finish leave the batch.

    Args:
        model: Network in eval mode.
        image_codes: `(batch, image_tokens)`, or none for plain text (`sot prompt`).
        prompts: Text ids after `sot` of each sample.
        max_new_tokens: Longest answer.
        lookahead: Tokens that one forward may feed at most.
        restrict_to_text: Whether only text tokens may be predicted.

    Raises:
        UserError: If there are no prompts, an option is out of range, or the image codes are.
    """

    def __init__(
        self,
        model: Showo,
        image_codes: Tensor | None,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        lookahead: int,
        restrict_to_text: bool,
    ) -> None:
        if not prompts:
            raise UserError("there are no prompts; give at least one")
        if max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
        if image_codes is not None:
            _check_codes(image_codes, len(prompts), model.vocabulary.codebook_size)
        self.model = model
        self.max_new_tokens = max_new_tokens
        self.rows = model.vocabulary.text_rows if restrict_to_text else slice(None)
        self.answers: list[list[int]] = [[] for _ in prompts]
        self.finished = [False] * len(prompts)
        self.forwards = [0] * len(prompts)
        self.active = list(range(len(prompts)))
        self._cache, self._last = self._prefill(image_codes, prompts, max_new_tokens + lookahead)

    def _prefill(
        self, image_codes: Tensor | None, prompts: Sequence[Sequence[int]], room: int
    ) -> tuple[KeyValueCache, list[int]]:
        """Compute the prompts' keys and values, leaving each one's last token to be fed."""
        v, device = self.model.vocabulary, self.model.device
        texts = [[v.sot_id, *prompt] for prompt in prompts]
        width = max(map(len, texts))
        ids = torch.full((len(texts), width), v.pad_id)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
        ids = ids.to(device)
        head = 0
        if image_codes is not None:
            edge = torch.ones(len(texts), 1, dtype=torch.long, device=device)
            codes = image_codes.to(device) + v.image_offset
            image = [edge * v.mmu_id, edge * v.soi_id, codes, edge * v.eoi_id]
            ids = torch.cat([*image, ids], dim=1)
            head = codes.shape[1] + 3
        cache = self.model.new_cache(len(texts), ids.shape[1] + room)
        inside = (torch.arange(ids.shape[1], device=device) < head).expand(len(texts), -1)
        self.model.append(ids, cache, attention_mask=omni_attention_mask(inside))
        cache.lengths = torch.tensor([head + len(text) - 1 for text in texts], device=device)
        return cache, [text[-1] for text in texts]

    def predict(self, guesses: Sequence[Sequence[int]]) -> Tensor:
        """One forward: what follows each active sample's last token and each of its guesses.

        Args:
            guesses: Guessed continuation of each active sample, all of one length g (may be 0).

        Returns:
            Logits `(active, g + 1, rows)` float32.
        """
        tokens = [[self._last[s], *guess] for s, guess in zip(self.active, guesses, strict=True)]
        for sample in self.active:
            self.forwards[sample] += 1
        ids = torch.tensor(tokens, device=self.model.device)
        return self.model.logits(self.model.append(ids, self._cache), self.rows).float()

    def accept(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append exact tokens to the active samples' answers, and drop those that are done.

        What was fed for the accepted tokens stays in the cache, the rest is forgotten.

        Args:
            tokens: At least one for each active sample; the fed guesses must begin with all of
                them but the last.
        """
        gained, staying = [], []
        for place, (sample, new) in enumerate(zip(self.active, tokens, strict=True)):
            answer = self.answers[sample]
            for token in new:
                answer.append(token)
                if token == self.model.vocabulary.eot_id:
                    self.finished[sample] = True
                    break
                if len(answer) == self.max_new_tokens:
                    break
            self._last[sample] = answer[-1]
            gained.append(len(new))
            if not self.finished[sample] and len(answer) < self.max_new_tokens:
                staying.append(place)
        self._cache.lengths = self._cache.lengths + torch.tensor(
            gained, device=self._cache.lengths.device
        )
        if staying and len(staying) < len(self.active):
            self._cache = self._cache.select(torch.tensor(staying, device=self.model.device))
        self.active = [self.active[place] for place in staying]


def _check_codes(image_codes: Tensor, prompts: int, codebook_size: int) -> None:
    if len(image_codes) != prompts:
        raise UserError(
            f"there are {len(image_codes)} images for {prompts} prompts; give one for each prompt"
        )
    outside = image_codes[(image_codes < 0) | (image_codes >= codebook_size)]
    if outside.numel():
        raise UserError(
            f"image code {int(outside[0])} lies outside of the codebook 0..{codebook_size - 1}; "
            "encode the image with the image tokenizer of this model"
        )
