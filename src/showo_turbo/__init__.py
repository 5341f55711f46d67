"""Consistency distillation of Show-o: fast parallel decoding of images and text.

The names stand in `__init__.pyi`, and are imported when they are first asked for: importing PyTorch
takes seconds, which `showo-turbo --help` need not.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
