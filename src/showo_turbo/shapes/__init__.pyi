from .shapes_checker import ShapesChecker
from .source import ShapesWorld

__all__ = ["ShapesChecker", "ShapesWorld"]
