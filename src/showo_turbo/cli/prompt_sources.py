"""Prompts from the command line, text files and JSON Lines."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.fields import text_field, written
from ..errors import UserError, shown
from ..utils.files import parse_json, read_lines


@dataclass(frozen=True)
class PromptEntry:
    """A prompt to draw.

    Attributes:
        text: The prompt.
        seed: Its first seed, if its line names one.
        metadata: What else its line holds, such as GenEval's `tag` and `include`.
    """

    text: str
    seed: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def read_prompts(texts: Sequence[str], file: Path | None) -> list[PromptEntry]:
    """All prompts, those of the command line first.

    Args:
        texts: Prompts of the command line.
        file: One prompt a line; or, if its name ends in `.jsonl`, one JSON object a line with
            `prompt`, and `seed` if wanted. Empty lines are passed over.

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
        for number, line in read_lines(file):
            where = f"line {number} of {file}"
            entries.append(_parse(line, where) if kind == ".jsonl" else PromptEntry(line))
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


def _parse(line: str, where: str) -> PromptEntry:
    values = parse_json(line, where)
    prompt = text_field(values, "prompt", where)
    seed = values.get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise UserError(
            f"{where} has seed {shown(seed)}; expected a whole number from 0 to 2**63 - 1, "
            "correct or remove it"
        )
    return PromptEntry(prompt, seed, other_values(values, ("prompt", "seed"), where))
