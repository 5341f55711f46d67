"""What `ShowoTurbo` measures in validation: scores by sampling steps, and speed of text."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..evaluation.images import ImageScore, evaluate_images
from ..evaluation.text import TextRecord, TextScore, evaluate_text
from ..models.magvitv2 import MAGVITv2
from ..models.showo import Showo
from ..sampling.parallel import ImageSampling
from ..text_tokenizer import TextTokenizer


@dataclass(frozen=True)
class EvaluationGrid:
    """What validation draws and writes.

    Args:
        steps: Sampling steps of the images.
        guidance_scales: Guidance scales, each with every number of steps; 0 is no guidance.
        fit_steps: Sampling steps, without guidance, when validation runs within `fit`.
        token_temperature: Temperature of the drawn tokens; 0 takes the likeliest.
        confidence_temperature: Noise on the reveal order.
        top_k: Draw only among the k likeliest codes.
        max_new_tokens: Longest answer.
        seed: Of the sampling.
        batch_size: Samples decoded at once.
    """

    steps: tuple[int, ...] = (16, 8, 4, 2)
    guidance_scales: tuple[float, ...] = (0.0, 1.0)
    fit_steps: tuple[int, ...] = (4,)
    token_temperature: float = 0.0
    confidence_temperature: float = 0.0
    top_k: int | None = None
    max_new_tokens: int = 96
    seed: int = 0
    batch_size: int = 64

    def during_fit(self) -> "EvaluationGrid":
        """The small grid for validation between epochs."""
        return replace(self, steps=self.fit_steps, guidance_scales=(0.0,))

    def samplings(self) -> list[ImageSampling]:
        """Every setting of the grid."""
        return [
            ImageSampling(
                steps=steps,
                guidance_scale=guidance,
                token_temperature=self.token_temperature,
                confidence_temperature=self.confidence_temperature,
                top_k=self.top_k,
            )
            for guidance in self.guidance_scales
            for steps in self.steps
        ]


class Evaluator:
    """Gathers validation batches, then scores them all at once.

    Args:
        model: The network to measure.
        image_tokenizer: Decodes its images.
        text_tokenizer: Encodes prompts, decodes answers.
        grid: What to draw.
    """

    def __init__(
        self,
        model: Showo,
        image_tokenizer: MAGVITv2,
        text_tokenizer: TextTokenizer,
        grid: EvaluationGrid,
    ) -> None:
        self.model = model
        self.image_tokenizer = image_tokenizer
        self.text_tokenizer = text_tokenizer
        self.grid = grid
        self._prompts: dict[str, list[dict[str, Any]]] = {}
        self._records: list[TextRecord] = []
        self._images: list[ImageScore] = []
        self._texts: list[TextScore] = []

    @torch.no_grad()
    def update(self, batch: Mapping[str, Any]) -> None:
        """Take a batch with the one stream `prompts` or `instructions`."""
        if "prompts" in batch:
            stream = batch["prompts"]
            for split, metadata in zip(stream["split"], stream["metadata"], strict=True):
                self._prompts.setdefault(split, []).append(metadata)
        if "instructions" in batch:
            stream = batch["instructions"]
            codes: Tensor = self.image_tokenizer.encode(stream["pixels"])
            rows = zip(codes, stream["question"], stream["answer"], strict=True)
            self._records += [TextRecord(c, question, answer) for c, question, answer in rows]

    def compute(self) -> dict[str, list[Any]]:
        """Score everything that was gathered: rows `images` and `text`."""
        networks = (self.model, self.image_tokenizer, self.text_tokenizer)
        for split, prompts in self._prompts.items():
            self._images += evaluate_images(
                *networks,
                prompts,
                self.grid.samplings(),
                seed=self.grid.seed,
                batch_size=self.grid.batch_size,
                name="student",
                split=split,
            )
        if self._records:
            self._texts = [
                evaluate_text(
                    *networks,
                    self._records,
                    decoding=decoding,
                    max_new_tokens=self.grid.max_new_tokens,
                    batch_size=self.grid.batch_size,
                    seed=self.grid.seed,
                    name="student",
                )
                for decoding in ("ar", "jacobi")
            ]
        return {"images": self._images, "text": self._texts}

    def scalars(self, prefix: str) -> dict[str, float]:
        """The scores under names for a logger."""
        values = {
            f"{prefix}/{row.split}/score/{row.steps}_steps_guidance_{row.guidance:g}": row.score
            for row in self._images
        }
        for row in self._texts:
            values[f"{prefix}/{row.decoding}/exact_match"] = row.exact_match
            values[f"{prefix}/{row.decoding}/tokens_per_forward"] = row.tokens_per_forward
        return values
