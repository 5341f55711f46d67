"""Where all data of a run may come from at once."""

from abc import ABC, abstractmethod
from typing import Literal

from .files import PromptFiles
from .sources import CaptionSource, QuestionSource, TextSource


class Corpus(ABC):
    """All that a run reads, from one place: it stands in for every file that is not named."""

    @abstractmethod
    def write(self) -> None:
        """Make what is not there yet; called once, before anything is read."""

    @abstractmethod
    def captions(self, split: Literal["train", "val"]) -> CaptionSource:
        """The captions of a split."""

    @abstractmethod
    def instructions(self, split: Literal["train", "val"]) -> QuestionSource:
        """The questions and answers of a split."""

    @abstractmethod
    def web_text(self) -> TextSource:
        """Texts to train on."""

    @abstractmethod
    def prompts(self) -> PromptFiles:
        """The evaluation prompts."""
