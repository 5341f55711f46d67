"""The student and the teacher as consistency targets."""

from typing import ClassVar

from ..models.showo import Showo
from .target import ConsistencyTarget, Distilled


class StudentTarget(ConsistencyTarget):
    """The student's own prediction, without gradients: the published choice."""

    rides_along: ClassVar[bool] = True

    def network(self, module: Distilled) -> Showo:
        """The student."""
        return module.student


class TeacherTarget(ConsistencyTarget):
    """The prediction of the frozen teacher."""

    def network(self, module: Distilled) -> Showo:
        """The teacher."""
        return module.teacher
