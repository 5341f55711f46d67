"""What loss terms ask for, computed from a batch when it is first asked for."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import UserError, check_kind, shown
from ..losses.language_model import IGNORED
from ..losses.term import Draft, LossTerm, NoisedTexts
from ..models.masked_text import MaskedTextModel
from ..models.protocols import FIXED_POINT, ImageModel, with_noise
from ..models.registry import masked_text_model, text_model
from ..sampling.image_sampling import ImageSampling
from ..sampling.noise import mixed_start, noise_of
from ..targets import ConsistencyTarget
from ..targets.target import Distilled
from ..text_tokenizer import TextTokenizer
from ..trajectories.batch import DenoisedTextBatch, ImageBatch, TextBatch
from .auxiliary import Auxiliary
from .masking import corrupt_codes, draft_from, draw_codes, mask_texts


class TurboModule(Distilled, Protocol):
    """What the inputs need of `ShowoTurbo`.

    Attributes:
        text_tokenizer: Encodes texts, if the family has one.
        consistency_target: Whose predictions are the targets.
        max_language_length: Longest piece of plain text in tokens.
        sampling: How the student is sampled.
    """

    text_tokenizer: TextTokenizer | None
    consistency_target: ConsistencyTarget
    max_language_length: int
    sampling: ImageSampling

    @property
    def base(self) -> ImageModel:
        """The model that training started from, frozen."""

    def auxiliary(self, rank: int, learning_rate: float) -> Auxiliary:
        """The auxiliary network."""

    def log(self, name: str, value: Tensor, *, batch_size: int) -> None:
        """Log a value."""


class _DenoisedStream:
    """Logits of trajectories of what is denoised, see `ImageInputs`.

    Args:
        module: Has the networks.
        batch: Trajectories, each at a drawn state.
        asked_for: Names of what terms are going to ask for; every stream gets them.
    """

    def __init__(self, module: TurboModule, batch: Any, asked_for: Collection[str] = ()) -> None:
        self.module = module
        self.batch = batch
        self.segment = batch.segment

    @cached_property
    def logits(self) -> Tensor:
        """`(batch, tokens, candidates)`, the student's from state k."""
        return self._predict(self.module.student, self.batch.state_k)

    @cached_property
    def target_logits(self) -> Tensor:
        """`(batch, tokens, candidates)`, the target's from the segment's end."""

        def forward(network: ImageModel) -> Tensor:
            return self._predict(network, self.batch.state_t)

        with torch.no_grad():
            return self.module.consistency_target.predict(self.module, forward)

    def _predict(self, network: ImageModel, state: Tensor) -> Tensor:
        raise NotImplementedError


class ImageStream(_DenoisedStream):
    """Logits `(batch, image tokens, codebook)` of image trajectories.

    See `ImageInputs` and `DraftInputs`.
    """

    batch: ImageBatch

    @cached_property
    def logits(self) -> Tensor:
        """`(batch, tokens, candidates)`, the student's from state k, read as it samples."""
        return self._predict(self.module.student, self._started(self.batch.state_k))

    def _started(self, state: Tensor) -> Tensor:
        """A state with random codes in place of some masks, where the student begins with such."""
        share, student = self.module.sampling.random_start, self.module.student
        if not share:
            return state
        return mixed_start(
            state, self.batch.noise_seeds, share, student.mask_code, student.config.codebook_size
        )

    @cached_property
    def draft(self) -> Draft:
        """The student's own images from state k, masked again in part."""
        batch = self.batch
        mask_code = self.module.student.mask_code
        return draft_from(self.logits, batch.state_k, batch.masked_k, mask_code, batch.seeds)

    def student_logits(self, state: Tensor) -> Tensor:
        """The student's logits of any state, with gradients."""
        return self._predict(self.module.student, self._started(state))

    @torch.no_grad()
    def corrupted(self, most: float) -> Tensor:
        """State k with some of its visible tokens as the student draws them unseen."""
        batch = self.batch
        nothing = torch.full_like(batch.state_k, self.module.student.mask_code)
        drawn = draw_codes(self.student_logits(nothing), batch.seeds)
        return corrupt_codes(batch.state_k, drawn, ~batch.masked_k, most, batch.seeds)

    @torch.no_grad()
    def base_logits(self, state: Tensor, guidance_scale: float) -> Tensor:
        """The base model's guided logits; both halves in one pass."""
        base, prompts = self.module.base, self.batch.prompt_ids
        if not guidance_scale:
            return self._predict(base, state).float()
        seeds = self.batch.noise_seeds
        noise = noise_of(base, [*seeds, *seeds])
        both = base.image_logits(
            [*prompts, *[base.null_prompt] * len(prompts)],
            torch.cat([state, state]),
            **with_noise(noise),
        )
        conditional, unconditional = both.float().chunk(2)
        return (1 + guidance_scale) * conditional - guidance_scale * unconditional

    def auxiliary_logits(self, rank: int, learning_rate: float) -> Tensor:
        """The auxiliary network's logits of the draft's state, once it has learned from it."""
        auxiliary, draft = self.module.auxiliary(rank, learning_rate), self.draft

        def forward(network: ImageModel) -> Tensor:
            return self._predict(network, draft.state)

        labels = draft.codes.masked_fill(~draft.masked, IGNORED)
        loss = auxiliary.learn(forward, labels)
        self.module.log("train/auxiliary", loss, batch_size=len(labels))
        with torch.no_grad():
            return forward(auxiliary.network).float()

    def _predict(self, network: ImageModel, state: Tensor) -> Tensor:
        noise = noise_of(network, self.batch.noise_seeds)
        return network.image_logits(self.batch.prompt_ids, state, **with_noise(noise))


class DenoisedTextStream(_DenoisedStream):
    """Logits `(answers, block tokens, text vocabulary)` of blocks of denoised answers.

    See `ImageInputs` and `NoisedInputs`.
    """

    batch: DenoisedTextBatch

    @cached_property
    def noised(self) -> NoisedTexts:
        """The teacher's answers, masked at random."""
        mask_id = masked_text_model(self.module.student, "the stream text").text_mask_id
        return mask_texts(self.batch.answers, mask_id, self.batch.seeds)

    @cached_property
    def noised_logits(self) -> Tensor:
        """`(answers, tokens, text vocabulary)`, the student's from them."""
        batch = self.batch
        return denoised_logits(
            self.module.student, batch.images, batch.prompt_ids, self.noised.tokens
        )

    def _predict(self, network: ImageModel, state: Tensor) -> Tensor:
        batch = self.batch
        return denoised_logits(network, batch.images, batch.prompt_ids, state, batch.columns)


def denoised_logits(
    network: ImageModel,
    images: Tensor | None,
    prompts: Sequence[Sequence[int]],
    state: Tensor,
    columns: slice | Tensor = slice(None),
) -> Tensor:
    """Predict tokens of a state of texts, of which none is the mask; see `text_logits`."""
    writer = masked_text_model(network, "a text that is denoised")
    logits = writer.text_logits(images, prompts, state, columns)
    ids = torch.arange(logits.shape[-1], device=logits.device)
    return logits.masked_fill(ids == writer.text_mask_id, -torch.inf)


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


def check_text_terms(losses: Mapping[str, LossTerm], model: ImageModel) -> None:
    """Raise if a term is for texts that are written in another way than the model does.

    Args:
        losses: The terms by name; those without a weight are passed over.
        model: Of any family.

    Raises:
        UserError: Naming the first such term, and those for texts as this model writes them.
    """
    denoises = isinstance(model, MaskedTextModel)
    for name, term in losses.items():
        if term.weight == 0 or term.stream == "image" or term.text_kind is None:
            continue
        if denoises != (term.text_kind == "denoised"):
            kinds = {True: "is denoised", False: "is written from left to right"}
            terms = {
                True: "ImageRegularizer and ImageConsistency with stream text, or MaskedTextLoss",
                False: "TextRegularizer, TextConsistency or LanguageModelLoss",
            }
            raise UserError(
                f"losses.{name} is {type(term).__name__} on the stream {term.stream}, for text "
                f"that {kinds[not denoises]}, but that of {type(model).__name__} {kinds[denoises]};"
                f" choose {terms[denoises]}"
            )


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
            if not any(hasattr(kind, asked) for kind in STREAMS[term.stream]):
                raise UserError(
                    f"losses.{name} asks for {shown(asked)}, which the stream {term.stream} does "
                    "not have; see showo_turbo.losses.term, and correct asks_for"
                )
    if not any(term.weight > 0 for term in losses.values()):
        raise UserError(
            f"all weights of the loss terms ({', '.join(losses) or 'there are none'}) are 0; "
            "expected one above 0, set it"
        )
