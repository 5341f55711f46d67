"""Inference in one place: load a model once, then generate images and answer questions."""

from .pipeline import ShowoPipeline
from .results import Answers, GeneratedImages, Statistics
from .text_decoding import TextDecoding

__all__ = ["Answers", "GeneratedImages", "ShowoPipeline", "Statistics", "TextDecoding"]
