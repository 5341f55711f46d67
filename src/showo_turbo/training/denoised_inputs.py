"""What loss terms ask for of what is denoised, images and texts, computed when it is asked for."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from ..losses.language_model import IGNORED
from ..losses.term import Draft, NoisedTexts
from ..models.protocols import ImageModel, with_noise
from ..models.registry import masked_text_model
from ..sampling.image_sampling import ImageSampling
from ..sampling.noise import mixed_start, noise_of
from ..targets import ConsistencyTarget
from ..targets.target import Distilled
from ..text_tokenizer import TextTokenizer
from ..trajectories.batch import DenoisedTextBatch, ImageBatch
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


class _DenoisedStream(ABC):
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
            return self._predict(network, self._target_state(network))

        with torch.no_grad():
            return self.module.consistency_target.predict(self.module, forward)

    def _target_state(self, network: ImageModel) -> Tensor:
        """State t as a network reads it that is the target."""
        state: Tensor = self.batch.state_t
        return state

    @abstractmethod
    def _predict(self, network: ImageModel, state: Tensor) -> Tensor:
        """Logits of a state by any of the networks."""


class ImageStream(_DenoisedStream):
    """Logits `(batch, image tokens, codebook)` of image trajectories.

    See `ImageInputs` and `DraftInputs`.
    """

    batch: ImageBatch

    @cached_property
    def logits(self) -> Tensor:
        """`(batch, tokens, candidates)`, the student's from state k, read as it samples."""
        return self._predict(self.module.student, self._started(self.batch.state_k))

    def _target_state(self, network: ImageModel) -> Tensor:
        """State t, which the teacher reads with its masks, as it generated."""
        module, state = self.module, self.batch.state_t
        is_teacher = module.consistency_target.needs_teacher and network is module.teacher
        return state if is_teacher else self._started(state)

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
        """State k with some of its visible tokens as the student generates them unseen."""
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
            [*prompts, *(base.null_prompt_of(prompt) for prompt in prompts)],
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
