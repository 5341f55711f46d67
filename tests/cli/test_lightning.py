"""The command line of Lightning's commands; what they do is tested where it is done."""

import sys
from functools import wraps

import pytest
import yaml
from lightning.pytorch import Trainer

from showo_turbo.cli.main import main
from showo_turbo.cli.sweep import full_config

MODEL = {"class_path": "PretrainShowo", "init_args": {"image_weight": 1.0}}
DATA = {"class_path": "PretrainDataModule", "init_args": {"resolution": 24}}
TERM = {"class_path": "LanguageModelLoss", "init_args": {"weight": 0.1}}
NULL = {"epochs": 1, "sampling": None}
SCHEDULER = {"class_path": "torch.optim.lr_scheduler.LinearLR", "init_args": {"start_factor": "a"}}
LONG = {"epochs": 1, "lr_scheduler": SCHEDULER}
TRAINER = {"logger": False, "accelerator": "cpu", "max_epochs": 1}


@pytest.fixture
def config(tmp_path):
    def write(model=MODEL, data=DATA, **trainer):
        path = tmp_path / "config.yaml"
        content = {"model": model, "data": data, "trainer": TRAINER | trainer}
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.mark.parametrize("name", ["fit", "validate", "test", "predict"])
def test_help_points_to_the_classes(command, name):
    result = command(name, "--help")
    assert result.status == 0
    text = " ".join(result.output.split())
    for option in ("--model.help ShowoTurbo", "--data.help DistillationDataModule", "Curriculum"):
        assert option in text


@pytest.mark.parametrize(
    ("option", "name", "part"),
    [
        ("--model.help", "ShowoTurbo", "--model.student"),
        ("--model.help", "PretrainShowo", "--model.caption_dropout"),
        ("--data.help", "DistillationDataModule", "--data.resolution"),
        ("--trainer.callbacks.help", "Curriculum", "--trainer.callbacks.stages"),
    ],
)
def test_help_of_the_classes(command, option, name, part):
    result = command("fit", option, name)
    assert result.status == 0
    assert part in result.output


def test_an_interrupted_run_ends_with_130(command, config, monkeypatch):
    def interrupted(*_, **__):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)  # what Lightning does once it has shut down

    monkeypatch.setattr(Trainer, "fit", interrupted)
    result = command("fit", "-c", config())
    assert result.status == 130
    assert result.errors.strip().endswith("showo-turbo: interrupted")


def test_another_exit_keeps_its_status(command, config, monkeypatch):
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: sys.exit(5))
    assert command("fit", "-c", config()).status == 5


def test_no_warning_about_the_command_line(config, monkeypatch, recwarn):
    arguments = ["fit", "-c", str(config())]
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["showo-turbo", *arguments, "--debug"])
    main()
    assert not [entry for entry in recwarn if "args parameter" in str(entry.message)]
    assert sys.argv == ["showo-turbo", *arguments]


def test_checkpoints_are_always_loaded_without_code(command, config, monkeypatch):
    """By every strategy, also those that do not ask our checkpoint plugin."""
    given = []

    @wraps(Trainer.fit)  # whose signature is the command line's
    def fit(*_, **options):
        given.append(options)

    monkeypatch.setattr(Trainer, "fit", fit)
    assert command("fit", "-c", config(), "--weights_only", "false").status == 0
    assert [options["weights_only"] for options in given] == [True]


@pytest.mark.bad_input
class TestMistakes:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"model": MODEL | {"init_args": {"image_wieght": 1.0}}},
                "model: PretrainShowo: there is no option 'image_wieght', expected 'image_weight'; "
                "see showo-turbo fit --help",
            ),
            (
                {"model": MODEL | {"init_args": {"image_weight": "heavy"}}},
                "model: PretrainShowo: image_weight: heavy is not of type float",
            ),
            (
                {"model": MODEL | {"init_args": {"sampling": {"guidance": 3}}}},
                "model: PretrainShowo: sampling: there is no option 'guidance'",
            ),
            ({"model": {"class_path": "ShowTurbo"}}, "model: there is no class 'ShowTurbo'"),
            ({"data": {"class_path": "PretrainDataModule"}}, "are required: resolution"),
            (
                {"data": {**DATA, "init_args": {"resolution": 24, "loader": None}}},
                "data.loader is null; expected options of LoaderOptions",
            ),
            ({"max_stepz": 3}, "there is no option 'trainer.max_stepz'"),
            (
                {"max_epochs": "few"},
                "trainer.max_epochs: expected int, got few; see showo-turbo fit",
            ),
            (
                {"callbacks": [{"class_path": "Curriculum", "init_args": {"stages": []}}]},
                "the curriculum has no stages",
            ),
            (
                {"callbacks": [{"class_path": "Curriculum", "init_args": {"stages": [NULL]}}]},
                "trainer.callbacks.0.stages.0.sampling is null; expected options of Samp",
            ),
            (
                {"callbacks": 3},
                "trainer.callbacks: expected list, got 3; see showo-turbo fit --help",
            ),
            (
                {"callbacks": [{"class_path": "Curriculum", "init_args": {"stages": [LONG]}}]},
                "trainer.callbacks: Curriculum: stages: Stage: lr_scheduler: start_factor"
                ": a is not of type float; see showo-turbo fit --help",
            ),
            (
                {"strategy": "everything"},
                "trainer: You selected an invalid strategy name: `strategy='everything'`",
            ),
        ],
    )
    def test_in_yaml(self, mistake, config, change, message):
        assert message in mistake("fit", "-c", config(**change))

    @pytest.mark.parametrize("content", ["model: [", "- model", "", "\xff\xfe"])
    def test_files_that_are_no_options(self, mistake, tmp_path, content):
        (tmp_path / "a.yaml").write_text(content, encoding="latin-1")
        assert "a.yaml" in mistake("fit", "-c", tmp_path / "a.yaml")
        assert "a.yaml" in mistake("fit", f"--config={tmp_path / 'a.yaml'}")

    def test_missing_files(self, mistake, config, tmp_path):
        assert mistake("fit", "-c", tmp_path / "none.yaml").startswith(
            f"{tmp_path / 'none.yaml'} does not exist; expected a YAML file"
        )
        assert mistake("fit", "-c") == "-c names no file; expected a YAML file, name one"

    @pytest.mark.parametrize("name", ["fit", "validate", "test", "predict"])
    def test_a_missing_checkpoint(self, mistake, config, tmp_path, monkeypatch, name):
        # Said before networks are loaded.
        monkeypatch.setattr("lightning.pytorch.cli.LightningCLI.instantiate_classes", None)
        message = mistake(name, "-c", config(), "--ckpt_path", tmp_path / "none.ckpt")
        assert message.startswith(f"{tmp_path / 'none.ckpt'} does not exist; expected a checkpoint")

    def test_missing_options(self, mistake):
        message = mistake("fit")
        assert "are required: fit.data, fit.model; see showo-turbo fit --help" in message

    def test_a_mistake_within_a_class_that_is_built(self, mistake, config):
        stage = {"epochs": 1, "learning_rate": -1.0}
        callback = {"class_path": "Curriculum", "init_args": {"stages": [stage]}}
        message = mistake("fit", "-c", config(callbacks=[callback]))
        assert message == "learning_rate is -1.0; expected a value above 0, correct the stage"

    @pytest.mark.parametrize(
        ("losses", "option", "message"),
        [
            ({"language": TERM}, "losses.lang.weight", "'lang'; expected one of language, write"),
            ({"language": TERM}, "init_args.losses.lang.init_args.weight", "'lang'; expected one"),
            (None, "losses.language.weight", "'language'; expected losses, each with its class"),
        ],
    )
    def test_a_term_that_is_not_there(self, mistake, config, losses, option, message):
        model = {"class_path": "ShowoTurbo", "init_args": {"losses": losses}}
        found = mistake("fit", "-c", config(model), f"--model.{option}", 0.2)
        assert found.startswith(f"--model.{option}: the configuration has no loss term {message}")

    def test_no_trainer(self, mistake, tmp_path):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({"model": MODEL, "data": DATA, "trainer": None}))
        assert mistake("fit", "-c", path).startswith("trainer is null; expected its options")


@pytest.mark.parametrize(
    "options",
    [
        ["--model.losses.b=LanguageModelLoss", "--model.losses.b.weight=2"],
        ["--model.losses.b.class_path", "LanguageModelLoss", "--model.losses.b.weight", "2"],
        ["--model.losses.a.weight", "2"],
        ['--model.losses={"b": {"class_path": "LanguageModelLoss"}}', "--model.losses.b.weight=2"],
    ],
)
def test_a_term_on_the_command_line(config, options):
    model = {"class_path": "ShowoTurbo", "init_args": {"student": "shapes", "losses": {"a": TERM}}}
    found = full_config(["-c", str(config(model)), *options])
    losses = found["model"]["init_args"]["losses"]
    assert losses["a" if "losses.a" in options[0] else "b"]["init_args"]["weight"] == 2.0
