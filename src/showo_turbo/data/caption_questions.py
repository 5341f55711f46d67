"""Captions as answers, to train understanding on images that have nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import UserError
from .bad_samples import Skip, refuse
from .sources import CaptionSource, QuestionSource
from .streams import Stream

LEARN_QUESTION = "learn_question"
"""Of a sample: whether its question is learned like its answer."""


@dataclass(frozen=True)
class CaptionQuestions(QuestionSource):
    """The captions of images as answers to one request, which is learned as well.

    By models that read images as features the answers alone are learned.

    Args:
        captions: The images with their captions.
        request: What is asked about every image.

    Source: stages 1 and 2 of Show-o (arXiv 2408.12528, section 3.3), whose released code counts
    all tokens of such a text.
    """

    captions: CaptionSource
    request: str = "Describe the image."

    def __post_init__(self) -> None:
        if not self.request.strip():
            raise UserError("the request is empty; expected a text, write one")

    def prepare(self) -> None:
        """Make what is not there yet."""
        self.captions.prepare()

    def requests(self, skip: Skip = refuse) -> NoReturn:
        """Raise: these are to pretrain on."""
        raise UserError(
            "CaptionQuestions can be pretrained on, but not distilled; name a source of questions "
            "such as InstructionFiles"
        )

    def open(self, resolution: int, skip: Skip = refuse) -> "CaptionAnswers":
        """Read the captions; images come as squares of `resolution` pixels."""
        return CaptionAnswers(self.captions.open(resolution, skip), self.request)


class CaptionAnswers:
    """A stream of captions as one of questions.

    A sample is `{"pixels": (3, resolution, resolution), "question": str, "answer": str, "id": str,
    "learn_question": True, "seed": int}`.

    Args:
        captions: The stream.
        request: What is asked.
    """

    def __init__(self, captions: Stream, request: str) -> None:
        self._captions = captions
        self._request = request
        if hasattr(captions, "parts"):
            self.parts: Sequence[int] = captions.parts

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._captions)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The sample at `index`."""
        sample = self._captions.draw(index, seed)
        return {
            "pixels": sample["pixels"],
            "question": self._request,
            "answer": sample["caption"],
            "id": str(index),
            LEARN_QUESTION: True,
            "seed": seed,
        }

    def collate(self, items: Sequence[Any]) -> Any:
        """Put the samples of one batch together."""
        return self._captions.collate(items)
