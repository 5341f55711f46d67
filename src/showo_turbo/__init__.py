"""Consistency distillation of Show-o: fast parallel decoding of images and text."""

from typing import TYPE_CHECKING

from .lazy import lazy_names
from .version import __version__

if TYPE_CHECKING:
    from .callbacks import Curriculum, Stage
    from .data import DistillationDataModule, PretrainDataModule
    from .models.magvitv2 import MAGVITv2, MAGVITv2Config
    from .models.showo import Showo, ShowoConfig
    from .pipeline import ShowoPipeline
    from .text_tokenizer import TextTokenizer
    from .training import PretrainMAGVITv2, PretrainShowo, ShowoTurbo

__all__ = [
    "Curriculum",
    "DistillationDataModule",
    "MAGVITv2",
    "MAGVITv2Config",
    "PretrainDataModule",
    "PretrainMAGVITv2",
    "PretrainShowo",
    "Showo",
    "ShowoConfig",
    "ShowoPipeline",
    "ShowoTurbo",
    "Stage",
    "TextTokenizer",
    "__version__",
]

_HOMES = {
    "Curriculum": ".callbacks",
    "DistillationDataModule": ".data",
    "MAGVITv2": ".models.magvitv2",
    "MAGVITv2Config": ".models.magvitv2",
    "PretrainDataModule": ".data",
    "PretrainMAGVITv2": ".training",
    "PretrainShowo": ".training",
    "Showo": ".models.showo",
    "ShowoConfig": ".models.showo",
    "ShowoPipeline": ".pipeline",
    "ShowoTurbo": ".training",
    "Stage": ".callbacks",
    "TextTokenizer": ".text_tokenizer",
}


# Importing PyTorch takes seconds, which `showo-turbo --help` need not.
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
