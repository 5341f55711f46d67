"""Prompts from the command line, text files and JSON Lines."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError


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
        UserError: If the file cannot be read, a line is wrong, or there is no prompt at all.
    """
    entries = [PromptEntry(text) for text in texts]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file} cannot be read ({error}); expected a text file") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                is_json = file.suffix == ".jsonl"
                where = f"line {number} of {file}"
                entries.append(_parse(line, where) if is_json else PromptEntry(line.strip()))
    if not entries:
        raise UserError("there are no prompts; give some, or a file of them with --prompts_file")
    return entries


def _parse(line: str, where: str) -> PromptEntry:
    try:
        values = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{where} is not valid JSON ({error}); correct or remove it") from None
    if not isinstance(values, dict) or not isinstance(values.get("prompt"), str):
        raise UserError(f"{where} has no text 'prompt'; expected an object that has one")
    seed = values.get("seed")
    if seed is not None and (type(seed) is not int or seed < 0):
        raise UserError(f"{where} has seed {seed!r}; expected a whole number of at least 0")
    metadata = {name: values[name] for name in values if name not in ("prompt", "seed")}
    return PromptEntry(values["prompt"], seed, metadata)
