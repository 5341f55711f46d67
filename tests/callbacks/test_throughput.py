"""Samples a second, by a clock that is set by hand."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback

from showo_turbo.callbacks import Throughput
from showo_turbo.callbacks import throughput as module
from showo_turbo.errors import UserError
from showo_turbo.training.operations import CountedLayers

from ..tiny import tiny_showo

BATCH = {
    "image": SimpleNamespace(prompt_ids=[[1], [2], [3]]),
    "language": {"text": ["a", "b"]},
}


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now.seconds)
    return now


def run(clock, callback, batches, wait, train, student=None, others=()):
    logged = []
    trained = SimpleNamespace(log=lambda name, value, **_: logged.append((name, float(value))))
    trained.device, trained.student = torch.device("cpu"), student
    trainer = SimpleNamespace(world_size=2, precision="32-true", callbacks=[*others, callback])
    callback.on_fit_start(trainer, trained)
    for index in range(batches):
        if index in (
            0,
            3,
        ):  # an epoch begins; what lies before it, an hour of collecting, is not counted
            clock.seconds += 3600
            callback.on_train_epoch_start(None, None)
        clock.seconds += wait
        callback.on_train_batch_start(None, None, BATCH, index)
        clock.seconds += train
        if student is not None:
            step(student)
        callback.on_train_batch_end(None, trained, None, BATCH, index)
    return logged


def test_samples_and_waiting(clock):
    logged = run(clock, Throughput(window_size=4), batches=6, wait=0.5, train=1.5)
    # From the fourth batch on: 5 samples of each of two devices in 2 seconds, 0.5 of them waiting.
    assert (
        logged
        == [
            ("train/samples_per_second", pytest.approx(5.0)),
            ("train/waiting_for_data", pytest.approx(0.25)),
        ]
        * 3
    )


def test_the_first_of_two_does_the_work(clock):
    """One of the configuration, one of an overlay."""
    how = {"batches": 6, "wait": 0.5, "train": 1.5}
    assert len(run(clock, Throughput(window_size=4), others=[Callback()], **how)) == 6
    assert not run(clock, Throughput(window_size=4), others=[Throughput()], **how)


def step(student):
    """A graded pass over 2 rows of 5 + 18 tokens, and one without gradients over 1 of 4 + 18."""
    codes = torch.zeros(2, 16, dtype=torch.long)
    student.image_logits([[1, 2], [3, 4]], codes).sum().backward()
    with torch.no_grad():
        student.image_logits([[1]], codes[:1])


WEIGHTS = 2 * (4 * 32 * 32 + 2 * 32 * 128)
"""Matrices of two layers of width 32, by hand."""


def operations():
    """Of a step, by hand: matrices, then attention (queries with keys, and weights with values)."""

    def forward(rows, length):
        return rows * (2 * length * WEIGHTS + 2 * (2 * 2 * length * length * 32))

    return 3 * forward(2, 23) + forward(1, 22)


@pytest.mark.parametrize("recomputing", [False, True])
def test_tokens_and_utilization(clock, recomputing):
    student = tiny_showo().train()
    if recomputing:  # does not count
        student.gradient_checkpointing_enable()
    callback = Throughput(window_size=4, device_tflops=operations() / 1e12)
    logged = dict(run(clock, callback, 6, wait=0.5, train=1.5, student=student))
    assert logged["train/tokens_per_second"] == pytest.approx(2 * (2 * 23 + 22) / 2)
    assert logged["train/mfu"] == pytest.approx(0.5)  # the operations of one second, in two


def test_frozen_weights_take_one_backward_pass_fewer():
    student = tiny_showo()
    layers = CountedLayers(student.requires_grad_(False))
    student.image_logits([[1, 2]], torch.zeros(1, 16, dtype=torch.long))
    assert layers.operations == 2 * (2 * 23 * WEIGHTS + 2 * (2 * 2 * 23 * 23 * 32))


def test_without_a_student_samples_are_counted(clock):
    logged = dict(run(clock, Throughput(window_size=2), 3, wait=1, train=1, student=None))
    assert logged.keys() == {"train/samples_per_second", "train/waiting_for_data"}


def test_samples_of_other_batches():
    assert module.samples_of(torch.zeros(7, 2)) == 7
    assert module.samples_of(BATCH) == 5


@pytest.mark.bad_input
def test_a_window_of_one_batch():
    with pytest.raises(UserError, match="window_size is 1"):
        Throughput(window_size=1)
    with pytest.raises(UserError, match=r"device_tflops is 0\.0"):
        Throughput(device_tflops=0.0)
