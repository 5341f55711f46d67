from .answers import MME, MMMU, POPE
from .cider import CIDEr
from .fid import FID
from .geneval import GenEval
from .image_reward import ImageReward
from .similarity import CLIPScore, HPSv2

__all__ = [
    "FID",
    "MME",
    "MMMU",
    "POPE",
    "CIDEr",
    "CLIPScore",
    "GenEval",
    "HPSv2",
    "ImageReward",
]
