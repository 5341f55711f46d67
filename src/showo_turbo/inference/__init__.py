"""Inference in one place: load a model once, then generate images and answer questions."""

from ..sampling.text_decoding import TextDecoding
from .pipeline import ShowoPipeline
from .results import Answers, GeneratedImages, Statistics

__all__ = ["Answers", "GeneratedImages", "ShowoPipeline", "Statistics", "TextDecoding"]
