"""The shapes world: seeded scenes of colored shapes, written in the formats of real data sets.

The names stand in `__init__.pyi`, and are imported when they are first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
