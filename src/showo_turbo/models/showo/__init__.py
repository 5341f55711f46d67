"""Show-o (arXiv 2408.12528): one transformer that denoises image tokens and writes text."""

from .config import ShowoConfig
from .network import Showo
from .sizes import ShowoSizes

__all__ = ["Showo", "ShowoConfig", "ShowoSizes"]
