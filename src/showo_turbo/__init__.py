"""Consistency distillation of Show-o: fast parallel decoding of images and text."""

__version__ = "0.1.0"
