"""Arguments of callbacks are changed by the names of their classes."""

import pytest
import yaml

from ..support.loading import ROOT

QUICKSTART = ROOT / "configs/quickstart.yaml"


@pytest.fixture
def printed(command):
    def run(*options):
        result = command("fit", "-c", QUICKSTART, *options, "--print_config")
        assert result.status == 0, result.errors
        callbacks = yaml.safe_load(result.output)["trainer"]["callbacks"]
        return {entry["class_path"].rpartition(".")[2]: entry["init_args"] for entry in callbacks}

    return run


def test_an_argument_is_changed_and_the_others_stay(printed):
    before = printed()
    after = printed(
        "--trainer.callbacks.Curriculum.batch_size",
        "32",
        "--trainer.callbacks.Curriculum.init_args.stages.1.epochs=3",
        "--trainer.callbacks.SpeedupReport.settings.sampling_steps",
        "[4, 2]",
    )
    assert (before["Curriculum"]["batch_size"], after["Curriculum"]["batch_size"]) == (64, 32)
    stages = after["Curriculum"]["stages"]
    assert [stage["epochs"] for stage in stages][1] == 3
    stages[1]["epochs"] = before["Curriculum"]["stages"][1]["epochs"]
    assert stages == before["Curriculum"]["stages"]
    assert after["SpeedupReport"]["settings"]["sampling_steps"] == [4, 2]
    assert after.keys() == before.keys()
    for name in after.keys() - {"Curriculum", "SpeedupReport"}:
        assert after[name] == before[name]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trainer.callbacks.Curriculum.batch_sise", "3"], "did you mean"),
        (["--trainer.callbacks.Curiculum.batch_size", "3"], "the configuration has no key"),
        (["--trainer.callbacks.Curriculum.batch_size"], "has no value; expected one behind it"),
        (["--trainer.callbacks.Curriculum.batch_size", "many"], "batch_size"),
    ],
)
def test_mistakes_are_one_line(mistake, options, message):
    assert message in mistake("fit", "-c", QUICKSTART, *options)
