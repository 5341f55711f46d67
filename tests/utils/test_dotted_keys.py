import pytest

from showo_turbo.errors import UserError
from showo_turbo.utils.dotted_keys import flatten, with_value

CONFIG = {
    "model": {"init_args": {"weights": {"language": 0.1}, "top_k": {2: 200}}},
    "trainer": {
        "callbacks": [
            {"class_path": "a.b.Curriculum", "init_args": {"stages": [{"epochs": 16}]}},
            {"class_path": "Twin", "init_args": {"x": 1}},
            {"class_path": "Twin", "init_args": {"x": 2}},
        ],
        "logger": [],
    },
}
STEPS = "trainer.callbacks.Curriculum.init_args.stages.0.epochs"


def test_flatten_names_classes_and_numbers():
    found = flatten(CONFIG)
    assert found[STEPS] == 16
    assert found["trainer.callbacks.1.init_args.x"] == 1
    assert found["trainer.callbacks.2.init_args.x"] == 2
    assert found["trainer.logger"] == []


def test_every_flattened_key_can_be_set():
    for key in flatten(CONFIG):
        changed = with_value(CONFIG, key, "new")
        expected = {
            name: "new" if name == key else value for name, value in flatten(CONFIG).items()
        }
        if not key.endswith("class_path"):  # another class is called otherwise
            assert flatten(changed) == expected


def test_the_original_stays():
    with_value(CONFIG, STEPS, 8)
    assert flatten(CONFIG)[STEPS] == 16


def test_part_of_a_configuration_can_be_replaced():
    changed = with_value(CONFIG, "trainer.callbacks.Curriculum.init_args.stages", [])
    assert flatten(changed)["trainer.callbacks.Curriculum.init_args.stages"] == []


@pytest.mark.parametrize("key", ["model.init_args.weights.langage", "trainer.callbacks.7", "x", ""])
def test_a_key_that_is_not_there(key):
    with pytest.raises(UserError, match=f"no key '{key}'"):
        with_value(CONFIG, key, 0)


def test_a_close_key_is_offered():
    with pytest.raises(UserError, match=r"did you mean 'model\.init_args\.weights\.language'"):
        with_value(CONFIG, "model.init_args.weights.langage", 0)
