"""The pictures that go with a report: image grid, quality by steps, film strips."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..evaluation.images import PromptMetadata, draw_images, prompt_seed
from ..evaluation.report import Report
from ..evaluation.speedup import Models
from ..evaluation.speedup_settings import EvaluationData, SamplingPlan, SpeedupSettings
from ..evaluation.targets import STUDENT, TEACHER
from ..evaluation.text import encode_records
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding
from ..shapes.metric import satisfies_shapes_prompt
from ..text_tokenizer import TextTokenizer
from .pictures import GridColumn, draw_image_grid, draw_quality_by_steps
from .strips import draw_answer_strip, draw_sampling_strips


@torch.no_grad()
def draw_report_pictures(
    models: Models,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer,
    data: EvaluationData,
    settings: SpeedupSettings,
    report: Report,
    folder: Path,
    *,
    film_strips: int = 2,
) -> list[Path]:
    """Draw the pictures of a report.

    - `grid.png`: the first test prompt of each category, drawn by the teacher with its guidance at
      each number of steps and by the student without;
    - `quality_by_steps.png`: the scores of the report;
    - `film_strips/`: the first prompts as teacher and student draw them, and the first long answer
      as they write it.

    Args:
        models: See `measure_speedup`.
        image_tokenizer: On the models' device.
        text_tokenizer: The models' text tokenizer.
        data: What the models were asked.
        settings: What was measured.
        report: What came out.
        folder: Where the pictures go.
        film_strips: How many prompts get film strips.

    Returns:
        The files that were written.
    """
    chosen = _first_of_each_category(data.test[1])
    texts = [str(data.test[1][index]["prompt"]) for index in chosen]
    strips = folder / "film_strips"
    written: list[Path] = []
    columns: list[GridColumn] = []
    for name in (TEACHER, STUDENT):
        networks = (models[name](), image_tokenizer, text_tokenizer)
        plan = SamplingPlan.of(name, settings, report.teacher_sampling).shown
        if chosen:
            columns += [
                _column(name, networks, data.test[1], chosen, sampling, settings.seed)
                for sampling in plan
            ]
            paths = [strips / f"{name}-image-{i + 1}.png" for i in range(len(texts[:film_strips]))]
            seeds = [prompt_seed(settings.seed, index) for index in chosen[:film_strips]]
            draw_sampling_strips(*networks, texts[:film_strips], plan[0], paths, seeds)
            written += paths
        if data.texts and film_strips:
            longest = max(data.texts, key=lambda record: len(record.answer))
            (record,) = encode_records(image_tokenizer, [longest])
            path = strips / f"{name}-answer.png"
            drawn = draw_answer_strip(
                networks[0],
                text_tokenizer,
                record,
                path,
                decoding=settings.decoding or TextDecoding(),
                seed=settings.seed,
            )
            written += [path] if drawn else []
    if columns:
        draw_image_grid(texts, columns, folder / "grid.png")
        draw_quality_by_steps(report.images, folder / "quality_by_steps.png")
        written = [folder / "grid.png", folder / "quality_by_steps.png", *written]
    return written


def _column(
    name: str,
    networks: tuple[ImageModel, MAGVITv2, TextTokenizer],
    prompts: Sequence[PromptMetadata],
    chosen: Sequence[int],
    sampling: ImageSampling,
    seed: int,
) -> GridColumn:
    """Draw some of the prompts, with the seeds that they have among all."""
    entries = [prompts[index] for index in chosen]
    texts = [str(entry["prompt"]) for entry in entries]
    seeds = [prompt_seed(seed, index) for index in chosen]
    pixels = draw_images(*networks, texts, sampling, seeds)
    guidance = f"guidance {sampling.guidance_scale:g}" if sampling.guidance_scale else "no guidance"
    title = f"{name}\n{sampling.sampling_steps} steps\n{guidance}"
    return GridColumn(title, pixels, satisfies_shapes_prompt(pixels, entries))


def _first_of_each_category(prompts: Sequence[PromptMetadata]) -> list[int]:
    first: dict[str, int] = {}
    for index, entry in enumerate(prompts):
        first.setdefault(str(entry["tag"]), index)
    return list(first.values())
