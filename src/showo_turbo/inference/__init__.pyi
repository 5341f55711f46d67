from .drawing import DrawingTask, Generation, Prompts
from .editing import Editing
from .extrapolation import Extrapolation
from .inpainting import Inpainting
from .pipeline import ShowoPipeline
from .results import (
    Answers,
    DrawnImages,
    EditedImages,
    ExtrapolatedImages,
    GeneratedImages,
    Statistics,
)

__all__ = [
    "Answers",
    "DrawingTask",
    "DrawnImages",
    "EditedImages",
    "Editing",
    "ExtrapolatedImages",
    "Extrapolation",
    "GeneratedImages",
    "Generation",
    "Inpainting",
    "Prompts",
    "ShowoPipeline",
    "Statistics",
]
