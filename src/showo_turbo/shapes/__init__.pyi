from .metric import ShapesChecker, ShapesScore
from .source import ShapesWorld

__all__ = ["ShapesChecker", "ShapesScore", "ShapesWorld"]
