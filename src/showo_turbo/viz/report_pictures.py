"""The figures of a report: image grid, quality by steps, film strips."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..data.prompts import shown_prompts
from ..evaluation.checker import judge
from ..evaluation.data import EvaluationData
from ..evaluation.images import draw_images, prompt_seed
from ..evaluation.plan import STUDENT, TEACHER, EvaluationPlan, ModelPlan
from ..evaluation.report import Report
from ..evaluation.runner import Models
from ..evaluation.text import encode_records
from ..evaluation.variety import variety_seeds
from ..inference.loaded_model import LoadedModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import gives_one_image
from ..trajectories.checker import PromptMetadata
from .changed_pictures import ChangedPictures
from .pictures import GridColumn, draw_image_grid, draw_quality_by_steps, of_quality
from .strips import draw_answer_strip, draw_sampling_strips

VARIED_ROWS = 6
"""Most prompts of which images from several seeds are shown."""


@torch.no_grad()
def draw_report_pictures(
    models: Models,
    data: EvaluationData,
    plan: EvaluationPlan,
    report: Report,
    folder: Path,
    *,
    film_strips: int = 2,
) -> list[Path]:
    """Draw the figures of a report.

    - `grid.png`: the first test prompt of each category, and others where these are few, sampled by
      the teacher with its guidance at each number of steps and by the student without;
    - `variety.png`: the first of these prompts, from several seeds by teacher and student,
      each in its first setting, if variety is measured; once where all seeds give one image;
    - `abilities-inpainting.png`, `abilities-extrapolation.png`, `abilities-editing.png`: the first
      images that were changed, before and after, if that is measured;
    - `quality_by_steps.png`: the scores of the report, or the first metric where there was no
      checker; not where there was neither;
    - `film_strips/`: the first prompts as both models sample them, unless they generate clips, and
      the first long answer as they write it.

    Args:
        models: See `run`.
        data: What the models were asked.
        plan: What was measured.
        report: What came out.
        folder: Where the figures go.
        film_strips: How many prompts get film strips.

    Returns:
        The files that were written.
    """
    prompts: Sequence[PromptMetadata] = next(iter(data.prompts.values()), ())
    chosen = shown_prompts(prompts)
    entries = [prompts[index] for index in chosen]
    texts = [str(entry["prompt"]) for entry in entries]
    seeds = [prompt_seed(plan.seed, index) for index in chosen]
    varied_rows = min(plan.variety_prompts, VARIED_ROWS)
    strips = folder / "film_strips"
    written: list[Path] = []
    columns: list[GridColumn] = []
    varied: list[GridColumn] = []
    changed = ChangedPictures(plan)
    for name in (TEACHER, STUDENT):
        bundle = models[name]()
        settings = ModelPlan.of(name, plan, report.teacher_sampling)
        shown = settings.shown
        changed.add(name, bundle, settings.changing)
        if chosen:
            columns += [_column(name, bundle, entries, seeds, sampling, plan) for sampling in shown]
            different = 1 if gives_one_image(bundle.network, shown[0]) else plan.variety_images
            of_each = [variety_seeds(plan.seed, index, different) for index in chosen[:varied_rows]]
            varied += [
                _column(name, bundle, entries[:varied_rows], of_all, shown[0], plan, f"seed {i}")
                for i, of_all in enumerate(zip(*of_each, strict=True), start=1)
            ]
        if chosen and film_strips and not bundle.clip_frames:
            drawn = texts[:film_strips]
            ways = {"": shown[0]}
            if name == STUDENT and shown[-1] != shown[0]:
                ways[f"-in-{shown[-1].sampling_steps}"] = shown[-1]
            for suffix, way in ways.items():
                paths = [strips / f"{name}-image-{i + 1}{suffix}.png" for i in range(len(drawn))]
                draw_sampling_strips(bundle, drawn, way, paths, seeds[:film_strips])
                written += paths
        if data.texts and film_strips:
            longest = max(data.texts, key=lambda record: len(record.answer))
            (record,) = encode_records(bundle.image_encoder, [longest])
            path = strips / f"{name}-answer.png"
            if draw_answer_strip(bundle, record, path, decoding=plan.answering, seed=plan.seed):
                written.append(path)
    if columns:
        draw_image_grid(texts, columns, folder / "grid.png")
        written.insert(0, folder / "grid.png")
    if varied:
        draw_image_grid(texts[:varied_rows], varied, folder / "variety.png")
        written.insert(1, folder / "variety.png")
    if quality := of_quality(report.images):
        draw_quality_by_steps(*quality, folder / "quality_by_steps.png")
        written.insert(1, folder / "quality_by_steps.png")
    return written + changed.write(folder)


def _column(
    name: str,
    bundle: LoadedModel,
    entries: Sequence[PromptMetadata],
    seeds: Sequence[int],
    sampling: ImageSampling,
    plan: EvaluationPlan,
    note: str = "",
) -> GridColumn:
    """Generate some prompts, each from its seed."""
    pixels = draw_images(bundle, [str(entry["prompt"]) for entry in entries], sampling, seeds)
    guidance = f"guidance {sampling.guidance_scale:g}" if sampling.guidance_scale else "no guidance"
    title = "\n".join([name, f"{sampling.sampling_steps} steps", guidance, *filter(None, [note])])
    return GridColumn(title, pixels, judge(plan.checker, pixels, entries))
