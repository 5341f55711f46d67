"""MMaDA (arXiv 2505.15809): one bidirectional transformer that denoises image and text tokens."""

from .config import MMaDAConfig
from .network import MMaDA
from .sizes import MMaDASizes

__all__ = ["MMaDA", "MMaDAConfig", "MMaDASizes"]
