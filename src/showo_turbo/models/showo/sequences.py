"""Unified prompting: text and image codes become the sequences that Show-o was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..layout import Layout, padded_left
from ..questions import history_of
from .interleaved import are_stories, begins_story, blocks_of
from .vocabulary import Vocabulary

IGNORE = -100
"""Label of positions that no loss counts."""


@dataclass(frozen=True)
class Sequences:
    """Sequences for one forward pass.

    Attributes:
        input_ids: `(batch, tokens)`.
        labels: `(batch, tokens)`, unshifted, `IGNORE` where nothing is to be predicted.
        layout: Which token sees which, and where each stands.
        features_at: `(batch, tokens)` bool, the tokens whose embeddings are features of an image;
            none by default.
    """

    input_ids: Tensor
    labels: Tensor
    layout: Layout
    features_at: Tensor | None = None

    @property
    def lengths(self) -> Tensor:
        """`(batch,)`, tokens of each that are not padding."""
        if self.layout.padding is None:
            return torch.full_like(self.input_ids[:, 0], self.input_ids.shape[1])
        return (~self.layout.padding).sum(dim=1)

    def as_prefixes(self) -> "Prefixes":
        """The sequences, padded on the right, as what comes before the tokens of a cache."""
        layout = Layout(self.layout.block, visible=self.layout.visible)
        return Prefixes(self.input_ids, self.lengths, layout, self.features_at)


@dataclass(frozen=True)
class Prefixes:
    """What comes before the tokens of a cache, padded on the right.

    Attributes:
        input_ids: `(batch, tokens)`.
        lengths: `(batch,)`, tokens of each that are not padding.
        layout: Which token sees which; padding comes last, so that nothing sees it.
        features_at: See `Sequences`.
    """

    input_ids: Tensor
    lengths: Tensor
    layout: Layout
    features_at: Tensor | None = None


class UnifiedPrompting:
    """Builds text-to-image, understanding and language sequences and their training labels.

    Args:
        vocabulary: Token ids.
        max_text_length: Longest text in tokens, `sot` and `eot` included.
        video: Whether the images are clips: `t2v` and `sov video* eov` then take the places of
            `t2i` and `soi image* eoi`.

    Source: Show-o (arXiv 2408.12528), section 3.1, and its released prompting code.
    """

    def __init__(
        self, vocabulary: Vocabulary, max_text_length: int, *, video: bool = False
    ) -> None:
        v = self.vocabulary = vocabulary
        self.max_text_length = max_text_length
        self._task = v.t2v_id if video else v.t2i_id
        self._edges = (v.sov_id, v.eov_id) if video else (v.soi_id, v.eoi_id)

    def text_to_image(
        self,
        prompts: Sequence[Sequence[int]],
        codes: Tensor,
        targets: Tensor | None = None,
        pad_to: int | None = None,
    ) -> Sequences:
        """`[pad]* t2i sot text eot soi image* eoi`.

        Args:
            prompts: Text ids of each sample; empty is the unconditional prompt. A story so far (see
                `interleaved.py`) takes the place of the whole text part.
            codes: `(batch, image_tokens)` image codes, `mask_code` where masked.
            targets: `(batch, image_tokens)` the codes to predict at masked positions.
            pad_to: Length of the left-padded text part; the longest prompt's by default. The
                published code pads to `max_text_length + 1`.
        """
        v = self.vocabulary
        texts = self._image_prompts(prompts)
        ids, padding = padded_left(texts, v.pad_id, pad_to, codes.device)
        if padding is None:
            padding = torch.zeros_like(ids, dtype=torch.bool)
        text_labels = ids.masked_fill(padding, IGNORE)
        image = self.image(codes)
        image_labels = torch.full_like(codes, IGNORE)
        if targets is not None:
            image_labels = torch.where(codes == v.mask_code, targets + v.image_offset, IGNORE)
        padding = torch.nn.functional.pad(padding, (0, image.shape[1]))
        input_ids = torch.cat([ids, image], dim=1)
        return Sequences(
            input_ids=input_ids,
            labels=torch.cat([text_labels, image[:, :1], image_labels, image[:, -1:]], dim=1),
            layout=Layout(blocks_of(input_ids, v), padding),
        )

    def text_to_image_prefix(
        self, prompts: Sequence[Sequence[int]], device: torch.device
    ) -> Prefixes:
        """`t2i sot text eot [pad]*`, which never sees the image behind it."""
        texts = self._image_prompts(prompts)
        ids, _, padding = self.right_padded(texts, [0] * len(texts), None, device)
        return Prefixes(ids, (~padding).sum(dim=1), Layout(blocks_of(ids, self.vocabulary)))

    def image(self, codes: Tensor) -> Tensor:
        """`soi image* eoi` of codes `(batch, image_tokens)`."""
        edge = codes.new_ones(len(codes), 1)
        first, last = self._edges
        offset = self.vocabulary.image_offset
        return torch.cat([edge * first, codes + offset, edge * last], dim=1)

    def _image_prompts(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        v = self.vocabulary
        return [
            list(prompt) if begins_story(prompt, v) else [self._task, v.sot_id, *prompt, v.eot_id]
            for prompt in prompts
        ]

    def story(
        self,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]] | None = None,
        device: torch.device | None = None,
    ) -> Sequences:
        """`lvg ... sot [text eot] [pad]*`: stories so far, with the texts that follow.

        Args:
            prompts: Ids of each, as `story_prompt` gives them.
            answers: Text ids to learn; without them the sequences end with the prompts.
            device: Where the tensors go.
        """
        rows, given = [list(prompt) for prompt in prompts], [len(prompt) for prompt in prompts]
        if answers is not None:
            pairs = zip(rows, answers, strict=True)
            rows = [[*row, *answer, self.vocabulary.eot_id] for row, answer in pairs]
        ids, labels, padding = self.right_padded(rows, given, None, device)
        return Sequences(ids, labels, Layout(blocks_of(ids, self.vocabulary), padding))

    def understanding(
        self,
        codes: Tensor,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]] | None = None,
        pad_to: int | None = None,
    ) -> Sequences:
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
        ids, labels, padding = self.right_padded(texts, given, pad_to, codes.device)
        image = torch.cat([codes.new_full((len(texts), 1), v.mmu_id), self.image(codes)], dim=1)
        block = torch.cat([torch.ones_like(image), torch.zeros_like(ids)], dim=1)
        padding = torch.nn.functional.pad(padding, (image.shape[1], 0))
        return Sequences(
            input_ids=torch.cat([image, ids], dim=1),
            labels=torch.cat([torch.full_like(image, IGNORE), labels], dim=1),
            layout=Layout(block, padding),
        )

    def text_prefix(
        self, codes: Tensor | None, prompts: Sequence[Sequence[int]], device: torch.device
    ) -> Prefixes:
        """`mmu soi image* eoi sot prompt [pad]*`, or `sot prompt [pad]*` without an image.

        Args:
            codes: `(batch, image_tokens)` image codes, if there are images.
            prompts: Text ids after `sot` of each sample, or stories so far.
            device: Where the tensors go.
        """
        if are_stories(prompts, self.vocabulary):
            asked = self.story(prompts, device=device)
        elif codes is not None:
            asked = self.understanding(codes.to(device), prompts)
        else:
            texts = [[self.vocabulary.sot_id, *prompt] for prompt in prompts]
            ids, labels, padding = self.right_padded(texts, [0] * len(texts), None, device)
            asked = Sequences(ids, labels, Layout(torch.zeros_like(ids), padding))
        return asked.as_prefixes()

    def language(
        self, texts: Sequence[Sequence[int]], max_length: int, device: torch.device | None = None
    ) -> Sequences:
        """`sot text eot [pad]*`, a document longer than `max_length` being cut before its `eot`.

        Args:
            texts: Text ids of each document.
            max_length: Longest sequence in tokens.
            device: Where the tensors go.
        """
        v = self.vocabulary
        rows = [[v.sot_id, *text, v.eot_id][:max_length] for text in texts]
        ids, labels, padding = self.right_padded(rows, [0] * len(rows), None, device)
        return Sequences(ids, labels, Layout(torch.zeros_like(ids), padding))

    def right_padded(
        self,
        rows: Sequence[Sequence[int]],
        unlabelled: Sequence[int],
        pad_to: int | None,
        device: torch.device | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, labels and padding flags of rows, each `(rows, tokens)`.

        Args:
            rows: Token ids of each row.
            unlabelled: How many tokens at the beginning of each row are not to be predicted.
            pad_to: Length; the longest row's by default.
            device: Where the tensors go.
        """
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


def format_conversation(question: str, *, line_break: bool = True) -> list[str]:
    """A question with the turns before it, as the released models were instructed.

    Args:
        question: The question, or a `FollowUp`.
        line_break: Whether the first question comes after a line break, where the mark of the image
            was; not for models that read features.

    Returns:
        The turns, of which all but the last are to be followed by the end of text; the last is
        without its answer.

    Source: the prompt format of LLaVA (arXiv 2310.03744) with the roles and separators for Phi.
    """
    history = history_of(question)
    asked = [*(earlier for earlier, _ in history), str(question)]
    first = format_question(asked[0]) if line_break else f"USER: {asked[0]} ASSISTANT:"
    prompts = [first, *(f"USER: {text} ASSISTANT:" for text in asked[1:])]
    answers = [*(f" {answer}" for _, answer in history), ""]
    return [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
