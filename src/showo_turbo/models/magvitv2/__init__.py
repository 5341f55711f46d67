"""The MAGVIT-v2 image tokenizer (arXiv 2310.05737)."""

from .config import MAGVITv2Config
from .network import MAGVITv2

__all__ = ["MAGVITv2", "MAGVITv2Config"]
