from showo_turbo.curriculum import Stage
from showo_turbo.curriculum.clock import RoundClock
from showo_turbo.curriculum.rounds import round_of_epoch, rounds_of

STAGES = [
    Stage(epochs=5, refresh_every_n_epochs=2),
    Stage(epochs=1),
    Stage(epochs=2),
]


def test_refreshing_cuts_a_stage_into_rounds():
    assert rounds_of(STAGES) == [(0, 0), (0, 2), (0, 4), (1, 5), (2, 6)]


def test_every_epoch_belongs_to_a_round():
    found = [round_of_epoch(STAGES, epoch) for epoch in range(-1, 11)]
    assert found == [0, 0, 0, 1, 1, 2, 3, 4, 4, 4, 4, 4]


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
