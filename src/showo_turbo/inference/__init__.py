"""Inference in one place: load a model once, then generate, change, answer and tell.

The names stand in `__init__.pyi`, and are imported when they are first asked for: a command line
that shows its help needs no PyTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
