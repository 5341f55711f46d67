"""Questions of POPE, MME and MMMU to evaluate on, each with its image."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from ..errors import BadSample, UserError, shown
from .bad_samples import Skip, refuse
from .images import FORMATS, image_path, load_image, square_pixels
from .question_files import mmmu_files, read_mme, read_mmmu, read_pope
from .streams import StreamDataset
from .transparency import BACKGROUND, check_background

Benchmark = Literal["POPE", "MME", "MMMU"]
Split = Literal["dev", "validation", "test"]

_IMAGE_MARKS = re.compile(r"<image \d>")
"""Where MMMU's questions speak of their images; that is the prompt's business."""


@dataclass(frozen=True)
class QuestionFiles:
    """Questions of a benchmark, in the files that it is released as.

    Args:
        benchmark: Which; it is scored by the metric of the same name.
        path: POPE: a file such as `coco_pope_random.json`; MME: its folder, with one folder for
            each category; MMMU: its folder, with Parquet files in one folder for each subject, or
            a single file.
        images: Folder of POPE's images, `val2014` of COCO; the others bring theirs along.
        split: Of MMMU's folder, the files whose names begin so. The answers of `test` are not
            public, and refused.
        background: Color that shows through transparent parts of the images.
    """

    benchmark: Benchmark
    path: Path
    images: Path | None = None
    split: Split = "validation"
    background: str = BACKGROUND

    def __post_init__(self) -> None:
        check_background(self.background)
        if (self.benchmark == "POPE") != (self.images is not None):
            need = "the folder of its images" if self.benchmark == "POPE" else "nothing"
            raise UserError(
                f"images of {self.benchmark} is {self.images}; expected {need}, set it so"
            )

    def open(self, resolution: int, skip: Skip = refuse) -> "BenchmarkQuestions":
        """Read the questions; images come as squares of `resolution` pixels.

        Raises:
            UserError: If there are none, or one is damaged.
        """
        if self.benchmark == "POPE":
            records = read_pope(self.path)
        elif self.benchmark == "MME":
            records = read_mme(self.path)
        else:
            files = mmmu_files(self.path, self.split)
            records = [record for file in files for record in read_mmmu(file)]
        return BenchmarkQuestions(self, records, resolution, skip)


class BenchmarkQuestions(StreamDataset):
    """Questions, each `{"benchmark", "pixels", "question", "truth", "seed"}`.

    `question` is the whole prompt, in no prompt format. `truth` is what the metric needs, see
    `showo_turbo.metrics.answers`. Of several images (MMMU) the first is looked at; questions
    without any are refused.

    Args:
        files: Where they are from.
        records: What the reader of `question_files` gave.
        resolution: Side length in pixels.
        skip: Leaves out a question without an image, or raises.

    Raises:
        UserError: If there are no questions.
    """

    def __init__(
        self,
        files: QuestionFiles,
        records: Sequence[Mapping[str, Any]],
        resolution: int,
        skip: Skip,
    ) -> None:
        self.files = files
        self.resolution = resolution
        self.records = []
        for record in records:
            if files.benchmark == "MMMU" and not record["images"]:
                skip(BadSample(f"{record['id']} in {files.path} has no image; remove it"))
            else:
                self.records.append(record)
        if not self.records:
            raise UserError(
                f"{files.path} holds no questions; expected those of {files.benchmark}, name "
                "another file"
            )

    def __len__(self) -> int:
        """Number of questions."""
        return len(self.records)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The question at `index`; `seed` is unused."""
        record = self.records[index]
        truth = {name: value for name, value in record.items() if name != "images"}
        return {
            "benchmark": self.files.benchmark,
            "pixels": self._pixels(record),
            "question": question_with_options(record),
            "truth": truth,
            "seed": seed,
        }

    def _pixels(self, record: Mapping[str, Any]) -> Tensor:
        if self.files.images is not None:
            where = f"{shown(record['question'])} in {self.files.path}"
            path = image_path(self.files.images, record["image"], where)
            return load_image(path, self.resolution, self.files.background)
        if "image" in record:
            return load_image(Path(record["image"]), self.resolution, self.files.background)
        try:
            image = Image.open(io.BytesIO(record["images"][0]), formats=FORMATS)
            return square_pixels(image, self.resolution, self.files.background)
        except UserError as error:
            raise BadSample(f"{record['id']} in {self.files.path}: {error}") from None
        # Pillow's decoders raise errors of many kinds on damaged files.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise BadSample(
                f"the image of {record['id']} in {self.files.path} cannot be read ({reason}); "
                "download the file again or remove it"
            ) from None


def question_with_options(record: Mapping[str, Any]) -> str:
    """The question as it is asked: with lettered options under it where there are any."""
    question = _IMAGE_MARKS.sub("", str(record["question"])).strip()
    options = [
        f"({chr(ord('A') + index)}) {text}" for index, text in enumerate(record.get("options", ()))
    ]
    if not options:
        return question
    return "\n".join([question, *options, "Answer with the option's letter."])
