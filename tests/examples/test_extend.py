"""Every example of a user's own class, through the real command with its own YAML lines."""

import ast
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from showo_turbo.cli.main import main

from ..support import small_run

EXAMPLES = Path(__file__).parents[2] / "examples" / "extend"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the examples and a tiny experiment of one stage, `base.yaml`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    small_run.write_model(tmp_path / "model")
    config = json.loads(json.dumps(small_run.CONFIG))
    callbacks = config["trainer"]["callbacks"]
    callbacks[0]["init_args"]["stages"] = callbacks[0]["init_args"]["stages"][:1]
    callbacks[0]["init_args"]["stages"][0] |= {"epochs": 1, "image_trajectories": 8}
    config["trainer"]["callbacks"] = [*callbacks[:1], {"class_path": "EvaluationTable"}]
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(config))
    yield tmp_path
    for name in [name for name in sys.modules if name in NAMES]:
        del sys.modules[name]


def run(command, name, *options):
    main([command, "-c", "base.yaml", "-c", f"{name}.yaml", *map(str, options)])


def logged(here, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (here / "run/logs").glob("version_*")
    events = EventAccumulator(str(folder)).Reload()
    assert tag in events.Tags()["scalars"], events.Tags()["scalars"]
    return [event.value for event in events.Scalars(tag)]


def test_the_list_is_whole():
    readme = (EXAMPLES / "README.md").read_text()
    own = [
        "own_callback",
        "own_captions",
        "own_family",
        "own_loss_term",
        "own_metric",
        "own_target",
    ]
    assert [*own, "train_own_family"] == NAMES
    for name in own:
        source = (EXAMPLES / f"{name}.py").read_text()
        *config, kind = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
        assert config == (["LabelMaskGITConfig"] if name == "own_family" else [])
        assert len(source.splitlines()) <= (150 if name == "own_family" else 60)
        assert f"{name}.{kind}" in (EXAMPLES / f"{name}.yaml").read_text()
        assert f"`{name}.{kind}`" in readme and f"-c {name}.yaml" in readme


def test_own_loss_term(here):
    run("fit", "own_loss_term")
    assert all(value > 0 for value in logged(here, "train/final_codes"))


def test_own_loss_term_added_on_the_command_line(here):
    name = "--model.losses.final_codes"
    base = yaml.safe_load((here / "base.yaml").read_text())
    losses = yaml.safe_load((here / "own_loss_term.yaml").read_text())["model"]["init_args"]
    losses["losses"].pop("final_codes")
    base["model"]["init_args"] |= losses
    (here / "base.yaml").write_text(yaml.safe_dump(base))
    main(["fit", "-c", "base.yaml", name, "own_loss_term.FinalCodes", f"{name}.weight", "0.5"])
    assert logged(here, "train/final_codes")
    assert logged(here, "train/text_regularizer")


def test_own_loss_term_is_the_cross_entropy_of_the_final_codes(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from own_loss_term import FinalCodes

    class Batch:
        codes = torch.tensor([[0, 1, 2], [2, 1, 0]])
        masked_k = torch.tensor([[True, False, True], [False, False, True]])

    class Inputs:
        batch = Batch
        logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))

    def of(smoothing):
        return FinalCodes(label_smoothing=smoothing).compute(Inputs).per_sample

    cross_entropy = torch.nn.functional.cross_entropy
    for smoothing in (0.0, 0.2):
        expected = torch.stack(
            [
                cross_entropy(
                    Inputs.logits[row][Batch.masked_k[row]],
                    Batch.codes[row][Batch.masked_k[row]],
                    label_smoothing=smoothing,
                )
                for row in range(2)
            ]
        )
        torch.testing.assert_close(of(smoothing), expected)
    sys.modules.pop("own_loss_term")


def test_own_target(here):
    run("fit", "own_target")
    assert logged(here, "train/image_consistency")
    with pytest.raises(SystemExit):
        run("fit", "own_target", "--model.init_args.consistency_target.init_args.share", 2)


def test_own_callback(here):
    run("fit", "own_callback")
    assert all(value >= 0 for value in logged(here, "train/code_entropy"))


def test_own_captions(here):
    run("fit", "own_captions")
    from showo_turbo.trajectories import ImageTrajectoryDataset

    dataset = ImageTrajectoryDataset(here / "run/curriculum/round-0/images")
    found = {dataset[index].prompt for index in range(len(dataset))}
    assert found == set((here / "captions.txt").read_text().splitlines())


def test_own_metric(here):
    run("validate", "own_metric")
    found = json.loads((here / "run/evaluation/validate.json").read_text())
    assert all(row["metrics"]["Colorfulness"] > 0 for row in found["images"])
