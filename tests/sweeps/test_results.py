"""Diagrams of a sweep can be read: none of their labels lies on another."""

from itertools import combinations

import optuna
import pytest

from showo_turbo.sweeps.results import diagrams, shown_names

PARAMETERS = {
    "model.init_args.consistency_target": ["StudentTarget", "TeacherTarget", "AverageTarget"],
    "trainer.callbacks.Curriculum.init_args.stages.0.image_segments": [1, 2, 4],
    "trainer.callbacks.Curriculum.init_args.stages.1.image_segments": [1, 2],
    "model.init_args.losses.image_consistency.init_args.weight": [0.05, 0.5],
    "model.init_args.max_language_length": [64, 512],
}


@pytest.fixture(scope="module")
def study():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def play(trial):
        for key, choices in PARAMETERS.items():
            trial.suggest_categorical(key, choices)
        return trial.number

    study.optimize(play, n_trials=12)
    return study


def labels_of(axes):
    ticks = [tick for tick in axes.get_xticklabels() if tick.get_text() and tick.get_visible()]
    left, right = sorted(axes.get_xlim())
    inside = [tick for tick in ticks if left <= tick.get_position()[0] <= right]
    return inside + [axes.xaxis.label] * bool(axes.get_xlabel())


def test_labels_lie_apart(study):
    names = shown_names(list(PARAMETERS))
    seen = set()
    for name, figure in diagrams(study, names):
        figure.canvas.draw()
        seen.add(name)
        labels = [label for axes in figure.axes for label in labels_of(axes)]
        for one, other in combinations(labels, 2):
            boxes = [label.get_window_extent() for label in (one, other)]
            texts = {one.get_text(), other.get_text()}
            apart = not boxes[0].overlaps(boxes[1])
            assert apart or len(texts) == 1, (name, texts)
    assert seen == {"history", "slices", "parallel_coordinates", "validations"}


def test_names_are_short_and_different():
    keys = list(PARAMETERS)
    assert list(shown_names(keys).values()) == [
        "consistency_target",
        keys[1],
        keys[2],
        "weight",
        "max_language_length",
    ]
