"""Questions with right answers, read from the files that POPE, MME and MMMU are released as."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from ..errors import UserError
from ..utils.files import parse_json
from ..utils.text_files import read_lines


def read_pope(path: Path) -> list[dict[str, Any]]:
    """Read a file such as `coco_pope_random.json`: one JSON object a line.

    Returns:
        Records with `image` (the file's name), `question` and `label` (`yes` or `no`).

    Raises:
        UserError: If the file is missing or a line is damaged.
    """
    records = []
    for number, line in read_lines(path):
        entry = parse_json(line, f"line {number} of {path}")
        try:
            label = str(entry["label"]).lower()
            records.append({"image": entry["image"], "question": entry["text"], "label": label})
        except (KeyError, TypeError):
            raise UserError(
                f"line {number} of {path} is damaged; expected a JSON object with image, text and "
                "label"
            ) from None
    return records


def read_mme(folder: Path) -> list[dict[str, Any]]:
    """Read MME's folder: in a folder each category, beside each image a text of two questions.

    Some categories keep them apart in `images` and `questions_answers_YN`.

    Returns:
        Records with `category`, `image` (a path), `question` and `answer` (`Yes` or `No`).

    Raises:
        UserError: If there are no questions, or one is damaged.
    """
    records = []
    for path in sorted(folder.glob("*/*.txt")) + sorted(
        folder.glob("*/questions_answers_YN/*.txt")
    ):
        category = path.relative_to(folder).parts[0]
        image = _image_beside(path)
        for number, line in read_lines(path):
            question, tab, answer = line.rpartition("\t")
            if not tab or answer.strip() not in ("Yes", "No"):
                raise UserError(
                    f"line {number} of {path} is damaged; expected a question, a tab, and Yes or No"
                )
            records.append(
                {
                    "category": category,
                    "image": str(image),
                    "question": question,
                    "answer": answer.strip(),
                }
            )
    if not records:
        raise UserError(
            f"{folder} holds no questions; expected MME's folder, <category>/<image>.txt"
        )
    return records


def mmmu_files(path: Path, split: str) -> list[Path]:
    """The Parquet files of a split of MMMU.

    Args:
        path: The released folder, which holds one for each subject; or a single file.
        split: `dev`, `validation` or `test`, which the files' names begin with.

    Raises:
        UserError: If a folder has none.
    """
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob(f"{split}-*.parquet"))
    if not files:
        raise UserError(
            f"{path} holds no questions of the split {split!r}; expected MMMU's folder, "
            f"<subject>/{split}-00000-of-00001.parquet"
        )
    return files


def read_mmmu(path: Path) -> Iterator[dict[str, Any]]:
    """Read a Parquet file of MMMU, row by row.

    Yields:
        Records with `id`, `question`, `options`, `answer`, `question_type`, and `images`: the bytes
        of the one to seven image files.

    Raises:
        UserError: If the file cannot be read, a row lacks something, or its answer is hidden.
    """
    try:
        table = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a Parquet file ({error}); download it again") from None
    for batch in table.iter_batches(batch_size=16):
        for row in batch.to_pylist():
            try:
                record = _mmmu_record(row)
            except (KeyError, TypeError, ValueError, AttributeError, SyntaxError) as error:
                raise UserError(
                    f"a row of {path} is damaged ({error!r}); expected MMMU's"
                ) from None
            if record["answer"] == "?":
                raise UserError(
                    f"the answer to {record['id']} in {path} is hidden ('?'), as all are in MMMU's "
                    "split test; choose the split validation or dev"
                )
            yield record


def _mmmu_record(row: Mapping[str, Any]) -> dict[str, Any]:
    images = [row.get(f"image_{number}") for number in range(1, 8)]
    record = {
        "id": row["id"],
        "question": row["question"],
        "options": _literal(row["options"]),
        "answer": _answer(row["answer"]),
        "question_type": row["question_type"],
        "images": [image["bytes"] for image in images if image],
    }
    if record["question_type"] == "multiple-choice" and not record["options"]:
        raise ValueError(f"{row['id']} has no options")
    return record


def _image_beside(path: Path) -> Path:
    places = [path.parent, path.parent.parent / "images"]
    found = (place / f"{path.stem}{end}" for place in places for end in (".jpg", ".png"))
    image = next((file for file in found if file.is_file()), None)
    if image is None:
        raise UserError(f"{path} has no image; expected {path.stem}.jpg or .png beside it")
    return image


def _literal(options: Any) -> list[str]:
    """The options, which the released files hold as a Python list in a string."""
    return [str(option) for option in (ast.literal_eval(options) if options else [])]


def _answer(answer: str) -> str | list[str]:
    """An open question may have several right answers, as a list in a string."""
    return [str(one) for one in ast.literal_eval(answer)] if answer.startswith("[") else answer
