from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace

from showo_turbo.cli.command_line import run_function
from showo_turbo.cli.home import expand_home, local_path
from showo_turbo.cli.lightning import run_lightning
from showo_turbo.cli.model_options import ModelOptions
from showo_turbo.data import CaptionSource


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # on Windows
    return tmp_path


def test_paths_wherever_they_are(home):
    given = Namespace(
        folder=Path("~/a"),
        both=["~/b", ("~", 3, None)],
        classes={"class_path": "Mine", "init_args": Namespace(file="~/c", name="a~/b")},
        question="~/d",
        prompts=["~/e"],
        user="~nobody-of-this-name/f",
    )
    assert expand_home(given) == Namespace(
        folder=home / "a",
        both=[f"{home}/b", (str(home), 3, None)],
        classes={"class_path": "Mine", "init_args": Namespace(file=f"{home}/c", name="a~/b")},
        question="~/d",
        prompts=["~/e"],
        user="~nobody-of-this-name/f",
    )
    assert local_path("~/a") == home / "a" and local_path("a") == Path("a")


def test_a_command_line_and_a_file_of_options(home):
    taken = []

    def command(
        prompts: list[str],
        output: Path,
        files: list[Path] | None = None,
        captions: CaptionSource | None = None,
        model: ModelOptions = ModelOptions(),
    ) -> None:
        """Take options.

        Args:
            prompts: Texts.
            output: A folder.
            files: Files.
            captions: A source.
            model: A model.
        """
        taken.append((prompts, output, files, captions, model.model))

    options = {
        "files": ["~/f", "g"],
        "captions": {
            "class_path": "showo_turbo.data.CaptionFiles",
            "init_args": {"images": "~/i", "annotations": "~/a.json"},
        },
    }
    (home / "options.yaml").write_text(yaml.safe_dump(options))
    arguments = ["~/p", "--config=~/options.yaml", "--output=~/o", "--model", "~/m"]
    run_function(command, arguments, name="command", listed="prompts")
    ((prompts, output, files, captions, model),) = taken
    assert (prompts, output, files) == (["~/p"], home / "o", [home / "f", Path("g")])
    assert (captions.images, captions.annotations) == (home / "i", home / "a.json")
    assert model == f"{home}/m"


def test_a_run(home, monkeypatch):
    """Our own paths, ids of models and the paths of Lightning's classes."""
    config = {
        "model": {
            "class_path": "PretrainShowo",
            "init_args": {"initial_weights": "~/base", "image_tokenizer": "~/images"},
        },
        "data": {
            "class_path": "PretrainDataModule",
            "init_args": {
                "resolution": 16,
                "captions": {
                    "class_path": "CaptionFiles",
                    "init_args": {"images": "images", "annotations": "~/captions.json"},
                },
                "web_text": {"class_path": "TextFiles", "init_args": {"files": ["~/texts"]}},
            },
        },
        "trainer": {
            "logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "~/logs"}},
            "callbacks": [{"class_path": "ModelCheckpoint", "init_args": {"dirpath": "~/kept"}}],
        },
    }
    (home / "run.yaml").write_text(yaml.safe_dump(config))
    seen = []

    def instantiate(cli):
        seen.append(yaml.safe_load(cli.parser.dump(cli.config))["fit"])
        raise KeyboardInterrupt

    monkeypatch.setattr("showo_turbo.cli.lightning._CLI.instantiate_classes", instantiate)
    arguments = ["fit", "-c", "~/run.yaml", "--trainer.default_root_dir=~/runs/mine"]
    arguments += ["--data.init_args.captions.init_args.images=~/pictures"]
    monkeypatch.setattr("sys.argv", ["showo-turbo", *arguments])
    with pytest.raises(KeyboardInterrupt):
        run_lightning(arguments)
    (found,) = seen
    assert "~" not in yaml.safe_dump(found)
    assert found["trainer"]["default_root_dir"] == f"{home}/runs/mine"
    assert found["trainer"]["logger"]["init_args"]["save_dir"] == f"{home}/logs"
    assert found["trainer"]["callbacks"][0]["init_args"]["dirpath"] == f"{home}/kept"
    assert found["model"]["init_args"]["initial_weights"] == f"{home}/base"
    captions = found["data"]["init_args"]["captions"]["init_args"]
    assert captions["images"] == f"{home}/pictures"
    assert captions["annotations"] == f"{home}/captions.json"
    assert found["data"]["init_args"]["web_text"]["init_args"]["files"] == [f"{home}/texts"]
