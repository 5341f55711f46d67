"""Whose prediction at a segment's end is the consistency target."""

from .average import AverageTarget, average_of
from .networks import StudentTarget, TeacherTarget
from .target import ConsistencyTarget

__all__ = [
    "AverageTarget",
    "ConsistencyTarget",
    "StudentTarget",
    "TeacherTarget",
    "average_of",
]
