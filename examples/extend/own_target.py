"""A consistency target of your own: between the student's prediction and the teacher's."""

from collections.abc import Callable

from torch import Tensor

from showo_turbo.errors import UserError
from showo_turbo.models.protocols import ImageModel
from showo_turbo.targets import ConsistencyTarget
from showo_turbo.targets.target import Distilled


class MixedTarget(ConsistencyTarget):
    """The mean of the student's and the teacher's logits: a normalized geometric mean of the two.

    Args:
        share: Of the teacher, 0 to 1.
    """

    def __init__(self, share: float = 0.5) -> None:
        if not 0 <= share <= 1:
            raise UserError(f"share is {share}; expected 0 to 1, correct it")
        self.share = share

    def network(self, module: Distilled) -> ImageModel:
        """The teacher, where a single network is asked for."""
        return module.teacher

    def predict(self, module: Distilled, forward: Callable[[ImageModel], Tensor]) -> Tensor:
        """Mix the logits of both networks at the segments' ends."""
        student, teacher = forward(module.student), forward(module.teacher)
        return (1 - self.share) * student + self.share * teacher
