"""MMaDA (arXiv 2505.15809): one bidirectional transformer that denoises image and text tokens."""

from .config import MMaDAConfig
from .network import MMaDA

__all__ = ["MMaDA", "MMaDAConfig"]
