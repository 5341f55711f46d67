"""What is known of a model's images once they are generated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .intervals import Difference, Interval, paired_difference, rounded, stratified_interval
from .variety import Variety


@dataclass(frozen=True)
class ImageScore:
    """How often a model's images satisfied their prompts in one sampling setting.

    Attributes:
        model: Name of the model, such as `teacher` or `student`.
        split: Name of the set of prompts.
        steps: Denoising steps.
        guidance: Guidance scale; 0 is without.
        categories: Category of each prompt.
        satisfied: Whether each prompt was satisfied, in the order of the prompts; empty where
            nothing could judge.
        seconds: Wall clock of generating all of them, in batches, with pixels; None if not timed.
        batch_size: Prompts that were generated at once.
        top_k: Codes that were sampled from, if not all.
        metrics: More scores of the images by name.
        sampling: Further options of `ImageSampling` that were not at their defaults.
        variety: How different the images of a prompt are; None if it was not measured.
    """

    model: str
    split: str
    steps: int
    guidance: float
    categories: tuple[str, ...]
    satisfied: tuple[bool, ...]
    seconds: float | None = field(default=None, compare=False)
    batch_size: int | None = field(default=None, compare=False)
    top_k: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict, compare=False)
    sampling: Mapping[str, Any] = field(default_factory=dict, compare=False)
    variety: Variety | None = field(default=None, compare=False)

    @property
    def n(self) -> int:
        """Number of prompts."""
        return len(self.categories)

    @property
    def judged(self) -> bool:
        """Whether somebody could tell if the prompts were satisfied."""
        return len(self.satisfied) > 0

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Satisfied prompts and prompts of each category."""
        counts: dict[str, tuple[int, int]] = {}
        pairs = zip(self.categories, self.satisfied, strict=True) if self.judged else ()
        for category, satisfied in pairs:
            good, total = counts.get(category, (0, 0))
            counts[category] = (good + satisfied, total + 1)
        return counts

    @property
    def by_category(self) -> dict[str, float]:
        """Share of satisfied prompts in each category."""
        return {category: good / total for category, (good, total) in self.counts.items()}

    @property
    def score(self) -> float:
        """Mean of the categories' shares, each weighing the same."""
        shares = self.by_category.values()
        return sum(shares) / len(shares)

    @property
    def ci95(self) -> Interval:
        """95% interval of the score, see `stratified_interval`."""
        return stratified_interval(list(self.counts.values()))

    @property
    def seconds_per_image(self) -> float | None:
        """Wall clock of an image, on average over the batches; None if not timed."""
        return None if self.seconds is None else self.seconds / self.n

    def minus(self, other: "ImageScore") -> Difference:
        """Difference in score to another model or setting on the same prompts, in pairs."""
        return paired_difference(self.satisfied, other.satisfied, self.categories)

    def to_dict(self) -> dict[str, Any]:
        """The score for a report: figures, counts and interval, without the single outcomes."""
        found: dict[str, Any] = {
            "model": self.model,
            "split": self.split,
            "steps": self.steps,
            "guidance": self.guidance,
            "n": self.n,
            "seconds_per_image": _rounded(self.seconds_per_image),
            "batch_size": self.batch_size,
        }
        if self.judged:
            found |= {
                "score": round(self.score, 4),
                "ci95": rounded(self.ci95),
                "by_category": {name: round(share, 4) for name, share in self.by_category.items()},
                "n_by_category": {name: total for name, (_, total) in self.counts.items()},
            }
        if self.top_k is not None:
            found["top_k"] = self.top_k
        if self.sampling:
            found["sampling"] = dict(self.sampling)
        if self.metrics:
            found["metrics"] = {name: _rounded(value) for name, value in self.metrics.items()}
        if self.variety is not None:
            found["variety"] = self.variety.to_dict()
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImageScore":
        """The score of a report, with the same counts; the order of the outcomes is lost.

        Args:
            values: What `to_dict` gave.
        """
        counts = {
            category: (round(values["by_category"][category] * total), total)
            for category, total in values.get("n_by_category", {}).items()
        }
        judged = bool(counts)
        counts = counts or {"": (0, values["n"])}
        seconds, variety = values.get("seconds_per_image"), values.get("variety")
        return cls(
            values["model"],
            values["split"],
            values["steps"],
            values["guidance"],
            tuple(name for name, (_, total) in counts.items() for _ in range(total)),
            tuple(i < good for good, total in counts.values() for i in range(total)) * judged,
            None if seconds is None else seconds * values["n"],
            values.get("batch_size"),
            values.get("top_k"),
            values.get("metrics", {}),
            values.get("sampling", {}),
            None if variety is None else Variety.from_dict(variety),
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
