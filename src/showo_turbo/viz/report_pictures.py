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
from .clip_pictures import draw_clip_strips
from .pictures import (
    GridColumn,
    column_title,
    draw_image_grid,
    draw_quality_by_steps,
    of_quality,
)
from .story_pictures import AskedStory, StoryPictures
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
    stories: Sequence[AskedStory] = (),
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
    - `film_strips/`: the first prompts as both models sample them, and the first long answer as
      they write it; of models of clips, in `clips/`, the first clips frame by frame instead;
    - `film_strips/stories/`: the stories as both models tell them, if there are any.

    Args:
        models: See `run`.
        data: What the models were asked.
        plan: What was measured.
        report: What came out.
        folder: Where the figures go.
        film_strips: How many prompts get film strips.
        stories: What the models are to tell.

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
    clips: list[GridColumn] = []
    changed, told = ChangedPictures(plan), StoryPictures(stories, plan)
    for_stories = report.teacher_sampling or plan.own_teacher_sampling()
    for name in (TEACHER, STUDENT):
        bundle = models[name]()
        settings = ModelPlan.of(name, plan, report.teacher_sampling)
        shown = settings.shown
        ways = shown[:1]
        if name == STUDENT and shown[-1] != shown[0]:
            ways.append(shown[-1])
        changed.add(name, bundle, settings.changing)
        told.add(name, bundle, ways if name == STUDENT else [for_stories[max(for_stories)]])
        if chosen:
            own = [_column(name, bundle, entries, seeds, sampling, plan) for sampling in shown]
            columns += own
            different = 1 if gives_one_image(bundle.network, shown[0]) else plan.variety_images
            of_each = [variety_seeds(plan.seed, index, different) for index in chosen[:varied_rows]]
            varied += [
                _column(name, bundle, entries[:varied_rows], of_all, shown[0], plan, f"seed {i}")
                for i, of_all in enumerate(zip(*of_each, strict=True), start=1)
            ]
            if bundle.clip_frames:
                clips += [own[shown.index(way)] for way in ways]
        if chosen and film_strips and not bundle.clip_frames:
            drawn = texts[:film_strips]
            for way in ways:
                suffix = "" if way is shown[0] else f"-in-{way.sampling_steps}"
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
    if clips:
        written += draw_clip_strips(texts[:film_strips], clips, strips / "clips")
    return written + changed.write(folder) + told.write(strips / "stories")


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
    title = column_title(name, sampling, note)
    return GridColumn(title, pixels, judge(plan.checker, pixels, entries))
