"""Options of earlier versions: the message that they are unknown says what they are now."""

import pytest
import yaml

from showo_turbo.cli.main import main
from showo_turbo.cli.old_keys import hint


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("x: Curriculum: there is no option 'kept_codes'", "kept_codes is now topk_targets"),
        ("Stage: there is no option 'steps'", "sampling_steps within the stage's sampling"),
        ("Stage: there is no option 'guidance_scale'", "guidance_scale within the stage's"),
        ("evaluation: there is no option 'guidance_scale'", ""),
        ("ShowoTurbo: there is no option 'weights.image'", "weights is now losses, a mapping"),
        ("unrecognized arguments: --evaluation.steps=[4]", "steps is now sampling_steps"),
        ("unrecognized arguments: --images.steps 4", "steps is now sampling_steps"),
        ("ShowoTurbo: consistency_target: there is no class 'ema'", "ema is now AverageTarget"),
        ("ShowoTurbo: consistency_target: there is no class 'emu'", ""),
        ("there is no class 'showo_turbo.data.ShapesWorld'", "now showo_turbo.shapes.ShapesWorld"),
        ("ShowoTurbo: there is no option 'studnet'", ""),
        ("trainer: steps is 0", ""),
    ],
)
def test_hint(message, expected):
    assert expected in hint(message)
    assert bool(hint(message)) == bool(expected)


def test_an_option_may_mean_something_else_in_a_command():
    message = "unrecognized arguments: --texts.block_size"
    assert hint(message, "collect") == "; block_size is now texts.decoding.block_size"
    assert hint(message).endswith("block_size of the model's decoding")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"trainer": {"callbacks": [{"class_path": "Curriculum", "init_args": {"stages": [
                {"epochs": 1, "final_learning_rate": 0.1}]}}]}},
            "Stage: there is no option 'final_learning_rate'",
        ),
        (
            {"model": {"class_path": "ShowoTurbo", "init_args": {"evaluation": {"steps": [4]}}}},
            "evaluation: there is no option 'steps'; steps is now sampling_steps",
        ),
    ],
)  # fmt: skip
def test_in_a_file(config, expected, tmp_path, capsys):
    path = tmp_path / "old.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "-c", str(path)])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "showo-turbo:" in line]
    assert expected in line
    assert " is now " in line


def test_on_a_command_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "--steps", "4", "a red circle"])
    assert "steps is now sampling_steps" in capsys.readouterr().err
