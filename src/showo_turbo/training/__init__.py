"""The LightningModules: distillation and the pretraining that comes before it."""

from .pretrain_magvitv2 import PretrainMAGVITv2
from .pretrain_mmada import PretrainMMaDA
from .pretrain_showo import PretrainShowo
from .turbo import ShowoTurbo

__all__ = ["PretrainMAGVITv2", "PretrainMMaDA", "PretrainShowo", "ShowoTurbo"]
