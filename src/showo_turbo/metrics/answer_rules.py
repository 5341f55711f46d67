"""How the authors of POPE, MME and MMMU read an answer; their rules, oddities included.

The rules decide the figures of published tables, so they are followed to the letter where a reader
would judge otherwise.
"""

import random
import re
from collections.abc import Mapping, Sequence

_PUNCTUATION = (",", ".", "!", "?", ";", ":", "'")

_KEY_MARKS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
"""What comes after them is likely to be the answer to an open question."""

_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),  # 1,234
    re.compile(r"-?\d+(?:\.\d+)?e[+-]?\d+"),  # 1.2e3
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?!e[+-]?\d)(?![,\d])"),  # 12, 12.5
)


def pope_answer(text: str) -> str:
    """`yes` or `no`, by the first sentence of an answer.

    It is a no if `No`, `no` or `not` is among its words, which end at spaces and have lost their
    commas; all else is a yes.

    Source: `evaluate.py` of github.com/AoiDragon/POPE.
    """
    words = text.partition(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "no", "not"} & set(words) else "yes"


def mme_answer(text: str) -> str:
    """`yes`, `no` or `other`, by the first four characters of an answer.

    Source: `calculation.py` of MME's evaluation tool.
    """
    start = text.lower()[:4]
    return next((word for word in ("yes", "no") if word in start), "other")


def chosen_letter(text: str, options: Sequence[str]) -> str:
    """The letter of the option that an answer chooses; the last one where it names several.

    Looked for, in this order: `(A)`; a capital `A` between spaces; the wording of an option, in an
    answer of more than five words. Where nothing is found, the script draws a letter. Here the draw
    depends on the options alone, so that it is the same for every model and in every run.

    Args:
        text: The answer.
        options: The wordings; the first is A. At least one.

    Source: `eval_utils.py` of github.com/MMMU-Benchmark/MMMU.
    """
    for mark in _PUNCTUATION:  # one after the other: "A.," loses both, "A,." only the last
        text = text.strip(mark)
    text = f" {text} "
    letters = [chr(ord("A") + index) for index in range(len(options))]
    for form in ("({})", " {} "):
        found = _last({letter: text.rfind(form.format(letter)) for letter in letters})
        if found is not None:
            return found
    if len(text.split()) > 5:
        lower = text.lower()
        pairs = zip(letters, options, strict=True)
        found = _last({letter: lower.rfind(option.lower()) for letter, option in pairs})
        if found is not None:
            return found
    return random.Random("\n".join(options)).choice(letters)


def matches_open(text: str, answer: str | Sequence[str]) -> bool:
    """Whether an open answer holds a right one.

    Of each line only the end counts, what stands after words such as "is" or "therefore"; the whole
    answer if there are none. A right number must be equal to one that is found there, rounded to
    two digits; right words must be part of it, a single letter with a space beside it.

    Args:
        text: What the model said.
        answer: What is right, or a list of such.

    Source: `eval_utils.py` of github.com/MMMU-Benchmark/MMMU.
    """
    accepted = [answer] if isinstance(answer, str) else answer
    wanted = {form for entry in accepted for form in _normalized(entry)}
    words = [form for form in wanted if isinstance(form, str)]
    parts = _key_parts(text)
    numbers = [number for part in parts for form in _NUMBERS for number in form.findall(part)]
    for said in (form for part in [*parts, *numbers] for form in _normalized(part)):
        if isinstance(said, str):
            if any(word in said for word in words):
                return True
        elif said in wanted:
            return True
    return False


def _last(places: Mapping[str, int]) -> str | None:
    """The letter that was found last; None if all places are -1."""
    letter = max(places, key=lambda letter: places[letter])
    return letter if places[letter] >= 0 else None


def _key_parts(text: str) -> list[str]:
    """The shortest end of each line after a mark, or else the whole answer; in lower case."""
    said = text.strip().strip(".").lower()
    lines = said.split("\n")
    parts = []
    for number, line in enumerate(lines, start=1):
        # The last line may be an equation.
        marks = (*_KEY_MARKS, "=") if number == len(lines) else _KEY_MARKS
        shortest = ""
        for mark in marks:
            end = line.split(mark)[-1].strip()
            if mark in line and (not shortest or len(end) < len(shortest)):
                shortest = end
        if shortest and shortest not in _PUNCTUATION:
            parts.append(shortest)
    return parts or [said]


def _normalized(text: str) -> list[str | float]:
    """A number rounded to two digits, or words in lower case."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]
