"""The report of a distillation: every figure with its count and interval, as JSON and CSV."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ..sampling.image_sampling import ImageSampling
from ..utils.files import write_csv, write_json
from .ability_scores import OUTCOMES, AbilityScore
from .image_scores import ImageScore
from .plan import STUDENT
from .text_scores import TextScore

REPORT_FORMAT = 1
"""Number of the layout of `report.json`; it grows when older readers would misread it."""

CSV_COLUMNS = (
    "figure",
    "model",
    "split",
    "steps",
    "guidance",
    "top_k",
    "decoding",
    "value",
    "low",
    "high",
    "n",
)


@dataclass
class Report:
    """All that was measured of a teacher, the stages between, and the student.

    Attributes:
        images: Scores by sampling steps and guidance.
        top_k: Scores by top-k.
        text: Scores of the answers.
        unseen_combinations: Scores on prompts whose combination training never showed.
        abilities: Scores of the changing of images.
        teacher_sampling: How the teacher samples at each number of steps, chosen on other prompts.
        validation: The scores that it was chosen from.
        comparisons: Paired differences between models, see `compare`.
        settings: What was asked for.
        seconds: Wall clock of the phases: `data`, `collect` (a list), `fit` (a list), `validate`.
        hardware: See `describe_hardware`.
        commit: See `source_version`.
    """

    images: list[ImageScore] = field(default_factory=list)
    top_k: list[ImageScore] = field(default_factory=list)
    text: list[TextScore] = field(default_factory=list)
    unseen_combinations: list[ImageScore] = field(default_factory=list)
    abilities: list[AbilityScore] = field(default_factory=list)
    teacher_sampling: dict[int, ImageSampling] = field(default_factory=dict)
    validation: list[ImageScore] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, Any] = field(default_factory=dict)
    hardware: str = ""
    commit: str = ""

    @property
    def guidance(self) -> dict[int, float]:
        """The teacher's guidance scale at each number of steps."""
        return {steps: entry.guidance_scale for steps, entry in self.teacher_sampling.items()}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "format": REPORT_FORMAT,
            "images": [row.to_dict() for row in self.images],
            "top_k": [row.to_dict() for row in self.top_k],
            "text": [row.to_dict() for row in self.text],
            "seconds": self.seconds,
            "hardware": self.hardware,
            "commit": self.commit,
            "unseen_combinations": [row.to_dict() for row in self.unseen_combinations],
            "abilities": [row.to_dict() for row in self.abilities],
            "guidance": {str(steps): scale for steps, scale in self.guidance.items()},
            "teacher_sampling": {
                str(steps): asdict(entry.resolved) for steps, entry in self.teacher_sampling.items()
            },
            "validation": [row.to_dict() for row in self.validation],
            "comparisons": self.comparisons,
            "settings": self.settings,
        }

    def scalars(self, prefix: str, seconds: bool = False) -> dict[str, float]:
        """The student's scores under names for a logger.

        Args:
            prefix: What the names begin with, such as `val`.
            seconds: Whether speeds are among them, which differ from run to run.
        """
        values: dict[str, float] = {}
        measured = [*self.images, *self.unseen_combinations]
        for image in (row for row in measured if row.model == STUDENT):
            setting = f"{image.steps}_steps_guidance_{image.guidance:g}"
            if image.judged:
                values[f"{prefix}/{image.split}/score/{setting}"] = image.score
            for name, value in image.metrics.items():
                values[f"{prefix}/{image.split}/{name}/{setting}"] = value
            if seconds and image.seconds_per_image is not None:
                values[f"{prefix}/{image.split}/seconds_per_image/{setting}"] = (
                    image.seconds_per_image
                )
            for name, (value, _) in image.variety.figures.items() if image.variety else ():
                values[f"{prefix}/{image.split}/{name}/{setting}"] = value
        for ability in (row for row in self.abilities if row.model == STUDENT):
            if not ability.regenerated:
                setting = f"{ability.steps}_steps_guidance_{ability.guidance:g}"
                values[f"{prefix}/{ability.ability}/joint/{setting}"] = ability.share()
        for text in (row for row in self.text if row.model == STUDENT):
            if text.driver == "window":  # the same answers as `block`
                continue
            if text.benchmark is not None:
                for name, value in text.metrics.items():
                    values[f"{prefix}/{text.benchmark}/{name}/{text.decoding}"] = value
            else:
                values[f"{prefix}/{text.decoding}/exact_match"] = text.exact_match
                values[f"{prefix}/{text.decoding}/tokens_per_forward"] = text.tokens_per_forward
                if seconds and text.tokens_per_second is not None:
                    values[f"{prefix}/{text.decoding}/tokens_per_second"] = text.tokens_per_second
        return values

    def write(self, folder: Path, name: str = "report") -> None:
        """Write `<name>.json` and `<name>.csv`, each atomically."""
        write_json(Path(folder) / f"{name}.json", self.to_dict())
        rows = [*self.images, *self.top_k, *self.unseen_combinations, *self.validation]
        write_scores_csv(Path(folder) / f"{name}.csv", rows, self.text, self.abilities)


def write_scores_csv(
    path: Path,
    images: list[ImageScore],
    text: list[TextScore],
    abilities: Sequence[AbilityScore] = (),
) -> None:
    """Write one line a figure, atomically.

    Args:
        path: Where to write.
        images: Each gives its score and the share in each category.
        text: Each gives its exact match and its speeds.
        abilities: Each gives its three shares.
    """
    parts = (map(_image_lines, images), map(_text_lines, text), map(_ability_lines, abilities))
    write_csv(path, CSV_COLUMNS, chain.from_iterable(chain(*parts)))


def _image_lines(row: ImageScore) -> Iterator[dict[str, Any]]:
    common = {
        "model": row.model,
        "split": row.split,
        "steps": row.steps,
        "guidance": row.guidance,
    }
    if row.top_k is not None:
        common["top_k"] = row.top_k
    if row.judged:
        low, high = row.ci95
        yield common | {"figure": "score", "value": row.score, "low": low, "high": high, "n": row.n}
    for category, share in row.by_category.items():
        count = row.counts[category][1]
        yield common | {"figure": f"score/{category}", "value": share, "n": count}
    for name, value in row.metrics.items():
        yield common | {"figure": name, "value": value, "n": row.n}
    if row.variety is not None:
        of_variety = common | {"n": row.variety.n}
        for name, (value, (low, high)) in row.variety.figures.items():
            yield of_variety | {"figure": name, "value": value, "low": low, "high": high}
    if row.seconds_per_image is not None:
        yield common | {"figure": "seconds_per_image", "value": row.seconds_per_image, "n": row.n}


def _text_lines(row: TextScore) -> Iterator[dict[str, Any]]:
    common = {"model": row.model, "decoding": row.decoding, "steps": row.sampling_steps, "n": row.n}
    figures = row.to_dict()
    if row.benchmark is None:
        low, high = row.ci95
        yield common | {"figure": "exact_match", "value": row.exact_match, "low": low, "high": high}
    else:
        common["split"] = row.benchmark
        for name, value in row.metrics.items():
            yield common | {"figure": name, "value": value}
    counts = {
        "tokens_per_forward": row.n,
        "iterations_per_block": figures["full_blocks"],
        "forwards_per_block": figures["full_blocks"],
        "exact_match_long": figures.get("n_long"),
        "cider_long": figures.get("n_long"),
        "exact_match_short": figures.get("n_short"),
        "tokens_per_second": figures["n_timed"],
    }
    for name, count in counts.items():
        if figures.get(name) is not None:
            yield common | {"figure": name, "value": figures[name], "n": count}


def _ability_lines(row: AbilityScore) -> Iterator[dict[str, Any]]:
    figures = row.to_dict()
    common = {"model": row.model, "steps": row.steps, "guidance": row.guidance, "n": row.n}
    name = f"{row.ability}, regenerated" if row.regenerated else row.ability
    for outcome in OUTCOMES:
        low, high = figures[f"{outcome}_ci95"]
        figure, value = f"{name}/{outcome}", figures[outcome]
        yield common | {"figure": figure, "value": value, "low": low, "high": high}
