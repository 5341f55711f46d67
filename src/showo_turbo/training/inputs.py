"""What loss terms ask for, computed from a batch when it is first asked for."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..losses.term import NoisedTexts
from ..models.protocols import FIXED_POINT, ImageModel
from ..models.registry import masked_text_model, text_model
from ..trajectories.batch import DenoisedTextBatch, TextBatch
from .denoised_inputs import DenoisedTextStream, ImageStream, TurboModule, denoised_logits
from .masking import mask_texts


class TextStream:
    """Logits of the blocks of answers, see `TextInputs`.

    Args:
        module: Has the networks.
        batch: Answers, their blocks each at a drawn iterate.
        asked_for: Names of what terms are going to ask for: it comes from one forward pass.
    """

    def __init__(
        self, module: TurboModule, batch: TextBatch, asked_for: Collection[str] = ()
    ) -> None:
        self.module = module
        self.batch = batch
        self.segment = batch.segment
        self._asked_for = set(asked_for)
        self._computed: dict[str, Tensor] = {}

    @property
    def logits(self) -> Tensor:
        """`(blocks, block tokens, text vocabulary)`, the student's from iterate k."""
        return self._of_student("logits")

    @property
    def fixed_point_logits(self) -> Tensor:
        """`(blocks, block tokens, text vocabulary)`, the student's from the fixed point."""
        return self._of_student(FIXED_POINT)

    @property
    def chained_logits(self) -> Tensor:
        """`(blocks, block tokens, text vocabulary)`, from iterate k of all blocks at once."""
        return self._of_student("chained_logits")

    @cached_property
    def target_logits(self) -> Tensor:
        """`(blocks, block tokens, text vocabulary)`, the target's from the segment's end."""
        module = self.module
        if module.consistency_target.rides_along:
            return self._of_student("target_logits").detach()

        def forward(network: ImageModel) -> Tensor:
            return self._predict(network, {"target_logits"})["target_logits"]

        with torch.no_grad():
            return module.consistency_target.predict(module, forward)

    def _of_student(self, name: str) -> Tensor:
        """What is asked for now, computed together with what is going to be."""
        if name not in self._computed:
            wanted = self._asked_for | {name}
            if not self.module.consistency_target.rides_along:
                wanted.discard("target_logits")
            wanted -= self._computed.keys()
            self._computed |= self._predict(self.module.student, wanted)
        return self._computed[name]

    def _predict(self, network: ImageModel, wanted: Collection[str]) -> dict[str, Tensor]:
        versions = {"logits": self.batch.tokens_k, "target_logits": self.batch.tokens_e}
        return text_model(network, "the stream text").answer_logits(
            self.batch,
            {name: tokens for name, tokens in versions.items() if name in wanted},
            chains={name: self.batch.tokens_k for name in ("chained_logits",) if name in wanted},
            fixed_point=FIXED_POINT in wanted,
        )


class LanguageStream:
    """Logits of plain texts, see `LanguageInputs`.

    Args:
        module: Has the networks.
        batch: With the key `text`, a list of texts.
        asked_for: Names of what terms are going to ask for; every stream gets them.
    """

    def __init__(
        self, module: TurboModule, batch: Mapping[str, Any], asked_for: Collection[str] = ()
    ) -> None:
        self.module = module
        self.batch = batch

    @property
    def labels(self) -> Tensor:
        """`(texts, tokens)`, the tokens, `-100` at padding."""
        return self._computed[1]

    @property
    def logits(self) -> Tensor:
        """`(texts, tokens, text vocabulary)`, the student's."""
        return self._computed[0]

    @cached_property
    def noised(self) -> NoisedTexts:
        """The texts with their ends, filled to the length of the longest and masked at random."""
        student = masked_text_model(self.module.student, "masked plain text")
        longest = self.module.max_language_length - 1  # one is before the text
        rows = [[*ids, student.filler_id][:longest] for ids in self._ids]
        length = max(map(len, rows))
        filled = [[*row, *[student.filler_id] * (length - len(row))] for row in rows]
        tokens = torch.tensor(filled, device=student.device)
        return mask_texts(tokens, student.text_mask_id, self.batch["seed"])

    @cached_property
    def noised_logits(self) -> Tensor:
        """`(texts, tokens, text vocabulary)`, the student's from them."""
        prompts: list[list[int]] = [[] for _ in self._ids]
        return denoised_logits(self.module.student, None, prompts, self.noised.tokens)

    @cached_property
    def _ids(self) -> list[list[int]]:
        tokenizer = self.module.text_tokenizer
        if tokenizer is None:
            raise UserError("the stream language needs a text tokenizer; name one, or leave it out")
        return [tokenizer.encode(text) for text in self.batch["text"]]

    @cached_property
    def _computed(self) -> tuple[Tensor, Tensor]:
        ids = self._ids
        student = text_model(self.module.student, "the stream language")
        return student.language_logits(ids, self.module.max_language_length)


STREAMS: dict[str, tuple[Any, ...]] = {
    "image": (ImageStream,),
    "text": (TextStream, DenoisedTextStream),
    "language": (LanguageStream,),
}
"""How the streams of a training batch are asked, by name."""


def stream_of(name: str, module: TurboModule, batch: Any, asked_for: Collection[str] = ()) -> Any:
    """What terms ask of a stream of a training batch.

    Args:
        name: The stream.
        module: Has the networks.
        batch: What the batch holds of the stream.
        asked_for: Names of what terms are going to ask for.
    """
    kind = DenoisedTextStream if isinstance(batch, DenoisedTextBatch) else STREAMS[name][0]
    return kind(module, batch, asked_for)
