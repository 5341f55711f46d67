"""Scores of generated images and texts, each a `torchmetrics.Metric`.

In YAML they are named as `showo_turbo.metrics.CLIPScore` is. The names stand in `__init__.pyi`,
and are imported when they are first asked for: some bring large libraries along.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
