"""Every configuration that ships is parsed, and those that a CPU carries are run."""

import re
from pathlib import Path

import pytest
import yaml

from showo_turbo.cli import main
from showo_turbo.commands.sweep import check_examples, full_config, read_settings
from showo_turbo.data import ShapesWorld
from showo_turbo.sweeps import SearchSpace

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
OVERLAYS = [path for path in FILES if path.parent.name == "hardware"]
SWEEPS = [path for path in FILES if path.parent.name == "sweeps"]
WHOLE = [path for path in FILES if path not in OVERLAYS + SWEEPS]


def test_the_files_are_found():
    assert {path.name for path in WHOLE} >= {
        "quickstart.yaml",
        "pretrain_magvitv2.yaml",
        "pretrain_showo.yaml",
        "turbo_256.yaml",
        "turbo_512.yaml",
    }
    assert {path.stem for path in OVERLAYS} == {"cpu", "single_gpu", "ddp", "fsdp"}
    assert {path.stem for path in SWEEPS} == {"segments", "table_3"}


def printed(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", *arguments, "--print_config"])
    assert ended.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_a_config_is_parsed(path, capsys):
    config = printed(["-c", str(path)], capsys)
    assert config["model"]["class_path"].startswith("showo_turbo.")
    assert config["data"]["class_path"].startswith("showo_turbo.")


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_a_run_moves_as_a_whole(path, capsys):
    """Whatever is written goes where `trainer.default_root_dir` says."""
    own = yaml.safe_load(path.read_text())["trainer"]["default_root_dir"]
    config = printed(["-c", str(path), "--trainer.default_root_dir", "elsewhere"], capsys)
    assert own.startswith("runs/")
    assert own not in yaml.safe_dump(config)


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_a_run_stops_where_its_numbers_go_wrong(path):
    callbacks = yaml.safe_load(path.read_text())["trainer"]["callbacks"]
    assert "FiniteGuard" in [entry["class_path"] for entry in callbacks]


@pytest.mark.parametrize("name", ["turbo_256", "turbo_512"])
def test_every_value_is_commented(name):
    lines = (CONFIGS / f"{name}.yaml").read_text().splitlines()
    values = [line for line in lines if re.match(r"[ -]*\w+: +[^#\s]", line)]
    assert len(values) > 50
    assert [line for line in values if "class_path" not in line and " # " not in line] == []


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_fits_over_a_config(path, capsys):
    config = printed(["-c", str(CONFIGS / "turbo_256.yaml"), "-c", str(path)], capsys)
    for key, value in yaml.safe_load(path.read_text())["trainer"].items():
        assert config["trainer"][key] == value or key == "strategy"


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_value_of_a_sweep_fits_the_quickstart(path):
    settings = read_settings(path)
    config = full_config(["-c", str(CONFIGS / "quickstart.yaml")])
    check_examples(SearchSpace(settings, config))
    split = ShapesWorld(Path("data")).prompts().validation.stem
    assert settings.metric.startswith(f"val/{split}/score/")


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_the_horizon_of_a_schedule_is_that_of_the_run(path):
    config = yaml.safe_load(path.read_text())
    schedule = config["model"]["init_args"].get("lr_scheduler")
    if schedule is not None:
        assert schedule["init_args"]["total_steps"] == config["trainer"]["max_steps"]


@pytest.mark.bad_input
def test_an_unknown_key_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "-c", str(CONFIGS / "quickstart.yaml"), "--model.init_args.guidanse", "1"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "guidanse" in error and "Traceback" not in error


SMALL_WORLD = ["--data.init_args.shapes.images=48", "--data.init_args.shapes.documents=16"]


@pytest.mark.parametrize("name", ["pretrain_magvitv2", "pretrain_showo"])
def test_pretraining_runs(name, tmp_path, monkeypatch, world):
    monkeypatch.chdir(tmp_path)
    sizes = [
        "--model.init_args.showo.hidden_size=32",
        "--model.init_args.showo.heads=2",
        "--model.init_args.showo.layers=1",
        "--data.init_args.batch_sizes.t2i=4",
        "--data.init_args.batch_sizes.mmu=2",
        "--data.init_args.prompts_per_category=1",
    ]
    main(
        [
            "fit",
            "-c",
            str(CONFIGS / f"{name}.yaml"),
            "-c",
            str(CONFIGS / "hardware/cpu.yaml"),
            *SMALL_WORLD,
            "--data.init_args.shapes.validation_images=8",
            "--data.init_args.shapes.folder",
            str(world),
            "--trainer.fast_dev_run=2",
            *(sizes if name == "pretrain_showo" else ["--data.init_args.batch_size=4"]),
        ]
    )


@pytest.mark.slow
def test_the_released_sizes_are_those_of_the_configs(capsys):
    for name, tokens in (("turbo_256", 256), ("turbo_512", 1024)):
        config = printed(["-c", str(CONFIGS / f"{name}.yaml")], capsys)
        (curriculum,) = (
            callback["init_args"]
            for callback in config["trainer"]["callbacks"]
            if callback["class_path"].endswith("Curriculum")
        )
        assert config["data"]["init_args"]["resolution"] ** 2 // 16**2 == tokens
        for stage in curriculum["stages"]:
            assert stage["steps"] % stage["image_segments"] == 0
