from .metric import ExactMatch, ShapesScore
from .source import ShapesWorld

__all__ = ["ExactMatch", "ShapesScore", "ShapesWorld"]
