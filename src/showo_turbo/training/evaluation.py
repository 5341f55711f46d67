"""What `ShowoTurbo` measures in validation: scores by sampling steps, and speed of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torchmetrics import Metric

from ..errors import UserError
from ..evaluation.image_scores import ImageScore
from ..evaluation.images import can_judge, evaluate_images, guidance_samplings
from ..evaluation.targets import STUDENT, TEACHER
from ..evaluation.text import (
    TextRecord,
    TextScore,
    compared_decodings,
    encode_records,
    evaluate_text,
    judge_answers,
)
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..models.registry import load_model
from ..sampling.image_sampling import ImageSampling
from ..sampling.jacobi import Driver
from ..sampling.options import check_seed, check_whole
from ..sampling.text_decoding import TextDecoding
from ..text_tokenizer import TextTokenizer

Table = Literal["images", "text", "top_k"]


@dataclass(frozen=True)
class EvaluationGrid:
    """What validation draws and writes.

    Args:
        sampling_steps: Of the images.
        guidance_scales: Guidance scales, each with every number of steps; 0 is no guidance.
        fit_sampling_steps: Those, without guidance, when validation runs within `fit`.
        sampling: How the student's images are sampled, apart from steps and guidance; the module's
            `sampling` by default.
        decoding: How long answers may be, and how many tokens are decoded together; the module's
            `decoding` by default.
        seed: Of the sampling.
        batch_size: Samples decoded at once.
        tables: What to measure: `images`, scores by steps and guidance (the paper's Tables 1, 5 and
            6); `text`, scores and speed by decoding method (Tables 2 and 7); `top_k`, scores by
            steps and top-k of codes that are drawn at temperature 1 (Table 4). Within `fit` only
            the first two.
        top_ks: The values of k in that table.
        metrics: More scores of the images, such as `CLIPScore`, `HPSv2`, `ImageReward`, `GenEval`
            or `FID`; not within `fit`.
        baseline: Another model to measure beside the student, usually its teacher: `shapes`, a
            folder or a hub id; not within `fit`.
        baseline_sampling: How the baseline's images are sampled, likewise; the module's
            `teacher_sampling` by default.

    Raises:
        UserError: If an option is out of any model's range.
    """

    sampling_steps: tuple[int, ...] = (16, 8, 4, 2)
    guidance_scales: tuple[float, ...] = (0.0, 1.0)
    fit_sampling_steps: tuple[int, ...] = (4,)
    sampling: ImageSampling | None = None
    decoding: TextDecoding | None = None
    seed: int = 0
    batch_size: int = 64
    tables: tuple[Table, ...] = ("images", "text")
    top_ks: tuple[int, ...] = (1, 5, 20, 100)
    metrics: tuple[Metric, ...] = ()
    baseline: str | None = None
    baseline_sampling: ImageSampling | None = None

    def __post_init__(self) -> None:
        for name in ("sampling_steps", "guidance_scales", "fit_sampling_steps"):
            if not getattr(self, name):
                raise UserError(f"{name} of the evaluation is empty; expected at least one")
        check_whole(batch_size=self.batch_size)
        if self.batch_size < 1:
            raise UserError(
                f"batch_size of the evaluation is {self.batch_size}; it must be at least 1"
            )
        check_seed(self.seed)

    def filled_in(
        self, sampling: ImageSampling, teacher_sampling: ImageSampling, decoding: TextDecoding
    ) -> Self:
        """The grid with a module's own ways of sampling and decoding, where it names none.

        Args:
            sampling: How its student is sampled.
            teacher_sampling: How its teacher is.
            decoding: How its texts are decoded.
        """
        return replace(
            self,
            sampling=self.sampling or sampling,
            baseline_sampling=self.baseline_sampling or teacher_sampling,
            decoding=self.decoding or decoding,
        )

    def check(self, model: ImageModel) -> None:
        """Refuse what the model cannot do, before anything is read or drawn.

        Raises:
            UserError: Naming the value.
        """
        config = model.config
        samplings = [*self.samplings(), *self.samplings(TEACHER), *self.during_fit().samplings()]
        if "top_k" in self.tables:
            samplings += self.top_k_samplings()
        for sampling in samplings:
            sampling.check(config.image_tokens, config.codebook_size)
        self.answering.check()

    def during_fit(self) -> "EvaluationGrid":
        """The small grid for validation between epochs."""
        tables = tuple(name for name in self.tables if name != "top_k")
        return replace(
            self,
            sampling_steps=self.fit_sampling_steps,
            guidance_scales=(0.0,),
            tables=tables,
            metrics=(),
            baseline=None,
        )

    def samplings(self, name: str = STUDENT) -> list[ImageSampling]:
        """Every setting of the grid, of the student or of the baseline."""
        own = self.sampling or ImageSampling()
        base = (self.baseline_sampling or own) if name == TEACHER else own
        return [
            setting
            for guidance in self.guidance_scales
            for setting in guidance_samplings(base, self.sampling_steps, [guidance])
        ]

    def top_k_samplings(self) -> list[ImageSampling]:
        """Every setting of the table of top-k."""
        base = self.sampling or ImageSampling()
        return [
            replace(setting, token_temperature=1.0, top_k=top_k)
            for top_k in self.top_ks
            for setting in guidance_samplings(base, self.sampling_steps, [0.0])
        ]

    @property
    def answering(self) -> TextDecoding:
        """How texts are decoded."""
        return self.decoding or TextDecoding()


def is_last_batch(trainer: Trainer, batch_index: int, dataloader_index: int) -> bool:
    """Whether a batch of a validation or a test is the last of the last loader."""
    counts = trainer.num_val_batches
    if trainer.testing:
        counts = trainer.num_test_batches
    elif trainer.sanity_checking:
        counts = trainer.num_sanity_val_batches
    last = max(index for index, count in enumerate(counts) if count)
    return (dataloader_index, batch_index + 1) == (last, counts[last])


class Evaluator:
    """Gathers validation batches, then scores them all at once.

    Args:
        model: The network to measure.
        image_tokenizer: Decodes its images.
        text_tokenizer: Encodes prompts, decodes answers.
        grid: What to draw.
        within_fit: Whether this is the small validation between epochs.
    """

    def __init__(
        self,
        model: ImageModel,
        image_tokenizer: MAGVITv2,
        text_tokenizer: TextTokenizer | None,
        grid: EvaluationGrid,
        within_fit: bool = False,
    ) -> None:
        self.model = model
        self.image_tokenizer = image_tokenizer
        self.text_tokenizer = text_tokenizer
        self.grid = grid.during_fit() if within_fit else grid
        self.within_fit = within_fit
        self._prompts: dict[str, list[dict[str, Any]]] = {}
        self._records: list[TextRecord] = []
        self._questions: dict[str, list[tuple[TextRecord, Mapping[str, Any]]]] = {}
        self._rows: dict[str, list[Any]] = {name: [] for name in ("images", "text", "top_k")}

    @torch.no_grad()
    def update(self, batch: Mapping[str, Any]) -> None:
        """Take a batch with the one stream `prompts`, `instructions` or `questions`."""
        if "prompts" in batch:
            stream = batch["prompts"]
            for split, metadata in zip(stream["split"], stream["metadata"], strict=True):
                self._prompts.setdefault(split, []).append(metadata)
        if "instructions" in batch:
            stream = batch["instructions"]
            codes: Tensor = self.image_tokenizer.encode(stream["pixels"])
            rows = zip(codes, stream["question"], stream["answer"], strict=True)
            self._records += [TextRecord(c, question, answer) for c, question, answer in rows]
        if "questions" in batch:
            stream = batch["questions"]
            codes = self.image_tokenizer.encode(stream["pixels"]).cpu()
            asked = zip(
                stream["benchmark"], codes, stream["question"], stream["truth"], strict=True
            )
            for benchmark, image, question, truth in asked:
                record = TextRecord(image, question, answer="")
                self._questions.setdefault(benchmark, []).append((record, truth))

    def compute(self) -> dict[str, list[Any]]:
        """Score everything that was gathered: rows `images`, `text` and `top_k`."""
        self._records = encode_records(self.image_tokenizer, self._records, self.grid.batch_size)
        if self.grid.baseline is not None:
            teacher = load_model(self.grid.baseline, type(self.model))
            self._measure(TEACHER, teacher.to(self.model.device))
        self._measure(STUDENT, self.model)
        return self._rows

    def _measure(self, name: str, model: ImageModel) -> None:
        """Fill one model's rows of every table."""
        grid = self.grid
        for split, prompts in self._prompts.items():
            if not self._is_judged(split, prompts):
                continue
            for table, samplings in (
                ("images", grid.samplings(name)),
                ("top_k", grid.top_k_samplings()),
            ):
                if table in grid.tables:
                    self._rows[table] += self._images(name, model, split, prompts, samplings)
        if self._records and "text" in grid.tables:
            self._rows["text"] += self._texts(name, model, self._records)
        for benchmark, questions in self._questions.items():
            records, truths = zip(*questions, strict=True)
            for score in self._texts(name, model, records):
                self._rows["text"].append(judge_answers(score, benchmark, truths))

    def _is_judged(self, split: str, prompts: Sequence[Mapping[str, Any]]) -> bool:
        """Whether anything can be said of images of these prompts.

        Within `fit`, where metrics are left out, prompts of another world are not drawn.

        Raises:
            UserError: If nobody judges them in a validation of its own.
        """
        if self.grid.metrics or can_judge(prompts):
            return True
        if not self.within_fit:
            raise UserError(
                f"nobody judges the prompts of {split}: the checker knows those of the shapes "
                "world; name metrics, such as model.init_args.evaluation.metrics: [{class_path: "
                "showo_turbo.metrics.CLIPScore}]"
            )
        return False

    def _images(
        self,
        name: str,
        model: ImageModel,
        split: str,
        prompts: list[dict[str, Any]],
        samplings: list[ImageSampling],
    ) -> list[ImageScore]:
        return evaluate_images(
            model,
            self.image_tokenizer,
            self.text_tokenizer,
            prompts,
            samplings,
            seed=self.grid.seed,
            batch_size=self.grid.batch_size,
            name=name,
            split=split,
            # Prompts of another world are for the metrics alone.
            **({} if can_judge(prompts) else {"check": None}),
            metrics=self.grid.metrics,
        )

    def _texts(
        self, name: str, model: ImageModel, records: Sequence[TextRecord]
    ) -> list[TextScore]:
        assert self.text_tokenizer is not None  # as for every family that writes text
        return [
            evaluate_text(
                model,
                self.image_tokenizer,
                self.text_tokenizer,
                records,
                decoding=decoding,
                batch_size=self.grid.batch_size,
                seed=self.grid.seed,
                name=name,
            )
            for decoding in compared_decodings(self.grid.answering, get_args(Driver))
        ]

    def scalars(self, prefix: str) -> dict[str, float]:
        """The student's scores under names for a logger."""
        values: dict[str, float] = {}
        for row in self._rows["images"]:
            setting = f"{row.steps}_steps_guidance_{row.guidance:g}"
            if row.model == STUDENT:
                if row.judged:
                    values[f"{prefix}/{row.split}/score/{setting}"] = row.score
                for name, value in row.metrics.items():
                    values[f"{prefix}/{row.split}/{name}/{setting}"] = value
        for row in self._rows["text"]:
            if row.driver == "window":  # the same answers as `block`
                continue
            if row.model == STUDENT and row.benchmark is not None:
                for name, value in row.metrics.items():
                    values[f"{prefix}/{row.benchmark}/{name}/{row.decoding}"] = value
            elif row.model == STUDENT:
                values[f"{prefix}/{row.decoding}/exact_match"] = row.exact_match
                values[f"{prefix}/{row.decoding}/tokens_per_forward"] = row.tokens_per_forward
        return values
