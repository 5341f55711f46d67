"""What the models of an evaluation are asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch

from ..errors import UserError, shown
from ..models.image_input import ImageEncoder, compact
from ..models.modes import evaluating
from ..trajectories.checker import PromptMetadata
from ..utils.share import Share
from .checker import judging
from .plan import EvaluationPlan
from .text import TextRecord

Question = tuple[TextRecord, Mapping[str, Any]]
"""A benchmark's question, and what its metric needs to know to judge the answer."""


@dataclass(frozen=True)
class EvaluationData:
    """What the models are asked. None of it was seen in training.

    Attributes:
        prompts: Prompts to score on, by the name of their split.
        choice: Prompts on which the teacher chooses its guidance; without them it does not choose.
        further: More prompts by the name of their split, generated in fewer settings and reported
            on their own.
        texts: Questions about images.
        questions: Questions by the name of the benchmark that judges their answers.
    """

    prompts: Mapping[str, Sequence[PromptMetadata]] = field(default_factory=dict)
    choice: Sequence[PromptMetadata] = ()
    further: Mapping[str, Sequence[PromptMetadata]] = field(default_factory=dict)
    texts: Sequence[TextRecord] = ()
    questions: Mapping[str, Sequence[Question]] = field(default_factory=dict)

    def check(self, plan: EvaluationPlan) -> None:
        """Raise if a checker is there that does not know what some prompts ask for.

        Without checker and metrics, images are only generated and timed.

        Raises:
            UserError: Naming the prompts.
        """
        if plan.metrics or plan.checker is None:
            return
        for split, prompts in {**self.prompts, "validation": self.choice, **self.further}.items():
            if judging(plan.checker, prompts) is None and prompts:
                unknown = next(entry for entry in prompts if not plan.checker.can_judge(entry))
                kind = type(plan.checker).__name__
                raise UserError(
                    f"nothing can judge the prompts of {split}: {kind} does not know what "
                    f"{shown(unknown['prompt'])} asks for; name metrics, such as "
                    "model.init_args.evaluation.metrics: [{class_path: "
                    "showo_turbo.metrics.CLIPScore}], or leave the checker out"
                )

    def with_prompts(self, fits: Callable[[PromptMetadata], bool]) -> Self:
        """The data without prompts that do not fit."""
        fitting = {
            split: [entry for entry in prompts if fits(entry)]
            for split, prompts in self.prompts.items()
        }
        return replace(self, prompts=fitting)

    def judged(self, plan: EvaluationPlan) -> Self:
        """The data without prompts whose images nothing in the plan judges."""
        if plan.metrics:
            return self
        known = {
            split: prompts
            for split, prompts in self.prompts.items()
            if judging(plan.checker, prompts) is not None
        }
        return replace(self, prompts=known)


class GatheredBatches:
    """Makes evaluation data of the batches of a data module.

    Every process sees all batches, and encodes the images of its share of the questions.

    Args:
        encoder: Encodes the images of questions.
        share: The samples of this process.
    """

    def __init__(self, encoder: ImageEncoder, share: Share) -> None:
        self.encoder = encoder
        self.share = share
        self.prompts: dict[str, list[PromptMetadata]] = {}
        self.texts: list[TextRecord] = []
        self.questions: dict[str, list[Question]] = {}

    def add(self, batch: Mapping[str, Any]) -> None:
        """Take a batch with the one stream `prompts`, `instructions` or `questions`."""
        if "prompts" in batch:
            stream = batch["prompts"]
            for split, metadata in zip(stream["split"], stream["metadata"], strict=True):
                self.prompts.setdefault(split, []).append(metadata)
        if "instructions" in batch:
            stream = batch["instructions"]
            images = self._encode(
                stream["pixels"], range(len(self.texts), len(self.texts) + len(stream["question"]))
            )
            rows = zip(images, stream["question"], stream["answer"], strict=True)
            self.texts += [TextRecord(*row) for row in rows]
        if "questions" in batch:
            stream = batch["questions"]
            places = []
            counts = {name: len(asked) for name, asked in self.questions.items()}
            for benchmark in stream["benchmark"]:
                places.append(counts.get(benchmark, 0))
                counts[benchmark] = places[-1] + 1
            images = self._encode(stream["pixels"], places)
            asked = zip(
                stream["benchmark"], images, stream["question"], stream["truth"], strict=True
            )
            for benchmark, image, question, truth in asked:
                record = TextRecord(image, question, answer="")
                self.questions.setdefault(benchmark, []).append((record, truth))

    def data(self) -> EvaluationData:
        """All that was gathered."""
        return EvaluationData(self.prompts, texts=self.texts, questions=self.questions)

    @torch.no_grad()
    def _encode(self, pixels: torch.Tensor, places: Sequence[int]) -> list[torch.Tensor]:
        """This process's images as models are given them, and nothing of the others.

        Args:
            pixels: `(images, 3, height, width)`.
            places: The place of each in all.
        """
        own = [i for i in range(len(pixels)) if self.share.holds(places[i])]
        images = [torch.empty(0, dtype=torch.long)] * len(pixels)
        if own:
            with evaluating(self.encoder):
                encoded = compact(self.encoder.encode(pixels[own])).cpu()
            for index, image in zip(own, encoded, strict=True):
                images[index] = image
        return images
