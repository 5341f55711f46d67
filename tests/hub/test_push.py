"""A model goes to a hub of this machine, with a card made from its run."""

import json
import shutil

import pytest
import yaml

from showo_turbo.callbacks import ExportStudent, PushToHub
from showo_turbo.cli.main import main
from showo_turbo.errors import UserError
from showo_turbo.hub.card import run_card
from showo_turbo.hub.push import find_model
from showo_turbo.inference import ShowoPipeline

from ..callbacks.runs import Bystander, make_trainer
from ..evaluation.test_report import make_report
from ..tiny import write_tiny_model


@pytest.fixture
def run(tmp_path):
    """A run that has ended: its student, its report, its pictures and its configuration."""
    folder = tmp_path / "runs" / "mine"
    write_tiny_model(folder / "student")
    card = "---\nlibrary_name: showo-turbo\n---\n# Showo\n\n--model <this folder>\n\n| | |\n"
    (folder / "student" / "README.md").write_text(card)
    make_report().write(folder)
    (folder / "report.md").write_text("**Prompts satisfied**\n\n| model | 4 steps |\n")
    (folder / "grid.png").write_bytes(b"picture")
    stage = {"epochs": 3, "image_segments": 2, "sampling": {"sampling_steps": 16, "top_k": None}}
    callbacks = [{"class_path": "Curriculum", "init_args": {"stages": [stage, {"epochs": 1}]}}]
    config = {"trainer": {"callbacks": callbacks}, "data": {"secret": "/home/me/data"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def push(*arguments):
    main(["push", *map(str, arguments)])


def test_the_card_of_a_run(run):
    card = run_card(*find_model(run), "me/fast", "apache-2.0")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0" and "showo" in front["tags"]
    assert front["library_name"] == "showo-turbo"
    assert "--model me/fast" in card and "<this folder>" not in card
    assert "| 1 | 3 | 2 |  | sampling_steps 16 |" in card and "| 2 | 1 |  |  |  |" in card
    assert "**Prompts satisfied**" in card and "](grid.png)" in card
    assert "The licence is apache-2.0." in card
    assert "/home/me" not in card


def test_a_model_without_a_run(run, tmp_path):
    shutil.copytree(run / "student", tmp_path / "alone")
    card = run_card(*find_model(tmp_path / "alone"), "me/fast")
    assert "license" not in card.split("---\n")[1] and "The licence is not stated." in card
    assert "How it was trained" not in card and "Figures" not in card
    assert find_model(run / "student") == (run / "student", run.resolve())


def test_a_push_has_the_model_and_loads_again(run, hub, tmp_path, capsys):
    push(run, "me/fast", "--license", "apache-2.0", "--message", "First")
    assert "written: http://127.0.0.1" in capsys.readouterr().out
    files = hub.files["models/me/fast"]
    assert hub.messages == ["First"]
    local = {p.relative_to(run / "student").as_posix() for p in (run / "student").rglob("*.*")}
    assert local | {"grid.png"} <= set(files)
    assert b"license: apache-2.0" in files["README.md"] and files["grid.png"] == b"picture"
    for name, content in files.items():
        path = tmp_path / "fetched" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in ("config.json", "pytorch_model.safetensors"):
        assert files[name] == (run / "student" / name).read_bytes()
    pipeline = ShowoPipeline.from_pretrained(tmp_path / "fetched")
    assert pipeline.network.config == ShowoPipeline.from_pretrained(run / "student").network.config


def test_a_push_that_broke_off_is_given_again(run, hub, capsys):
    hub.broken_uploads = 1
    with pytest.raises(SystemExit) as ended:
        push(run, "me/fast")
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "me/fast could not be written" in lines[-1] and "same command again" in lines[-1]
    assert set(hub.files["models/me/fast"]) == {".gitattributes"}, "nothing is half-written"
    before = list(hub.uploaded)
    push(run, "me/fast")
    assert "config.json" in hub.files["models/me/fast"]
    assert len(hub.uploaded) == len(set(hub.uploaded)) >= len(before), "nothing is sent twice"


def test_a_dry_run_prints_the_card(run, hub, capsys):
    push(run, "me/fast", "--dry_run")
    assert "# Showo" in capsys.readouterr().out
    assert hub.files == {}


@pytest.mark.bad_input
def test_a_name_that_exists(run, hub, capsys):
    hub.files["models/me/fast"] = {"config.json": b"{}"}
    with pytest.raises(SystemExit):
        push(run, "me/fast")
    assert "me/fast exists on the hub and holds files; name another" in capsys.readouterr().err
    assert hub.files["models/me/fast"] == {"config.json": b"{}"}
    push(run, "me/fast", "--overwrite")
    assert len(hub.files["models/me/fast"]["config.json"]) > 2


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("me", (), "names no user; expected user/name"),
        ("me/a/b", (), "is not a name of the hub"),
        ("me/--", (), "is not a name of the hub"),
        ("me/fast", ("--license", "My Own"), "license is 'My Own'; expected an identifier"),
    ],
)
def test_malformed_names(run, hub, capsys, name, options, said):
    with pytest.raises(SystemExit):
        push(run, name, *options)
    assert said in capsys.readouterr().err
    assert hub.files == {}


@pytest.mark.bad_input
def test_tokens(run, hub, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "may-read")
    with pytest.raises(SystemExit):
        push(run, "me/fast")
    assert "use a token that may, with `hf auth login`" in capsys.readouterr().err
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(SystemExit):
        push(run, "me/fast")
    assert "there is no token of the hub; expected one that may write" in capsys.readouterr().err
    assert hub.files == {}


@pytest.mark.bad_input
def test_folders_that_hold_no_model(tmp_path, hub):
    with pytest.raises(UserError, match="is not a folder"):
        find_model(tmp_path / "nothing")
    with pytest.raises(UserError, match="is not a model folder"):
        find_model(tmp_path)


def test_a_run_pushes_its_student(tmp_path, hub):
    trainer = make_trainer(tmp_path, ExportStudent(), PushToHub("me/fast", license="mit"))
    trainer.fit(Bystander())
    files = hub.files["models/me/fast"]
    assert json.loads(files["config.json"]) == json.loads(
        (tmp_path / "student/config.json").read_text()
    )
    assert b"license: mit" in files["README.md"]


def test_a_run_outlives_a_push_that_fails(tmp_path, hub):
    class Breaks(ExportStudent):
        def on_train_end(self, trainer, pl_module):
            super().on_train_end(trainer, pl_module)
            hub.tokens.clear()

    trainer = make_trainer(tmp_path, Breaks(), PushToHub("me/fast"))
    with pytest.warns(UserWarning, match=r"not pushed: .* by hand: showo-turbo push"):
        trainer.fit(Bystander())
    assert (tmp_path / "student/config.json").is_file()


@pytest.mark.bad_input
def test_a_push_that_cannot_be_is_known_before_the_training(tmp_path, hub, monkeypatch):
    with pytest.raises(UserError, match="needs ExportStudent listed before it"):
        make_trainer(tmp_path, PushToHub("me/fast"), ExportStudent()).fit(Bystander())
    hub.files["models/me/fast"] = {"config.json": b"{}"}
    with pytest.raises(UserError, match="exists on the hub"):
        make_trainer(tmp_path, ExportStudent(), PushToHub("me/fast")).fit(Bystander())
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="there is no token"):
        make_trainer(tmp_path, ExportStudent(), PushToHub("me/other")).fit(Bystander())
    assert not (tmp_path / "student").exists()
