"""What loss terms ask for, computed from a batch when it is first asked for."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import UserError, check_kind, shown
from ..losses.term import LossTerm
from ..models.protocols import FIXED_POINT, ImageModel, with_noise
from ..models.registry import text_model
from ..sampling.noise import noise_of
from ..targets import ConsistencyTarget
from ..targets.target import Distilled
from ..text_tokenizer import TextTokenizer
from ..trajectories.batch import ImageBatch, TextBatch


class TurboModule(Distilled, Protocol):
    """What the inputs need of `ShowoTurbo`.

    Attributes:
        text_tokenizer: Encodes texts, if the family has one.
        consistency_target: Whose predictions are the targets.
        max_language_length: Longest piece of plain text in tokens.
    """

    text_tokenizer: TextTokenizer | None
    consistency_target: ConsistencyTarget
    max_language_length: int


class ImageStream:
    """Logits of image trajectories, see `ImageInputs`.

    Args:
        module: Has the networks.
        batch: Trajectories, each at a drawn state.
        asked_for: Names of what terms are going to ask for; every stream gets them.
    """

    def __init__(
        self, module: TurboModule, batch: ImageBatch, asked_for: Collection[str] = ()
    ) -> None:
        self.module = module
        self.batch = batch
        self.segment = batch.segment

    @cached_property
    def logits(self) -> Tensor:
        """`(batch, image tokens, codebook)`, the student's from state k."""
        return self._predict(self.module.student, self.batch.state_k)

    @cached_property
    def target_logits(self) -> Tensor:
        """`(batch, image tokens, codebook)`, the target's from the segment's end."""

        def forward(network: ImageModel) -> Tensor:
            return self._predict(network, self.batch.state_t)

        with torch.no_grad():
            return self.module.consistency_target.predict(self.module, forward)

    def _predict(self, network: ImageModel, codes: Tensor) -> Tensor:
        noise = noise_of(network, self.batch.noise_seeds)
        return network.image_logits(self.batch.prompt_ids, codes, **with_noise(noise))


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
    def _computed(self) -> tuple[Tensor, Tensor]:
        tokenizer = self.module.text_tokenizer
        if tokenizer is None:
            raise UserError("the stream language needs a text tokenizer; name one, or leave it out")
        student = text_model(self.module.student, "the stream language")
        ids = [tokenizer.encode(text) for text in self.batch["text"]]
        return student.language_logits(ids, self.module.max_language_length)


STREAMS: dict[str, Any] = {"image": ImageStream, "text": TextStream, "language": LanguageStream}
"""How the streams of a training batch are asked, by name."""


def check_losses(losses: Mapping[str, LossTerm]) -> None:
    """Raise if no loss could be computed of these terms.

    Raises:
        UserError: If there are none, one is not a `LossTerm`, its stream does not exist, or all
            weights are 0.
    """
    for name, term in losses.items():
        check_kind(term, LossTerm, f"losses.{name}")
        if not (hasattr(term, "stream") and hasattr(term, "weight")):
            raise UserError(
                f"losses.{name}: {type(term).__name__} has no stream and no weight; call "
                "super().__init__(stream, weight) in its __init__"
            )
        if name == "loss":
            raise UserError(
                "losses.loss has the name of the sum of all terms, train/loss; give the term "
                "another"
            )
        if term.stream not in STREAMS:
            raise UserError(
                f"losses.{name} has the stream {shown(term.stream)}; expected one of "
                f"{', '.join(STREAMS)}, correct it"
            )
        for asked in term.asks_for:
            if not hasattr(STREAMS[term.stream], asked):
                raise UserError(
                    f"losses.{name} asks for {shown(asked)}, which the stream {term.stream} does "
                    "not have; see showo_turbo.losses.term, and correct asks_for"
                )
    if not any(term.weight > 0 for term in losses.values()):
        raise UserError(
            f"all weights of the loss terms ({', '.join(losses) or 'there are none'}) are 0; "
            "expected one above 0, set it"
        )
