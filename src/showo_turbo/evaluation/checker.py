"""Judging images by a checker, where there is one that can."""

from collections.abc import Sequence

from torch import Tensor

from ..trajectories.checker import Checker, PromptMetadata, marks_of


def judge(
    checker: Checker | None, pixels: Tensor, prompts: Sequence[PromptMetadata]
) -> Sequence[bool] | None:
    """Whether each image satisfies its prompt; None if nothing can judge all of them.

    Args:
        checker: May be missing.
        pixels: See `Checker.judge`.
        prompts: One an image.
    """
    able = judging(checker, prompts)
    return None if able is None else marks_of(able, pixels, prompts)


def judging(checker: Checker | None, prompts: Sequence[PromptMetadata]) -> Checker | None:
    """The checker, if there is one and it can judge all of these prompts."""
    able = checker is not None and all(map(checker.can_judge, prompts))
    return checker if able else None
