"""Prompts from the command line, text files, JSON Lines and tables."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from ..data.fields import text_field, written
from ..data.records import JSON_LINES, TABLES, read_records
from ..errors import UserError, shown
from ..utils.text_files import read_lines

_COLUMNS = ("prompt", "text", "caption")
"""What the column of a table may be called that holds the prompts; the first that is there does."""


@dataclass(frozen=True)
class PromptEntry:
    """A prompt to generate from.

    Attributes:
        text: The prompt.
        seed: Its first seed, if its line or row names one.
        metadata: What else that holds, such as GenEval's `tag` and `include`.
        negative_prompt: What guidance moves away from, if not from the empty prompt.
    """

    text: str
    seed: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    negative_prompt: str | None = None

    @property
    def notes(self) -> dict[str, Any]:
        """What is noted of it with its image."""
        return {"prompt": self.text, **negative_note(self.negative_prompt)}

    def identity(self, seed: int) -> list[Any]:
        """What tells its image from others, as JSON."""
        return [self.text, seed, *negative_note(self.negative_prompt).values()]


class _Negatable(Protocol):
    """A dataclass with a negative prompt."""

    @property
    def negative_prompt(self) -> str | None:
        """What guidance moves away from."""


Entry = TypeVar("Entry", bound=_Negatable)


def read_prompts(texts: Sequence[str], file: Path | None) -> list[PromptEntry]:
    """All prompts, those of the command line first.

    Args:
        texts: Prompts of the command line.
        file: One prompt a line; or, if its name ends as one of `JSON_LINES` does, one JSON object
            a line with `prompt`, and `negative_prompt` and `seed` if wanted; or, if it ends as one
            of `TABLES` does, rows with a column `prompt`, `text` or `caption`, and likewise. Empty
            lines are passed over.

    Raises:
        UserError: If the file cannot be read or is a `.json` file, a prompt or a line is wrong, or
            there is no prompt at all.
    """
    entries = []
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise UserError(f"prompt {number} is empty; expected a text, write one or leave it out")
        entries.append(PromptEntry(written(text, "the prompt", f"prompt {number}")))
    if file is not None:
        kind = file.suffix.lower()
        if kind == ".json":
            raise UserError(
                f"{file} is a .json file; expected one JSON object a line in a .jsonl file, or one "
                "prompt a line in a .txt file, rewrite it as one of them"
            )
        if kind in JSON_LINES:
            entries += [_entry(values, "prompt", where) for where, values in read_records(file)]
        elif kind in TABLES:
            entries += [_of_row(values, where) for where, values in read_records(file)]
        else:
            entries += [PromptEntry(line) for _, line in read_lines(file)]
    if not entries:
        raise UserError("there are no prompts; give some, or a file of them with --prompts_file")
    return entries


def other_values(values: Mapping[str, Any], used: Sequence[str], where: str) -> dict[str, Any]:
    """What a line holds beside what is used of it, to be noted with its result.

    Args:
        values: The line's JSON object.
        used: Names of what is used.
        where: What the line is, for the message.

    Raises:
        UserError: If it is not Unicode, and so cannot be written.
    """
    others = {name: value for name, value in values.items() if name not in used}
    try:
        json.dumps(others, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where} has the lone surrogate {error.object[error.start]!r}; expected Unicode, "
            "rewrite it"
        ) from None
    return others


def _of_row(values: Mapping[str, str], where: str) -> PromptEntry:
    """The prompt of a table's row; names of columns may be written in capitals."""
    names = {name.lower(): name for name in values}
    column = next((names[name] for name in _COLUMNS if name in names), None)
    if column is None:
        raise UserError(
            f"{where} has the columns {shown(list(values))}; expected one that is called "
            f"{' or '.join(_COLUMNS)}, name it in the first row"
        )
    row: dict[str, Any] = dict(values)
    seed = row.pop(names.get("seed", ""), "")
    if seed:
        row["seed"] = int(seed) if re.fullmatch("[0-9]{1,19}", seed) else seed
    return _entry(row, column, where)


def _entry(values: Any, column: str, where: str) -> PromptEntry:
    prompt = text_field(values, column, where)
    seed, negative_prompt = seed_field(values, where), negative_field(values, where)
    others = other_values(values, (column, *SHARED_KEYS), where)
    return PromptEntry(prompt, seed, others, negative_prompt)


SHARED_KEYS = ("seed", "negative_prompt")
"""Keys that every line with something to generate may hold."""


def seed_field(values: Mapping[str, Any], where: str) -> int | None:
    """The seed that a line names, if it does.

    Raises:
        UserError: If it is not a seed.
    """
    seed = values.get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise UserError(
            f"{where} has seed {shown(seed)}; expected a whole number from 0 to 2**63 - 1, "
            "correct or remove it"
        )
    return seed


def negative_field(values: Mapping[str, Any], where: str) -> str | None:
    """The negative prompt that a line names, if it does.

    Raises:
        UserError: If it is not a text.
    """
    if values.get("negative_prompt") in (None, ""):
        return None
    return text_field(values, "negative_prompt", where)


def with_negative(entries: Sequence[Entry], negative_prompt: str | None) -> list[Entry]:
    """The entries, those without a negative prompt of their own with this one."""
    if not negative_prompt:
        return list(entries)
    return [
        entry
        if entry.negative_prompt
        else replace(cast(Any, entry), negative_prompt=negative_prompt)
        for entry in entries
    ]


def negative_note(negative_prompt: str | None) -> dict[str, str]:
    """What is noted of a negative prompt: nothing where there is none."""
    return {} if negative_prompt is None else {"negative_prompt": negative_prompt}
