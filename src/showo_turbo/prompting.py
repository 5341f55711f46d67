"""Unified prompting: text and image codes become the sequences that Show-o was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import UserError
from .models.attention import omni_attention_mask
from .text_tokenizer import TextTokenizer
from .vocabulary import Vocabulary

IGNORE = -100
"""Label of positions that no loss counts."""


@dataclass(frozen=True)
class TokenBatch:
    """Sequences for one forward.

    Attributes:
        input_ids: `(batch, tokens)`.
        labels: `(batch, tokens)`, unshifted, `IGNORE` where nothing is to be predicted.
        bidirectional: `(batch, tokens)` bool, see `omni_attention_mask`.
        padding: `(batch, tokens)` bool.
    """

    input_ids: Tensor
    labels: Tensor
    bidirectional: Tensor
    padding: Tensor

    @property
    def attention_mask(self) -> Tensor:
        """`(batch, 1, tokens, tokens)` bool."""
        return omni_attention_mask(self.bidirectional, self.padding)

    @property
    def position_ids(self) -> Tensor:
        """`(batch, tokens)`: real tokens count from 0, so left padding shifts nothing."""
        return ((~self.padding).cumsum(dim=1) - 1).clamp(min=0)


class UnifiedPrompting:
    """Builds text-to-image, understanding and language sequences and their training labels.

    Args:
        vocabulary: Token ids.
        max_text_length: Longest text in tokens, `sot` and `eot` included.

    Source: Show-o (arXiv 2408.12528), section 3.1, and its released prompting code.
    """

    def __init__(self, vocabulary: Vocabulary, max_text_length: int) -> None:
        self.vocabulary = vocabulary
        self.max_text_length = max_text_length

    @property
    def longest_prompt(self) -> int:
        """Most tokens that a prompt may have, `sot` and `eot` not counted."""
        return self.max_text_length - 2

    def encode_prompt(self, tokenizer: TextTokenizer, text: str) -> list[int]:
        """Token ids of a prompt, checked against `max_text_length`.

        Raises:
            UserError: If it has too many tokens. Nothing is ever cut silently.
        """
        ids = tokenizer.encode(text)
        if len(ids) > self.longest_prompt:
            raise UserError(
                f"the prompt {text[:60]!r} has {len(ids)} tokens; at most {self.longest_prompt} "
                "fit: shorten it"
            )
        return ids

    def text_to_image(
        self,
        prompts: Sequence[Sequence[int]],
        codes: Tensor,
        targets: Tensor | None = None,
        pad_to: int | None = None,
    ) -> TokenBatch:
        """`[pad]* t2i sot text eot soi image* eoi`.

        Args:
            prompts: Text ids of each sample; empty is the unconditional prompt.
            codes: `(batch, image_tokens)` image codes, `mask_code` where masked.
            targets: `(batch, image_tokens)` the codes to predict at masked positions.
            pad_to: Length of the left-padded text part; the longest prompt's by default. The
                published code pads to `max_text_length + 1`.
        """
        v = self.vocabulary
        texts = [[v.t2i_id, v.sot_id, *prompt, v.eot_id] for prompt in prompts]
        width = max(map(len, texts)) if pad_to is None else pad_to
        ids = torch.full((len(texts), width), v.pad_id)
        padding = torch.ones(len(texts), width, dtype=torch.bool)
        for row, text in enumerate(texts):
            ids[row, width - len(text) :] = torch.tensor(text)
            padding[row, width - len(text) :] = False
        ids, padding = ids.to(codes.device), padding.to(codes.device)
        text_labels = ids.masked_fill(padding, IGNORE)
        edge = codes.new_ones(len(texts), 1)
        soi, eoi = edge * v.soi_id, edge * v.eoi_id
        image_labels = torch.full_like(codes, IGNORE)
        if targets is not None:
            image_labels = torch.where(codes == v.mask_code, targets + v.image_offset, IGNORE)
        image = torch.cat([soi, codes + v.image_offset, eoi], dim=1)
        inside = torch.ones_like(image, dtype=torch.bool)
        return TokenBatch(
            input_ids=torch.cat([ids, image], dim=1),
            labels=torch.cat([text_labels, soi, image_labels, eoi], dim=1),
            bidirectional=torch.cat([torch.zeros_like(padding), inside], dim=1),
            padding=torch.cat([padding, ~inside], dim=1),
        )

    def understanding(
        self,
        codes: Tensor,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]] | None = None,
        pad_to: int | None = None,
    ) -> TokenBatch:
        """`mmu soi image* eoi sot prompt [answer eot] [pad]*`.

        Labels cover the answer and its `eot`; where the prompt is empty the whole text, `sot`
        included, is the answer.

        Args:
            codes: `(batch, image_tokens)` image codes.
            prompts: Text ids after `sot` of each sample.
            answers: Text ids to learn; without them the sequence ends with the prompt.
            pad_to: Length of the right-padded text part; the longest text's by default.
        """
        v = self.vocabulary
        texts = [[v.sot_id, *prompt] for prompt in prompts]
        given = [len(text) if len(text) > 1 else 0 for text in texts]
        if answers is not None:
            pairs = zip(texts, answers, strict=True)
            texts = [[*text, *answer, v.eot_id] for text, answer in pairs]
        ids, labels, padding = self._right_padded(texts, given, pad_to, codes.device)
        edge = codes.new_ones(len(texts), 1)
        image = torch.cat(
            [edge * v.mmu_id, edge * v.soi_id, codes + v.image_offset, edge * v.eoi_id], dim=1
        )
        inside = torch.ones_like(image, dtype=torch.bool)
        return TokenBatch(
            input_ids=torch.cat([image, ids], dim=1),
            labels=torch.cat([torch.full_like(image, IGNORE), labels], dim=1),
            bidirectional=torch.cat([inside, torch.zeros_like(padding)], dim=1),
            padding=torch.cat([~inside, padding], dim=1),
        )

    def language(
        self, texts: Sequence[Sequence[int]], max_length: int, device: torch.device | None = None
    ) -> TokenBatch:
        """`sot text eot [pad]*`, a document longer than `max_length` being cut before its `eot`.

        Args:
            texts: Text ids of each document.
            max_length: Longest sequence in tokens.
            device: Where the tensors go.
        """
        v = self.vocabulary
        rows = [[v.sot_id, *text, v.eot_id][:max_length] for text in texts]
        ids, labels, padding = self._right_padded(rows, [0] * len(rows), None, device)
        return TokenBatch(ids, labels, torch.zeros_like(padding), padding)

    def _right_padded(
        self,
        rows: Sequence[Sequence[int]],
        unlabelled: Sequence[int],
        pad_to: int | None,
        device: torch.device | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, labels (from each row's `unlabelled` on) and padding flags."""
        width = max(map(len, rows)) if pad_to is None else pad_to
        ids = torch.full((len(rows), width), self.vocabulary.pad_id)
        labels = torch.full((len(rows), width), IGNORE)
        for row, (tokens, skip) in enumerate(zip(rows, unlabelled, strict=True)):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            labels[row, skip : len(tokens)] = torch.tensor(tokens[skip:])
        ids, labels = ids.to(device), labels.to(device)
        padding = torch.arange(width, device=device) >= torch.tensor(
            [[len(row)] for row in rows], device=device
        )
        return ids, labels, padding


def format_question(question: str) -> str:
    """A question as the released models were instructed: `USER: ... ASSISTANT:`."""
    return f"USER: \n{question} ASSISTANT:"
