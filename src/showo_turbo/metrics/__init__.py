"""Scores of generated images and texts, each a `torchmetrics.Metric`.

In YAML they go by names such as `showo_turbo.metrics.CLIPScore`. Their modules are imported when
they are asked for: some bring large libraries along.
"""

from ..lazy import lazy_names

_HOMES = {
    "CIDEr": ".cider",
    "CLIPScore": ".similarity",
    "ExactMatch": ".shapes",
    "FID": ".fid",
    "GenEval": ".geneval",
    "HPSv2": ".similarity",
    "ImageReward": ".image_reward",
    "MME": ".answers",
    "MMMU": ".answers",
    "POPE": ".answers",
    "ShapesScore": ".shapes",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
