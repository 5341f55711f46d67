"""Learning rate schedules that torch does not have."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class WarmupStableDecay(LambdaLR):
    """Rise linearly, stay, fall linearly to zero.

    Unlike a cosine it does not tie the whole run to its length: from any checkpoint of the stable
    part a run can be decayed, or go on.

    Args:
        optimizer: Whose learning rates are the peak.
        warmup_steps: Steps of the rise.
        total_steps: Steps in all.
        decay_steps: Steps of the fall, at the end.

    Source: MiniCPM (arXiv 2404.06395), section 4.
    """

    def __init__(
        self, optimizer: Optimizer, warmup_steps: int, total_steps: int, decay_steps: int
    ) -> None:
        def factor(step: int) -> float:
            rise = (step + 1) / max(1, warmup_steps)
            fall = (total_steps - step) / max(1, decay_steps)
            return max(0.0, min(1.0, rise, fall))

        super().__init__(optimizer, factor)
