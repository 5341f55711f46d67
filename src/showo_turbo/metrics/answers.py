"""Accuracy of short answers on POPE, MME and MMMU, as their authors score them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
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


def yes_or_no(text: str) -> str:
    """`yes`, `no` or `other`, by the first word of an answer that is one of the two.

    POPE's script takes all but an explicit "no" or "not" for a yes; MME's looks at the beginning.
    """
    words = re.findall(r"[a-z]+", text.lower())
    for word in words:
        if word in ("no", "not"):
            return "no"
        if word == "yes":
            return "yes"
    return "other"


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

    Unit: a share in [0, 1]. `figures` has precision, recall and F1 of "yes" and its share too. As
    in the published script, an answer without "no" or "not" counts as a yes.
    """

    needed = ("label",)

    def compute(self) -> Tensor:
        """The accuracy; NaN without answers."""
        return torch.tensor(self.figures()["accuracy"])

    def figures(self) -> dict[str, float]:
        """Accuracy, precision, recall, F1 and the share of yes."""
        pairs = [(yes_or_no(text) != "no", label == "yes") for text, label in self.samples()]
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
    are answered right, both in percent.

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
            right = yes_or_no(text) == answer.lower()
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

    Unit: a share in [0, 1], over all questions. The choice is read out of the answer as by the
    published script, but where it finds none and draws one at random, ours counts as wrong.
    """

    needed = ("question_type", "options", "answer")

    def compute(self) -> Tensor:
        """The share of right answers; NaN without any."""
        right = 0
        samples = self.samples()
        for text, kind, options, answer in samples:
            if kind == "multiple-choice":
                right += chosen_letter(text, options) == answer
            else:
                right += matches_open(text, answer)
        return torch.tensor(_share(right, len(samples)))


def chosen_letter(text: str, options: Sequence[str]) -> str | None:
    """The letter of the option that an answer chooses; the last one where it names several.

    Looked for, in this order: `(A)`; `A` as a word, `A.` or a bare `A`; the wording of an option in
    an answer of more than five words.

    Args:
        text: The answer.
        options: The wordings; the first is A.
    """
    letters = [chr(ord("A") + index) for index in range(len(options))]
    padded = f" {text.strip().strip(_PUNCTUATION)} "
    for form in (r"\({}\)", r"(?<= ){}(?=[ .])"):
        places = {
            letter: [match.start() for match in re.finditer(form.format(letter), padded)]
            for letter in letters
        }
        found = {letter: hits[-1] for letter, hits in places.items() if hits}
        if found:
            return max(found, key=lambda letter: found[letter])
    if len(text.split()) > 5:
        worded = {
            letter: padded.lower().rfind(option.lower())
            for letter, option in zip(letters, options, strict=True)
        }
        found = {letter: place for letter, place in worded.items() if place >= 0}
        if found:
            return max(found, key=lambda letter: found[letter])
    return None


def matches_open(text: str, answer: str | Sequence[str]) -> bool:
    """Whether an open answer holds a right one: as a number, rounded to 2 digits, or as words."""
    accepted = [answer] if isinstance(answer, str) else list(answer)
    said = text.strip().strip(".").lower()
    numbers = {round(float(found.replace(",", "")), 2) for found in _NUMBER.findall(said)}
    for entry in accepted:
        try:
            if round(float(str(entry).replace(",", "")), 2) in numbers:
                return True
        except ValueError:
            if str(entry).strip().lower() in said:
                return True
    return False


_PUNCTUATION = ",.!?;:'"
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
