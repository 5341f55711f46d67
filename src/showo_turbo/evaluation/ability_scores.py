"""How often a model changes images as it should, and leaves the rest alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import UserError
from ..inference.loaded_model import LoadedModel, seconds_now
from ..models.modes import evaluating
from ..sampling.editing import ImageEditing
from ..sampling.image_sampling import ImageSampling
from ..utils.random import stateless_seed
from ..utils.share import Share
from .abilities import Ability, AbilityCase, AbilityChecker, ChangedImages, change_images
from .images import further_options
from .intervals import rounded, wilson_interval

OUTCOMES = ("joint", "satisfied", "unchanged")
"""What is counted: that the prompt is satisfied, that the rest is unchanged, and both."""


@dataclass(frozen=True)
class AbilityScore:
    """How often a model changed images as it should, in one sampling setting.

    Attributes:
        model: Name of the model, such as `teacher` or `student`.
        ability: What was done with the images.
        regenerated: Whether they were generated from the prompts alone, for comparison.
        steps: Denoising steps: of each direction in extrapolation, of each round in editing.
        guidance: Guidance scale; 0 is without.
        tasks: Kind of change of each case.
        satisfied: Whether each image became what its prompt says.
        unchanged: Whether the rest of each stayed as it was.
        seconds: Wall clock of all of them, in batches, from pixels to pixels.
        batch_size: Images that were changed at once.
        sampling: Further options of `ImageSampling` that were not at their defaults, and in editing
            those of `ImageEditing`.
    """

    model: str
    ability: Ability
    regenerated: bool
    steps: int
    guidance: float
    tasks: tuple[str, ...]
    satisfied: tuple[bool, ...]
    unchanged: tuple[bool, ...]
    seconds: float = field(compare=False)
    batch_size: int = field(compare=False)
    sampling: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def n(self) -> int:
        """Number of cases."""
        return len(self.tasks)

    @property
    def joint(self) -> tuple[bool, ...]:
        """Whether each image became what its prompt says and the rest stayed as it was."""
        return tuple(map(all, zip(self.satisfied, self.unchanged, strict=True)))

    def share(self, outcome: str = "joint") -> float:
        """Share of the cases with one of `OUTCOMES`."""
        marks: tuple[bool, ...] = getattr(self, outcome)
        return sum(marks) / self.n

    def to_dict(self) -> dict[str, Any]:
        """The shares with their 95% intervals (Wilson), by task, too, for a report."""
        found: dict[str, Any] = {
            "model": self.model,
            "ability": self.ability,
            "regenerated": self.regenerated,
            "steps": self.steps,
            "guidance": self.guidance,
            "n": self.n,
        }
        for outcome in OUTCOMES:
            interval = wilson_interval(sum(getattr(self, outcome)), self.n)
            found[outcome] = round(self.share(outcome), 4)
            found[f"{outcome}_ci95"] = rounded(interval)
        found["by_task"] = {
            task: {
                outcome: round(sum(marks) / len(marks), 4)
                for outcome in OUTCOMES
                if (marks := self._of_task(outcome, task))
            }
            | {"n": self.tasks.count(task)}
            for task in dict.fromkeys(self.tasks)
        }
        found["milliseconds"] = round(1000 * self.seconds / self.n, 2)
        found["batch_size"] = self.batch_size
        return found | ({"sampling": dict(self.sampling)} if self.sampling else {})

    def _of_task(self, outcome: str, task: str) -> list[bool]:
        marks = getattr(self, outcome)
        return [mark for mark, own in zip(marks, self.tasks, strict=True) if own == task]


def case_seed(seed: int, index: int) -> int:
    """The seed of a case by its index, whatever the model and the setting."""
    return stateless_seed(seed, index, stream="abilities")


def judge_changes(
    checker: AbilityChecker, cases: Sequence[AbilityCase], found: ChangedImages
) -> list[tuple[bool, bool]]:
    """Of each image whether it became what its prompt says, and whether the rest is unchanged.

    Where codes are kept, the rest is unchanged if all of these are as they were, without pasting;
    in editing the checker looks for what the edit does not concern.

    Args:
        checker: Whose cases these are.
        cases: All of one ability.
        found: What became of them.
    """
    if cases[0].ability == "editing":
        unchanged = checker.rest_unchanged(cases, found.pixels)
    else:
        unchanged = found.codes_unchanged()
    return list(zip(checker.satisfied(cases, found.pixels), unchanged, strict=True))


def evaluate_ability(
    bundle: LoadedModel,
    checker: AbilityChecker,
    cases: Sequence[AbilityCase],
    sampling: ImageSampling,
    *,
    regenerate: bool = False,
    editing: ImageEditing = ImageEditing(),
    seed: int = 0,
    batch_size: int = 64,
    name: str = "model",
    share: Share = Share(),
    progress: Callable[[int], None] | None = None,
) -> AbilityScore:
    """Change the images of some cases, and count what became of them.

    Case i has the same seed whatever the model, the setting, the batch size and the number of
    processes.

    Args:
        bundle: The networks to measure.
        checker: Whose cases these are.
        cases: All of one ability.
        sampling: How images are sampled.
        regenerate: Whether to generate from the prompts alone, see `change_images`.
        editing: How images are edited.
        seed: Of all cases' seeds.
        batch_size: Images changed at once.
        name: Name of the model in the score.
        share: The cases of this process.
        progress: Called with the number of cases of each batch once it is done.

    Raises:
        UserError: If there are no cases, a prompt is too long, or an option is out of range.
    """
    if not cases:
        raise UserError("there are no cases to measure an ability on; ask for at least one")
    marks: list[tuple[bool, bool]] = []
    seconds = 0.0
    own = share.indices(len(cases))
    with evaluating(bundle.network, bundle.image_tokenizer):
        for start in range(0, len(own), batch_size):
            indices = own[start : start + batch_size]
            batch = [cases[index] for index in indices]
            seeds = [case_seed(seed, index) for index in indices]
            began = seconds_now(bundle.device)
            found = change_images(
                bundle, batch, sampling, seeds, editing=editing, regenerate=regenerate
            )
            seconds += seconds_now(bundle.device) - began
            marks += judge_changes(checker, batch, found)
            if progress is not None:
                progress(len(batch))
    satisfied, kept = zip(*share.gather(marks), strict=True)
    return AbilityScore(
        name,
        cases[0].ability,
        regenerate,
        sampling.sampling_steps,
        sampling.guidance_scale,
        tuple(case.task for case in cases),
        satisfied,
        kept,
        sum(share.of_all(seconds)),
        min(batch_size, len(cases)),
        further_options(sampling) | _editing_options(cases[0].ability, editing),
    )


def _editing_options(ability: Ability, editing: ImageEditing) -> dict[str, Any]:
    """What a score says of how images were edited."""
    plain = asdict(ImageEditing())
    changed = {name: value for name, value in asdict(editing).items() if value != plain[name]}
    return changed if ability == "editing" else {}
