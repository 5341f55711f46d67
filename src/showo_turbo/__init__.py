"""Consistency distillation of Show-o: fast parallel decoding of images and text."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .callbacks import Curriculum, Stage
    from .data import DistillationDataModule, PretrainDataModule
    from .models.magvitv2 import MAGVITv2, MAGVITv2Config
    from .models.showo import Showo, ShowoConfig
    from .pipeline import ShowoPipeline
    from .text_tokenizer import TextTokenizer
    from .training import PretrainMAGVITv2, PretrainShowo, ShowoTurbo

__version__ = "0.1.0"

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


def __getattr__(name: str) -> Any:
    """Import the main classes when they are first asked for: PyTorch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    """The names that completion offers."""
    return sorted({*globals(), *__all__})
