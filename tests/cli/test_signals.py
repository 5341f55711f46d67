"""Runs that SIGTERM or Ctrl-C ends: with a checkpoint, a line and a status of their own."""

import os
import signal

import pytest
import torch
import yaml
from lightning.pytorch import Callback

from showo_turbo.utils.interruption import ends_at_once

from ..support.counter import DATA, MODEL

HERE = f"{__name__}."


class Send(Callback):
    """Sends a signal to its own process while a batch is trained on.

    Args:
        number: The signal's.
        at: The step, counted over the run.
        times: How often.
        at_once: Whether the batch is work that may be cut short.
    """

    def __init__(self, number: int, at: int, times: int = 1, at_once: bool = False) -> None:
        self.number, self.at, self.times, self.at_once = number, at, times, at_once

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if trainer.global_step != self.at:
            return
        for _ in range(self.times):
            if self.at_once:
                with ends_at_once():
                    os.kill(os.getpid(), self.number)
            else:
                os.kill(os.getpid(), self.number)


@pytest.fixture
def fit(command, tmp_path):
    def run(*options, every=100, **send):
        callbacks = [
            {
                "class_path": "StepCheckpoint",
                "init_args": {"save_last": True, "every_n_train_steps": every},
            }
        ]
        if send:
            callbacks.append({"class_path": f"{HERE}Send", "init_args": send})
        content = {
            "model": MODEL,
            "data": DATA,
            "trainer": {
                "accelerator": "cpu",
                "logger": False,
                "max_epochs": 3,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "default_root_dir": str(tmp_path / "run"),
                "callbacks": callbacks,
            },
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
        return command("fit", "-c", tmp_path / "config.yaml", *options)

    return run


def saved(tmp_path):
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    return state["global_step"], int(state["state_dict"]["count"])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("step", [5, 7])  # in an epoch, and at its last batch
def test_a_signal_ends_a_run_after_its_step(fit, tmp_path, number, status, step):
    result = fit(number=int(number), at=step)
    assert result.status == status
    assert saved(tmp_path) == (step + 1, step + 1)
    *_, last = result.errors.strip().splitlines()
    name = signal.Signals(number).name
    assert last.startswith(f"showo-turbo: ended by {name} at step {step + 1}; go on from ")
    assert last.endswith("checkpoints/last.ckpt with the same command and --resume auto")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    assert fit("--resume", "auto").status == 0
    assert saved(tmp_path) == (12, 12)


def test_a_second_signal_ends_it_at_once(fit, tmp_path):
    result = fit(number=int(signal.SIGINT), at=5, times=2, every=2)
    assert result.status == 130
    assert saved(tmp_path) == (4, 4)
    assert "ended by SIGINT at step 5; go on from" in result.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_work_that_is_kept_is_cut_short(fit, tmp_path, number):
    result = fit(number=int(number), at=1, at_once=True)
    assert result.status == 128 + number
    assert "ended by" in result.errors and "before the first checkpoint" in result.errors
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_a_run_s_last_step_is_saved(fit, tmp_path):
    assert fit(every=5).status == 0
    names = {path.name for path in (tmp_path / "run/checkpoints").glob("*.ckpt")}
    assert saved(tmp_path) == (12, 12)
    assert "last.ckpt" in names
