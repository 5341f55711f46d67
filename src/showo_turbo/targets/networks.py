"""The student and the teacher as consistency targets."""

from typing import ClassVar

from ..models.protocols import ImageModel
from .target import ConsistencyTarget, Distilled


class StudentTarget(ConsistencyTarget):
    """The student's own prediction, without gradients: the published choice."""

    rides_along: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = False

    def network(self, module: Distilled) -> ImageModel:
        """The student."""
        return module.student


class TeacherTarget(ConsistencyTarget):
    """The prediction of the frozen teacher."""

    def network(self, module: Distilled) -> ImageModel:
        """The teacher."""
        return module.teacher
