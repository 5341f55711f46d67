"""A few questions of POPE, MME and MMMU in the files that these are released as."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image

COLORS = {"red": (255, 0, 0), "blue": (0, 0, 255)}


def png(color, size=(32, 24)):
    content = io.BytesIO()
    Image.new("RGB", size, COLORS[color]).save(content, format="PNG")
    return content.getvalue()


def write_pope(folder, labels=("yes", "no")):
    """Questions about a red and a blue picture; gives the `QuestionFiles` as a dict."""
    (folder / "val2014").mkdir(parents=True)
    lines = []
    for label, color in zip(labels, COLORS, strict=True):
        (folder / "val2014" / f"{color}.png").write_bytes(png(color))
        entry = {"image": f"{color}.png", "text": "Is there a square?", "label": label}
        lines.append(json.dumps({"question_id": len(lines) + 1, **entry}))
    path = folder / "coco_pope_random.json"
    path.write_text("\n".join(lines))
    return {"benchmark": "POPE", "path": str(path), "images": str(folder / "val2014")}


def write_mme(folder):
    """One image with two questions; gives the `QuestionFiles` as a dict."""
    (folder / "existence").mkdir(parents=True)
    (folder / "existence" / "1.png").write_bytes(png("red"))
    (folder / "existence" / "1.txt").write_text("Is it red?\tYes\nIs it blue?\tNo\n")
    return {"benchmark": "MME", "path": str(folder)}


def write_mmmu(folder, **changed):
    """A question with options and an open one; gives the `QuestionFiles` as a dict.

    They are of one subject, in the files of the split `validation`; in that of `test` there is the
    first alone, with its answer hidden.
    """
    (folder / "Art").mkdir(parents=True)
    image = {"bytes": png("blue"), "path": "1.png"}
    choice = {
        "id": "validation_Art_1",
        "question": "Which color has <image 1>?",
        "options": "['red', 'blue']",
        "answer": "B",
        "question_type": "multiple-choice",
        "image_1": image,
        "image_2": {"bytes": png("red"), "path": "2.png"},
    }
    open_one = choice | {
        "id": "validation_Art_2",
        "question": "<image 1> How many squares?",
        "options": "[]",
        "answer": "['7', 'seven']",
        "question_type": "open",
        "image_2": None,
    }
    splits = {"validation": [choice, open_one | changed], "test": [choice | {"answer": "?"}]}
    for split, rows in splits.items():
        path = folder / "Art" / f"{split}-00000-of-00001.parquet"
        parquet.write_table(pa.Table.from_pylist(rows), path)
    return {"benchmark": "MMMU", "path": str(folder)}
