"""Figures of changed images: before, the mask, and after."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from ..evaluation.abilities import ABILITIES, Ability, AbilityCase, change_images
from ..evaluation.ability_scores import case_seed, judge_changes
from ..evaluation.plan import EvaluationPlan
from ..inference.loaded_model import LoadedModel
from ..sampling.editing import ImageEditing
from ..sampling.image_sampling import ImageSampling
from .pictures import GridColumn, draw_image_grid

ROWS = 6
"""Most cases of an ability that are shown."""

_EMPTY = 0.5
"""Gray in [-1, 1] of what is not there yet."""


class ChangedPictures:
    """A grid for each ability: the first cases before, their masks, and after by each model.

    Each model is shown with its most steps, and with its second fewest.

    Args:
        plan: How many cases are measured; without any there are no figures.
    """

    def __init__(self, plan: EvaluationPlan) -> None:
        self._plan = plan
        self._cases: dict[Ability, Sequence[AbilityCase]] = {}
        self._after: dict[Ability, list[GridColumn]] = {}
        if plan.abilities:
            checker, count = plan.ability_checker(), min(plan.abilities, ROWS)
            self._cases = {name: checker.ability_cases(name, count) for name in ABILITIES}

    def add(
        self,
        name: str,
        bundle: LoadedModel,
        settings: Sequence[ImageSampling],
        abilities: Sequence[Ability] = ABILITIES,
        editing: ImageEditing = ImageEditing(),
    ) -> None:
        """Change the images by a model.

        Args:
            name: What the model is called.
            bundle: The model, in eval mode.
            settings: How it samples.
            abilities: With which of them.
            editing: How it edits.
        """
        by_steps = {sampling.sampling_steps: sampling for sampling in settings}
        most, *fewer = sorted(by_steps, reverse=True)
        shown = {steps: by_steps[steps] for steps in (most, *fewer[:-1][-1:])}
        for ability in abilities if self._cases else ():
            cases = self._cases[ability]
            seeds = [case_seed(self._plan.seed, index) for index in range(len(cases))]
            for steps, sampling in shown.items():
                found = change_images(bundle, cases, sampling, seeds, editing=editing)
                marks = judge_changes(self._plan.ability_checker(), cases, found)
                title = f"{name}\n{steps} steps\nguidance {sampling.guidance_scale:g}"
                column = GridColumn(title, found.pixels.cpu(), [all(mark) for mark in marks])
                self._after.setdefault(ability, []).append(column)

    def write(self, folder: Path) -> list[Path]:
        """Write `abilities-<ability>.png` of each; the files that were written."""
        written = []
        for ability, cases in self._cases.items():
            after = self._after[ability]
            columns = [*before_columns(cases, after[0].pixels.shape[-1]), *after]
            captions = [f"{case.task}: {case.prompts[-1]}" for case in cases]
            path = folder / f"abilities-{ability}.png"
            draw_image_grid(captions, columns, path)
            written.append(path)
        return written


def before_columns(cases: Sequence[AbilityCase], width: int) -> list[GridColumn]:
    """Images before they were changed, and their masks if they have any.

    Args:
        cases: Of one ability, growing only to the right if they grow.
        width: Pixels across of the images afterwards: what is missing is gray.
    """
    pixels = torch.stack([case.pixels for case in cases])
    wider = F.pad(pixels, (0, width - pixels.shape[-1]), value=_EMPTY)
    columns = [GridColumn("before", wider)]
    masks = [case.mask for case in cases if case.mask is not None]
    if masks:
        white = torch.stack(masks)[:, None].expand(-1, 3, -1, -1)
        columns.append(GridColumn("mask", white * 2 - 1))
    return columns
