"""Runs that SIGTERM or Ctrl-C ends: with a checkpoint, a line and a status of their own."""

import os
import shutil
import signal
import subprocess
import time

import pytest
import torch
import yaml
from lightning.pytorch import Callback

from showo_turbo.cli.slurm import requeue_job
from showo_turbo.utils.interruption import ends_at_once

from ..support import counter, pause
from ..support.counter import DATA, MODEL, Counter
from ..support.watched_run import free_port

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


class Late(Counter):
    """Sends SIGTERM once the checkpoint callback has had its turn."""

    def on_train_batch_end(self, *_):
        if self.trainer.global_step == 6:
            os.kill(os.getpid(), signal.SIGTERM)


def write_config(folder, callback=None, every=100, model=MODEL, data=DATA, **trainer):
    """A run of twelve steps in epochs of four, beside the callback."""
    checkpoint = {"save_last": True, "every_n_train_steps": every}
    callbacks = [{"class_path": "StepCheckpoint", "init_args": checkpoint}]
    content = {
        "model": model,
        "data": data,
        "trainer": {
            "accelerator": "cpu",
            "logger": False,
            "max_epochs": 3,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": str(folder / "run"),
            "callbacks": [*callbacks, *([callback] if callback else [])],
        }
        | trainer,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


@pytest.fixture
def fit(command, tmp_path):
    def run(*options, every=100, model=MODEL, **send):
        callback = {"class_path": f"{HERE}Send", "init_args": send} if send else None
        config = write_config(tmp_path, callback, every, model)
        return command("fit", "-c", config, *options)

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


def test_a_signal_between_two_batches(fit, tmp_path):
    late = {"class_path": f"{HERE}Late"}
    result = fit(model=late)
    assert result.status == 143
    assert saved(tmp_path) == (6, 6)
    assert "ended by SIGTERM at step 6; go on from" in result.errors
    assert fit("--resume", "auto", model=late).status == 0
    assert saved(tmp_path) == (12, 12)


@pytest.mark.parametrize("steps", [10, 12])  # in an epoch, and at its end
def test_a_run_s_last_step_is_saved(fit, tmp_path, steps):
    assert fit("--trainer.max_steps", steps, every=4).status == 0
    assert saved(tmp_path) == (steps, steps)


@pytest.fixture
def start(python, tmp_path):
    """Starts the command as a process of its own, in a folder with all that it imports."""
    for module in (counter, pause):
        shutil.copy(module.__file__, tmp_path)
    started = []

    def run(*options, at=5, rank=0, environment=(), **trainer):
        waits = {"class_path": "pause.Pause", "init_args": {"at": at, "rank": rank}}
        model, data = ({"class_path": f"counter.{name}"} for name in ("Counter", "Batches"))
        write_config(tmp_path, waits, model=model, data=data, **trainer)
        process = subprocess.Popen(
            [python, "-m", "showo_turbo", "fit", "-c", "config.yaml", *options],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()


def send_when_begun(process, number, folder):
    """Send a signal to the process that waits, and give the status and the errors of the run."""
    begun = folder / "begun"
    deadline = time.monotonic() + 120
    while not begun.exists() or not begun.read_text():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(int(begun.read_text()), number)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def assert_it_ends(process, folder):
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert saved(folder) == (12, 12)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_of_its_own(start, tmp_path, number, status):
    ended, errors = send_when_begun(start(), number, tmp_path)
    assert ended == status
    assert saved(tmp_path) == (6, 6)
    *_, last = errors.strip().splitlines()
    assert last.startswith(f"showo-turbo: ended by {number.name} at step 6; go on from ")
    assert_it_ends(start("--resume", "auto"), tmp_path)


@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_end_after_the_same_step(start, tmp_path, rank):
    """Only one gets the signal, while the other waits for it in the middle of the step."""
    both = {"devices": 2, "strategy": "ddp", "max_epochs": 6}  # two steps each
    port = {"MASTER_PORT": str(free_port())}
    process = start(at=4, rank=rank, environment=port, **both)
    ended, errors = send_when_begun(process, signal.SIGTERM, tmp_path)
    assert ended == 143
    assert saved(tmp_path) == (5, 5)
    assert errors.count("ended by SIGTERM at step 5; go on from") == 1
    port = {"MASTER_PORT": str(free_port())}
    assert_it_ends(start("--resume", "auto", at=4, environment=port, **both), tmp_path)


@pytest.mark.parametrize(
    ("job", "number", "plugin"),
    [
        ({"SLURM_JOB_ID": "7"}, signal.SIGUSR1, {}),
        ({"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}, signal.SIGUSR1, {}),
        ({"SLURM_JOB_ID": "7"}, signal.SIGUSR2, {"requeue_signal": "SIGUSR2"}),
    ],
)
def test_slurm_requeues(start, tmp_path, job, number, plugin):
    """With Lightning's plug-in, which knows the signal; Slurm's command is a script here."""
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(0o700)
    names = {"NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "NODELIST": "localhost"}
    environment = {f"SLURM_{name}": value for name, value in names.items()} | job
    environment |= {"SLURM_JOB_NAME": "train", "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    environment |= {"MASTER_PORT": str(free_port())}
    kind = "lightning.pytorch.plugins.environments.SLURMEnvironment"
    options = {"plugins": [{"class_path": kind, "init_args": plugin}]} if plugin else {}
    process = start(environment=environment, **options)
    ended, errors = send_when_begun(process, number, tmp_path)
    assert ended == 128 + number
    assert saved(tmp_path) == (6, 6)
    assert f"ended by {number.name} at step 6; go on from" in errors
    expected = "7_2" if "SLURM_ARRAY_JOB_ID" in job else "7"
    assert (tmp_path / "asked").read_text() == f"requeue {expected}\n"
    # What Slurm then starts is the same command.
    assert_it_ends(start("--resume", "auto", environment=environment, **options), tmp_path)


@pytest.mark.bad_input
def test_slurm_does_not_requeue(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", str(tmp_path))
    requeue_job()
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho no such job >&2; exit 1\n")
    (tmp_path / "scontrol").chmod(0o700)
    requeue_job()
    first, second = capsys.readouterr().err.strip().split("showo-turbo: Slurm is asked")[1:]
    assert "it does not (" in first and "scontrol" in first
    assert second.strip().endswith("showo-turbo: it does not (no such job); submit it again")
