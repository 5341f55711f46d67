"""Accuracy of short answers on POPE, MME and MMMU, as their authors score them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from .answer_rules import chosen_letter, matches_open, mme_answer, pope_answer
from .text_metric import TextMetric

PERCEPTION = (
    "existence",
    "count",
    "position",
    "color",
    "posters",
    "celebrity",
    "scene",
    "landmark",
    "artwork",
    "OCR",
)
COGNITION = (
    "commonsense_reasoning",
    "numerical_calculation",
    "text_translation",
    "code_reasoning",
)


class _Answers(TextMetric):
    """Gathers answers beside the records that they belong to."""

    higher_is_better = True
    needed: tuple[str, ...] = ()

    def update(self, texts: Sequence[str], records: Sequence[Mapping[str, Any]]) -> None:
        """Add answers.

        Args:
            texts: What the model said.
            records: See `showo_turbo.data.question_files`.

        Raises:
            UserError: If a record lacks an entry.
        """
        kept = []
        for text, record in zip(texts, records, strict=True):
            if missing := [name for name in self.needed if name not in record]:
                raise UserError(
                    f"a record for {type(self).__name__} has no {missing[0]!r}; expected "
                    f"{', '.join(self.needed)}"
                )
            kept.append([text, *(record[name] for name in self.needed)])
        self.keep(kept)

    def figures(self) -> dict[str, float]:
        """What tables show."""
        return {"accuracy": float(self.compute())}


class POPE(_Answers):
    """Accuracy on yes-or-no questions about objects (POPE, arXiv 2305.10355).

    Unit: a share in [0, 1]. `figures` has precision, recall and F1 of "yes" and its share too.
    Answers are read as by the published script, see `pope_answer`: all but a no is a yes.
    """

    needed = ("label",)

    def compute(self) -> Tensor:
        """The accuracy; NaN without answers."""
        return torch.tensor(self.figures()["accuracy"])

    def figures(self) -> dict[str, float]:
        """Accuracy, precision, recall, F1 and the share of yes."""
        pairs = [(pope_answer(text) == "yes", label == "yes") for text, label in self.samples()]
        hits = sum(said and true for said, true in pairs)
        said, true = sum(said for said, _ in pairs), sum(true for _, true in pairs)
        precision, recall = _share(hits, said), _share(hits, true)
        return {
            "accuracy": _share(sum(a == b for a, b in pairs), len(pairs)),
            "precision": precision,
            "recall": recall,
            "f1": _share(2 * hits, said + true),
            "yes": _share(said, len(pairs)),
        }


class MME(_Answers):
    """Score on MME (arXiv 2306.13394).

    Unit: points; 200 at most for each of the 14 categories, of which 10 are perception and 4
    cognition. A category's points are its accuracy and the share of images both of whose questions
    are answered right, both in percent. Answers are read as by the published script, see
    `mme_answer`: what begins with neither yes nor no is wrong.

    Args:
        part: `perception` (the figure of most tables, at most 2000), `cognition` (800) or `all`.
    """

    needed = ("category", "image", "answer")

    def __init__(self, part: str = "perception", **options: Any) -> None:
        super().__init__(**options)
        if part not in ("perception", "cognition", "all"):
            raise UserError(f"part is {part!r}; choose perception, cognition or all")
        self.part = part

    def compute(self) -> Tensor:
        """The sum over the part's categories."""
        return torch.tensor(self._points(self.part))

    def figures(self) -> dict[str, float]:
        """The points of both parts, whichever `compute` gives."""
        return {part: self._points(part) for part in ("perception", "cognition")}

    def _points(self, part: str) -> float:
        wanted = {"perception": PERCEPTION, "cognition": COGNITION}.get(part)
        points = self.by_category()
        return sum(
            (value for name, value in points.items() if wanted is None or name in wanted), 0.0
        )

    def by_category(self) -> dict[str, float]:
        """Points of each category that was seen."""
        found: dict[str, dict[str, list[bool]]] = {}
        for text, category, image, answer in self.samples():
            right = mme_answer(text) == answer.lower()
            found.setdefault(category, {}).setdefault(image, []).append(right)
        points = {}
        for category, images in found.items():
            answers = [right for of_image in images.values() for right in of_image]
            whole = [all(of_image) for of_image in images.values()]
            points[category] = 100 * (
                _share(sum(answers), len(answers)) + _share(sum(whole), len(whole))
            )
        return points


class MMMU(_Answers):
    """Accuracy on MMMU (arXiv 2311.16502), multiple choice and open questions alike.

    Unit: a share in [0, 1], over all questions. Answers are read as by the published script, see
    `chosen_letter` and `matches_open`. Where it finds no choice and draws one, so does this; the
    drawn letter is the same in every run.
    """

    needed = ("question_type", "options", "answer")

    def compute(self) -> Tensor:
        """The share of right answers; NaN without any."""
        right = 0
        samples = self.samples()
        for text, kind, options, answer in samples:
            if kind == "multiple-choice":
                accepted = [answer] if isinstance(answer, str) else answer
                right += chosen_letter(text, options) in accepted
            else:
                right += matches_open(text, answer)
        return torch.tensor(_share(right, len(samples)))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
