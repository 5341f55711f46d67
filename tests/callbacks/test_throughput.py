"""Samples a second, by a clock that is set by hand."""

from types import SimpleNamespace

import pytest
import torch

from showo_turbo.callbacks import Throughput
from showo_turbo.callbacks import throughput as module
from showo_turbo.errors import UserError

BATCH = {
    "image": SimpleNamespace(prompt_ids=[[1], [2], [3]]),
    "language": {"text": ["a", "b"]},
}


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now.seconds)
    return now


def run(clock, callback, batches, wait, train):
    logged = []
    trained = SimpleNamespace(log=lambda name, value, **_: logged.append((name, float(value))))
    callback.setup(SimpleNamespace(world_size=2), None, "fit")
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


def test_samples_of_other_batches():
    assert module.samples_of(torch.zeros(7, 2)) == 7
    assert module.samples_of(BATCH) == 5


@pytest.mark.bad_input
def test_a_window_of_one_batch():
    with pytest.raises(UserError, match="window_size is 1; expected at least 2"):
        Throughput(window_size=1)
