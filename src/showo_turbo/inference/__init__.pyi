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
    GeneratedVideos,
    Statistics,
    Stories,
)
from .videos import VideoGeneration

__all__ = [
    "Answers",
    "DrawingTask",
    "DrawnImages",
    "EditedImages",
    "Editing",
    "ExtrapolatedImages",
    "Extrapolation",
    "GeneratedImages",
    "GeneratedVideos",
    "Generation",
    "Inpainting",
    "Prompts",
    "ShowoPipeline",
    "Statistics",
    "Stories",
    "VideoGeneration",
]
