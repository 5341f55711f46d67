"""A run that waits in the middle of a step to be ended."""

import time
from pathlib import Path

from lightning.pytorch import Callback


class Pause(Callback):
    """Says in the file `begun` that a step begins, and waits until the run is asked to end.

    Args:
        at: The step, counted over the run.
    """

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if trainer.global_step == self.at and trainer.is_global_zero:
            Path("begun").touch()
            while not trainer.received_sigterm:
                time.sleep(0.01)
