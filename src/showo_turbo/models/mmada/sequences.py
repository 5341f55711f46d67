"""Unified prompting: text and image codes become the sequences that MMaDA was trained on."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import Layout, padded_left
from ..questions import history_of
from .vocabulary import Vocabulary


class UnifiedPrompting:
    """Builds the sequences of images for prompts, and of answers about images or to text alone.

    Args:
        vocabulary: Token ids.
        max_text_length: Longest text beside an image in tokens, special ones included.
        padding_visible: Whether prompts for images attend to the padding before them.

    Source: MMaDA (arXiv 2505.15809) and its released prompting code.
    """

    def __init__(
        self, vocabulary: Vocabulary, max_text_length: int, padding_visible: bool = False
    ) -> None:
        self.vocabulary = vocabulary
        self.max_text_length = max_text_length
        self.padding_visible = padding_visible

    def text_to_image(
        self, prompts: Sequence[Sequence[int]], codes: Tensor, pad_to: int | None = None
    ) -> tuple[Tensor, Layout]:
        """`[pad]* t2i bos text eos soi image* eoi`.

        Args:
            prompts: Text ids of each sample; empty is the unconditional prompt.
            codes: `(batch, image_tokens)` image codes, `mask_code` where masked.
            pad_to: Length of the left-padded text part; by default the longest prompt's or, where
                padding is visible, `max_text_length + 1`, as the published code always pads.

        Returns:
            Ids `(batch, tokens)`, of which the image and `eoi` are the last, and their layout.
        """
        v = self.vocabulary
        texts = [[v.t2i_id, v.bos_id, *prompt, v.eos_id] for prompt in prompts]
        if pad_to is None and self.padding_visible:
            pad_to = self.max_text_length + 1
        ids, padding = padded_left(texts, v.pad_id, pad_to, codes.device)
        image = self.image(codes)
        if padding is not None:
            padding = F.pad(padding, (0, image.shape[1]))
        ids = torch.cat([ids, image], dim=1)
        return ids, Layout(torch.ones_like(ids), padding, padding_visible=self.padding_visible)

    def image(self, codes: Tensor) -> Tensor:
        """`soi image* eoi` of codes `(batch, image_tokens)`."""
        v = self.vocabulary
        edge = codes.new_ones(len(codes), 1)
        return torch.cat([edge * v.soi_id, v.ids_of(codes), edge * v.eoi_id], dim=1)

    def _looked_at(self, codes: Tensor) -> Tensor:
        """`mmu soi image* eoi` of codes `(batch, image_tokens)`."""
        task = codes.new_full((len(codes), 1), self.vocabulary.mmu_id)
        return torch.cat([task, self.image(codes)], dim=1)

    def answering(
        self,
        codes: Tensor | None,
        prompts: Sequence[Sequence[int]],
        answers: Tensor,
        unconditional: Tensor | None = None,
    ) -> tuple[Tensor, Layout]:
        """`mmu soi image* eoi [pad]* bos prompt answer`, without an image what follows its `eoi`.

        In training `eos` ends the answer and fills it up, tokens of the answer like any other.
        Padding only makes prompts of different lengths one batch. The network never saw any here,
        so it is masked in either mode, and counts in no position.

        Args:
            codes: `(batch, image_tokens)` image codes, if there are images.
            prompts: Text ids after `bos` of each sample.
            answers: `(batch, answer tokens)`, the mask where unknown.
            unconditional: `(batch,)` bool, rows of which everything before the answer is masked.

        Returns:
            Ids `(batch, tokens)`, of which the answers are the last, and their layout.
        """
        v = self.vocabulary
        texts = [[v.bos_id, *prompt] for prompt in prompts]
        ids, padding = padded_left(texts, v.eos_id, None, answers.device)
        before = 0
        if codes is not None:
            image = self._looked_at(codes)
            before = image.shape[1]
            ids = torch.cat([image, ids], dim=1)
        if unconditional is not None:
            ids = ids.masked_fill(unconditional[:, None], v.mask_id)
        if padding is not None:
            padding = F.pad(padding, (before, answers.shape[1]))
        ids = torch.cat([ids, answers], dim=1)
        return ids, Layout(torch.ones_like(ids), padding)


def conversation_turns(question: str) -> list[tuple[str, str]]:
    """Speakers and what they say, of a question with the turns before it; the last is to be made.

    Source: the chat template of the released tokenizer, which is LLaDA's (arXiv 2502.09992).
    """
    turns: list[tuple[str, str]] = []
    for asked, answered in history_of(question):
        turns += [("user", asked), ("assistant", answered)]
    return [*turns, ("user", str(question)), ("assistant", "")]
