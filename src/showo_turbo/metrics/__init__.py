"""Scores of generated images and texts, each a `torchmetrics.Metric`.

In YAML they go by names such as `showo_turbo.metrics.CLIPScore`. Their modules are imported when
they are asked for: some bring large libraries along.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "CIDEr": "cider",
    "CLIPScore": "similarity",
    "ExactMatch": "shapes",
    "FID": "fid",
    "GenEval": "geneval",
    "HPSv2": "similarity",
    "ImageReward": "image_reward",
    "MME": "answers",
    "MMMU": "answers",
    "POPE": "answers",
    "ShapesScore": "shapes",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
