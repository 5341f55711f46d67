"""Sources of data: what a class must offer to be named in YAML as captions, questions or texts.

Our own kinds are `CaptionFiles`, `InstructionFiles` and `TextFiles`. One of a user's own derives
from a class here, in a file of its own, and is named by its import path:

    captions:
      class_path: my_captions.Mine
      init_args: {folder: data/mine}
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import UserError, check_kind
from .bad_samples import Skip, refuse
from .streams import Stream
from .transparency import BACKGROUND

_Source = TypeVar("_Source")


class Source:
    """Where data comes from."""

    def prepare(self) -> None:
        """Make what is not there yet; called before anything is read.

        Several processes may call it at the same time.
        """


class CaptionSource(Source, ABC):
    """Captions, and where there are any, the images that they describe."""

    @abstractmethod
    def captions(self, skip: Skip = refuse) -> Sequence[str]:
        """All captions, for a distillation's teacher to generate from; images are not read.

        The order is the same whenever it is asked for: what is generated from them depends on it.

        Args:
            skip: To be called with each `BadSample` that is found; leaves it out, or raises.

        Raises:
            UserError: If there are none, or they cannot be read.
        """

    def open(self, resolution: int, skip: Skip = refuse) -> Stream:
        """Images with a caption, to pretrain on.

        Args:
            resolution: Side length of the images in pixels.
            skip: To be called with each `BadSample` that is found; leaves it out, or raises.

        Returns:
            A stream of `{"pixels": (3, resolution, resolution), "caption": str, ...}`.

        Raises:
            UserError: If there are no images, as by default, or they cannot be read.
        """
        raise UserError(
            f"{type(self).__name__} has captions without images, which can be distilled but not "
            "pretrained on; name a source whose method open gives images, such as CaptionFiles"
        )


class QuestionSource(Source, ABC):
    """Questions about images, and where there are any, their answers.

    Attributes:
        background: Color that shows through transparent parts of the images of `requests`.
    """

    background: str = BACKGROUND

    @abstractmethod
    def requests(self, skip: Skip = refuse) -> Sequence[tuple[Path, str]]:
        """All questions, for the teacher of a distillation to answer.

        The order is the same whenever it is asked for: what is generated from them depends on it.

        Args:
            skip: To be called with each `BadSample` that is found; leaves it out, or raises.

        Returns:
            Pairs of an image file and what to ask about it, in no prompt format; a question that
            refers to earlier turns is a `showo_turbo.models.questions.FollowUp`.

        Raises:
            UserError: If there are none, or they cannot be read.
        """

    def open(self, resolution: int, skip: Skip = refuse) -> Stream:
        """Images with a question and its answer, to pretrain on and to validate with.

        Args:
            resolution: Side length of the images in pixels.
            skip: To be called with each `BadSample` that is found; leaves it out, or raises.

        Returns:
            A stream of `{"pixels": (3, resolution, resolution), "question": str, "answer": str,
            "id": str, ...}`.

        Raises:
            UserError: If there are no answers, as by default, or they cannot be read.
        """
        raise UserError(
            f"{type(self).__name__} has questions without answers, which can be distilled but not "
            "pretrained on or validated with; name a source whose method open gives answers, such "
            "as InstructionFiles"
        )


class TextSource(Source, ABC):
    """Texts that belong to no image."""

    @abstractmethod
    def open(self) -> Stream:
        """The texts.

        Returns:
            A stream of `{"text": str, "seed": int}`.

        Raises:
            UserError: If there are none, or they cannot be read.
        """


def required(source: _Source | None, argument: str) -> _Source:
    """The source, if there is one.

    Raises:
        UserError: If there is none.
    """
    if source is None:
        raise UserError(
            f"{argument} is missing; name its files, or give a corpus as shapes, such as "
            "ShapesWorld"
        )
    return source


def check_source(source: object, kind: type, argument: str) -> None:
    """Raise if something is not a source of a kind; None passes.

    Raises:
        UserError: See `check_kind`.
    """
    if source is not None:
        check_kind(source, kind, argument)
