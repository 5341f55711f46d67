"""Questions that follow others."""

from collections.abc import Sequence


class FollowUp(str):
    """A question with the turns before it; as a text it is the question alone.

    A family that makes nothing of earlier turns, a table and a film strip take it for the question.

    Args:
        question: What is asked now.
        history: Earlier questions with their answers, oldest first.

    Attributes:
        history: Likewise.
    """

    history: tuple[tuple[str, str], ...]

    def __new__(cls, question: str, history: Sequence[tuple[str, str]]) -> "FollowUp":
        """Add the turns to the text."""
        follow_up = super().__new__(cls, question)
        follow_up.history = tuple((asked, answered) for asked, answered in history)
        return follow_up

    def __eq__(self, other: object) -> bool:
        """Whether the same is asked after the same turns."""
        return (
            isinstance(other, FollowUp)
            and str(self) == str(other)
            and self.history == other.history
        )

    def __ne__(self, other: object) -> bool:
        """Whether something else is asked, or after other turns."""
        return not self == other

    def __hash__(self) -> int:
        """Of the question and the turns."""
        return hash((str(self), self.history))

    def __getnewargs__(self) -> tuple[str, tuple[tuple[str, str], ...]]:  # type: ignore[override]
        """What a copy is made of."""
        return str(self), self.history


def history_of(question: str) -> tuple[tuple[str, str], ...]:
    """The turns before a question, none of one that begins a conversation."""
    return question.history if isinstance(question, FollowUp) else ()
