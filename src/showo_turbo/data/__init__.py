"""Datasets of COCO captions, LLaVA instructions and web text, and their DataModules.

The names stand in `__init__.pyi`, and are imported when they are first asked for: inference reads
images, but needs no Lightning.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
