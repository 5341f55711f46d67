"""What a run needs, before it is started: memory by part, time by operations, disk."""

from .estimate import Estimate, Phase, estimate
from .run import Run, read_run

__all__ = ["Estimate", "Phase", "Run", "estimate", "read_run"]
