"""Show-o (arXiv 2408.12528): one transformer that denoises image tokens and writes text."""

from .config import ShowoConfig
from .network import Showo

__all__ = ["Showo", "ShowoConfig"]
