"""Consistency distillation of Show-o: fast parallel decoding of images and text."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.magvitv2 import MAGVITv2
    from .models.showo import Showo
    from .pipeline import ShowoPipeline
    from .text_tokenizer import TextTokenizer

__version__ = "0.1.0"

__all__ = ["MAGVITv2", "Showo", "ShowoPipeline", "TextTokenizer", "__version__"]

_HOMES = {
    "MAGVITv2": ".models.magvitv2",
    "Showo": ".models.showo",
    "ShowoPipeline": ".pipeline",
    "TextTokenizer": ".text_tokenizer",
}


def __getattr__(name: str) -> Any:
    """Import the main classes when they are first asked for: PyTorch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
