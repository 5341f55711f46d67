"""Show-o (arXiv 2408.12528): one transformer that denoises image tokens and writes text."""

from .config import ShowoConfig
from .language_model import start_from_phi
from .network import Showo
from .sizes import ShowoSizes, SizeChanges

__all__ = ["Showo", "ShowoConfig", "ShowoSizes", "SizeChanges", "start_from_phi"]
