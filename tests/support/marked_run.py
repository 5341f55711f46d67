"""The command, in a process that tells over a pipe which phase it enters and leaves."""

import os
import sys
from functools import wraps
from typing import Any


def child(descriptor: int, arguments: list[str]) -> None:
    """Run the command, and tell of its phases."""
    from lightning.pytorch.loops import _EvaluationLoop, _TrainingEpochLoop

    from showo_turbo.callbacks import Curriculum
    from showo_turbo.cli.main import main as showo_turbo
    from showo_turbo.shapes import ShapesWorld
    from showo_turbo.training.checkpoint_io import AtomicCheckpointIO

    def mark(owner: type, name: str, phase_of: Any) -> None:
        method = getattr(owner, name)

        @wraps(method)
        def marked(self: Any, *given: Any, **named: Any) -> Any:
            phase = phase_of(self) if callable(phase_of) else phase_of
            os.write(descriptor, f"+{phase}\n".encode())
            try:
                return method(self, *given, **named)
            finally:
                os.write(descriptor, f"-{phase}\n".encode())

        setattr(owner, name, marked)

    def batch_phase(loop: _TrainingEpochLoop) -> str:
        last = loop.batch_progress.current.ready + 1 >= loop.trainer.num_training_batches
        return "last batch of an epoch" if last else "training mid-epoch"

    mark(ShapesWorld, "write", "data generation")
    mark(Curriculum, "_collect", "collecting")
    mark(_TrainingEpochLoop, "advance", batch_phase)
    mark(AtomicCheckpointIO, "save_checkpoint", "checkpoint writing")
    mark(Curriculum, "_advance", "change of stage")
    mark(_EvaluationLoop, "run", "validation")
    sys.argv = ["showo-turbo", *arguments]
    showo_turbo()


if __name__ == "__main__":
    child(int(sys.argv[1]), sys.argv[2:])
