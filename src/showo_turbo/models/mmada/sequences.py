"""Unified prompting: text and image codes become the sequences that MMaDA was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import Layout, padded_left
from ..questions import history_of
from .vocabulary import Vocabulary

IGNORE = -100
"""Label of positions that no loss counts."""


@dataclass(frozen=True)
class Sequences:
    """Sequences for one forward pass; every token sees every other, in both directions.

    Attributes:
        input_ids: `(batch, tokens)`.
        labels: `(batch, tokens)`, unshifted, `IGNORE` where nothing is to be predicted.
        given: `(batch, tokens)` bool, what is given and never masked: prompts, and in sequences of
            text their image.
        layout: Which token sees which, and where each stands.
    """

    input_ids: Tensor
    labels: Tensor
    given: Tensor
    layout: Layout


class UnifiedPrompting:
    """Builds text-to-image, understanding and language sequences and their training labels.

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
        self,
        prompts: Sequence[Sequence[int]],
        codes: Tensor,
        targets: Tensor | None = None,
        pad_to: int | None = None,
    ) -> Sequences:
        """`[pad]* t2i bos text eos soi image* eoi`.

        Args:
            prompts: Text ids of each sample; empty is the unconditional prompt.
            codes: `(batch, image_tokens)` image codes, `mask_code` where masked.
            targets: `(batch, image_tokens)` the codes to predict at masked positions.
            pad_to: Length of the left-padded text part; by default the longest prompt's or, where
                padding is visible, `max_text_length + 1`, as the published code always pads.
        """
        v = self.vocabulary
        texts = [[v.t2i_id, v.bos_id, *prompt, v.eos_id] for prompt in prompts]
        if pad_to is None and self.padding_visible:
            pad_to = self.max_text_length + 1
        ids, padding = padded_left(texts, v.pad_id, pad_to, codes.device)
        text_labels = ids if padding is None else ids.masked_fill(padding, IGNORE)
        image = self.image(codes)
        image_labels = torch.full_like(codes, IGNORE)
        if targets is not None:
            image_labels = torch.where(codes == v.mask_code, targets + v.image_offset, IGNORE)
        input_ids = torch.cat([ids, image], dim=1)
        given = torch.ones_like(input_ids, dtype=torch.bool)
        given[:, -codes.shape[1] - 1 : -1] = False
        if padding is not None:
            padding = F.pad(padding, (0, image.shape[1]))
        return Sequences(
            input_ids,
            torch.cat([text_labels, image[:, :1], image_labels, image[:, -1:]], dim=1),
            given,
            Layout(torch.ones_like(input_ids), padding, padding_visible=self.padding_visible),
        )

    def image(self, codes: Tensor) -> Tensor:
        """`soi image* eoi` of codes `(batch, image_tokens)`."""
        v = self.vocabulary
        edge = codes.new_ones(len(codes), 1)
        return torch.cat([edge * v.soi_id, v.ids_of(codes), edge * v.eoi_id], dim=1)

    def understanding(
        self,
        codes: Tensor,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
    ) -> Sequences:
        """`mmu soi image* eoi bos prompt answer eos eos*`.

        The text is filled up to `max_text_length`, and one that is longer cut before its `eos`. The
        eos that fill it are tokens of the answer like any other. Where the prompt is empty the
        whole text, `bos` included, is the answer.

        Args:
            codes: `(batch, image_tokens)` image codes.
            prompts: Text ids after `bos` of each sample.
            answers: Text ids to learn.
        """
        v, length = self.vocabulary, self.max_text_length
        texts = [
            [*[v.bos_id, *prompt, *answer][: length - 1], v.eos_id]
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        text = self._filled(texts, prompts, length, codes.device)
        image = self._looked_at(codes)
        input_ids = torch.cat([image, text.input_ids], dim=1)
        return Sequences(
            input_ids,
            torch.cat([torch.full_like(image, IGNORE), text.labels], dim=1),
            torch.cat([torch.ones_like(image, dtype=torch.bool), text.given], dim=1),
            Layout(torch.ones_like(input_ids)),
        )

    def language(
        self,
        texts: Sequence[Sequence[int]],
        length: int,
        prompts: Sequence[Sequence[int]] | None = None,
        device: torch.device | None = None,
    ) -> Sequences:
        """`bos prompt text eos eos*`, cut to a length.

        Args:
            texts: Text ids to learn.
            length: Of the sequences; the published code takes that of a sequence with an image.
            prompts: Text ids after `bos`, as of a conversation; none by default, see
                `understanding`.
            device: Where the tensors go.
        """
        v = self.vocabulary
        given = [[] for _ in texts] if prompts is None else prompts
        rows = [
            [v.bos_id, *prompt, *text, v.eos_id][:length]
            for prompt, text in zip(given, texts, strict=True)
        ]
        return self._filled(rows, given, length, device)

    def _looked_at(self, codes: Tensor) -> Tensor:
        """`mmu soi image* eoi` of codes `(batch, image_tokens)`."""
        task = codes.new_full((len(codes), 1), self.vocabulary.mmu_id)
        return torch.cat([task, self.image(codes)], dim=1)

    def _filled(
        self,
        texts: Sequence[Sequence[int]],
        prompts: Sequence[Sequence[int]],
        length: int,
        device: torch.device | None,
    ) -> Sequences:
        """Texts filled with eos on the right."""
        v = self.vocabulary
        rows = [[*text, *[v.eos_id] * (length - len(text))] for text in texts]
        ids = torch.tensor(rows, device=device)
        counts = [[len(prompt) + 1 if len(prompt) else 0] for prompt in prompts]
        given = torch.arange(length, device=device) < torch.tensor(counts, device=device)
        return Sequences(ids, ids, given, Layout(torch.ones_like(ids)))

    def answering(
        self,
        codes: Tensor | None,
        prompts: Sequence[Sequence[int]],
        answers: Tensor,
        unconditional: Tensor | None = None,
    ) -> tuple[Tensor, Layout]:
        """`mmu soi image* eoi [pad]* bos prompt answer`, without an image what follows its `eoi`.

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
