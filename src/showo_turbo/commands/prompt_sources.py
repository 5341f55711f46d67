"""Prompts from the command line, text files and JSON Lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.fields import text_field, written
from ..errors import UserError, shown
from ..files import parse_json, read_lines


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
    entries = [
        PromptEntry(written(text, "the prompt", f"prompt {number}"))
        for number, text in enumerate(texts, start=1)
    ]
    if file is not None:
        for number, line in read_lines(file):
            where = f"line {number} of {file}"
            entries.append(_parse(line, where) if file.suffix == ".jsonl" else PromptEntry(line))
    if not entries:
        raise UserError("there are no prompts; give some, or a file of them with --prompts_file")
    return entries


def _parse(line: str, where: str) -> PromptEntry:
    values = parse_json(line, where)
    prompt = text_field(values, "prompt", where)
    seed = values.get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise UserError(
            f"{where} has seed {shown(seed)}; expected a whole number from 0 to 2**63 - 1, "
            "correct or remove it"
        )
    metadata = {name: values[name] for name in values if name not in ("prompt", "seed")}
    return PromptEntry(prompt, seed, metadata)
