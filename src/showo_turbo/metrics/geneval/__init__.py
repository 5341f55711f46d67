"""GenEval (arXiv 2310.11513): do images show the objects, numbers, colors and places asked for."""

from .colors import COLORS, ColorNamer
from .detector import ObjectFinder
from .metric import GenEval
from .rules import FoundObject, judge, relations

__all__ = [
    "COLORS",
    "ColorNamer",
    "FoundObject",
    "GenEval",
    "ObjectFinder",
    "judge",
    "relations",
]
