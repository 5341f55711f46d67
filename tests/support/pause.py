"""A run that waits in the middle of a step to be ended."""

import os
import time
from pathlib import Path

from lightning.pytorch import Callback


class Pause(Callback):
    """Notes its process in the file `begun` when a step begins, and waits to be asked to end.

    Args:
        at: The step, counted over the run.
        rank: The process of the run that waits.
    """

    def __init__(self, at: int, rank: int = 0) -> None:
        self.at, self.rank = at, rank

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if (trainer.global_step, trainer.global_rank) == (self.at, self.rank):
            Path("begun").write_text(str(os.getpid()))
            while not trainer.received_sigterm:
                time.sleep(0.01)
