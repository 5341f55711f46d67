import optuna
import pytest

from showo_turbo.errors import UserError
from showo_turbo.sweeps import SearchSpace, SweepSettings

CONFIG = {
    "seed_everything": 0,
    "model": {"init_args": {"rate": 0.1, "weights": {"language": 0.1}}},
    "trainer": {
        "default_root_dir": "runs/base",
        "devices": 1,
        "logger": {"init_args": {"save_dir": "runs/base"}},
        "callbacks": [
            {"class_path": "ModelCheckpoint", "init_args": {"dirpath": "runs/base/checkpoints"}},
            {"class_path": "Other", "init_args": {"path": "runs/baseline"}},
        ],
    },
}
RATE, LANGUAGE = "model.init_args.rate", "model.init_args.weights.language"


def space(config=CONFIG, **options):
    return SearchSpace(SweepSettings("study", "val/score", **options), config)


def test_a_trial_gets_its_values_and_a_folder_of_its_own():
    config = space(parameters={RATE: [0.2, 0.3]}).configuration({RATE: 0.3}, "sweep/trial-0001")
    assert config["model"]["init_args"]["rate"] == 0.3
    trainer = config["trainer"]
    assert trainer["default_root_dir"] == "sweep/trial-0001"
    assert trainer["logger"]["init_args"]["save_dir"] == "sweep/trial-0001"
    assert trainer["callbacks"][0]["init_args"]["dirpath"] == "sweep/trial-0001/checkpoints"
    assert trainer["callbacks"][1]["init_args"]["path"] == "runs/baseline"
    assert CONFIG["trainer"]["default_root_dir"] == "runs/base"


def test_a_sweep_may_name_what_the_experiment_has_left():
    trained = "runs/base/curriculum/round-1/teacher"
    found = space(
        overrides={"model.init_args.weights": trained},
        variants={"a": {"seed_everything": trained}},
        parameters={RATE: [trained]},
    )
    config = found.configuration({"variant": "a", RATE: trained}, "sweep/trial-0001")
    assert config["model"]["init_args"] == {"rate": trained, "weights": trained}
    assert config["seed_everything"] == trained
    assert config["trainer"]["logger"]["init_args"]["save_dir"] == "sweep/trial-0001"


def test_variants_overrides_and_parameters_in_this_order():
    found = space(
        overrides={RATE: 1.0, LANGUAGE: 1.0},
        variants={"plain": {}, "silent": {LANGUAGE: 0.0, RATE: 2.0}},
        parameters={RATE: [3.0]},
    )
    silent = found.configuration({"variant": "silent", RATE: 3.0}, "f")["model"]["init_args"]
    plain = found.configuration({"variant": "plain", RATE: 3.0}, "f")["model"]["init_args"]
    assert silent == {"rate": 3.0, "weights": {"language": 0.0}}
    assert plain == {"rate": 3.0, "weights": {"language": 1.0}}
    assert found.grid_size == 2


def test_choices_may_be_anything():
    stages = [{"language": 0.5}, {"language": 0.7}]
    found = space(parameters={"model.init_args.weights": stages})
    trial = optuna.trial.FixedTrial(
        {"model.init_args.weights": found.grid["model.init_args.weights"][1]}
    )
    config = found.configuration(found.suggest(trial), "f")
    assert config["model"]["init_args"]["weights"] == stages[1]


@pytest.mark.parametrize(
    ("described", "kind"),
    [({"low": 1, "high": 9}, int), ({"low": 1e-5, "high": 1e-3, "log": True}, float)],
)
def test_ranges(described, kind):
    found = space(parameters={RATE: described})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [found.suggest(study.ask())[RATE] for _ in range(20)]
    assert all(type(value) is kind for value in values)
    assert described["low"] <= min(values) < max(values) <= described["high"]


def test_examples_show_every_value():
    found = space(
        parameters={RATE: [1, 2, 3], LANGUAGE: {"low": 0.0, "high": 1.0}},
        variants={"a": {}, "b": {}},
    )
    shown = list(found.examples())
    assert {example[RATE] for example in shown} == {1, 2, 3}
    assert {example[LANGUAGE] for example in shown} == {0.0, 1.0}
    assert {example["variant"] for example in shown} == {"a", "b"}


def test_machines_may_differ_and_experiments_may_not():
    options = {"parameters": {RATE: [1, 2]}}
    other_machine = CONFIG | {"trainer": CONFIG["trainer"] | {"devices": 8}}
    other_experiment = CONFIG | {"seed_everything": 1}
    assert space(**options).describe() == space(other_machine, **options).describe()
    assert space(**options).describe() != space(other_experiment, **options).describe()


def test_the_order_of_choices_makes_no_other_space():
    lists = [{"a": 1}, {"b": 2}, {"c": 3}, float("nan")]
    first = space(parameters={RATE: lists}, variants={"a": {}, "b": {}})
    second = space(parameters={RATE: lists[::-1]}, variants={"b": {}, "a": {}})
    assert second.changed_since(first.describe()) == []
    assert str(second.grid) == str(first.grid)
    third = space(parameters={RATE: lists[:2]}, variants={"a": {}, "b": {}})
    assert third.changed_since(first.describe()) == [f"parameters.{RATE}"]
    assert first.changed_since(third.describe()) == [f"parameters.{RATE}"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "varies nothing"),
        ({"parameters": {"model.init_args.raet": [1]}}, "did you mean 'model.init_args.rate'"),
        ({"parameters": {RATE: [1]}, "average_over": ["rate"]}, "average_over names 'rate'"),
        ({"parameters": {RATE: [1]}, "overrides": {"no.such": 1}}, "no key 'no.such'"),
        ({"variants": {"a": {"no.such": 1}}}, "no key 'no.such'"),
        ({"parameters": {RATE: 5}}, "expected a list of choices"),
        ({"parameters": {RATE: []}}, "expected a list of choices"),
        ({"parameters": {RATE: {"low": 2, "high": 1}}}, "low < high"),
        ({"parameters": {RATE: {"low": 1, "high": "x"}}}, "low < high"),
        ({"parameters": {RATE: {"low": 0, "high": 1, "log": True}}}, "above 0"),
        ({"parameters": {RATE: {"low": 0, "high": 1, "lgo": True}}}, "at most log and step"),
        ({"parameters": {RATE: {"low": 0, "high": 1}}, "sampler": "grid"}, "a grid needs choices"),
    ],
)
def test_mistakes(options, words):
    with pytest.raises(UserError) as caught:
        space(**options)
    assert words in str(caught.value) and "\n" not in str(caught.value)
