import pytest

from showo_turbo.curriculum import Stage
from showo_turbo.curriculum.clock import RoundClock
from showo_turbo.curriculum.rounds import learning_rate, round_of_epoch, rounds_of

STAGES = [
    Stage(epochs=5, refresh_every_n_epochs=2, learning_rate=1e-3, final_learning_rate=2e-4),
    Stage(epochs=1, learning_rate=1e-4, final_learning_rate=1e-5),
    Stage(epochs=2),
]


def test_refreshing_cuts_a_stage_into_rounds():
    assert rounds_of(STAGES) == [(0, 0), (0, 2), (0, 4), (1, 5), (2, 6)]


def test_every_epoch_belongs_to_a_round():
    found = [round_of_epoch(STAGES, epoch) for epoch in range(-1, 11)]
    assert found == [0, 0, 0, 1, 1, 2, 3, 4, 4, 4, 4, 4]


def test_a_learning_rate_falls_in_equal_steps():
    rates = [learning_rate(STAGES, 0, epoch) for epoch in range(5)]
    assert rates == pytest.approx([1e-3, 8e-4, 6e-4, 4e-4, 2e-4])
    assert learning_rate(STAGES, 1, 5) == 1e-4, "one epoch has no end to fall to"
    assert learning_rate(STAGES, 2, 6) is None, "the optimizer's own"


def test_the_clock_adds_up_what_a_round_takes(monkeypatch):
    now = 0.0
    monkeypatch.setattr("showo_turbo.curriculum.clock.time.perf_counter", lambda: now)
    clock = RoundClock()
    clock.tick(0)
    assert clock.seconds == {"collect": [], "fit": []}, "nothing has begun"
    with clock.collecting(0):
        now += 3
    clock.begin_training()
    now += 5
    clock.tick(0)
    now += 1
    clock.tick(0)
    with clock.collecting(1):
        now += 2
    clock.begin_training()
    now += 7
    clock.tick(1)
    assert clock.seconds == {"collect": [3, 2], "fit": [6, 7]}
