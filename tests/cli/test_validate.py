"""`showo-turbo validate`: tables of a student, and of its teacher beside it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ..data.benchmarks import write_mme, write_mmmu, write_pope
from .experiment import small_experiment

EXAMPLES = Path(__file__).parents[2] / "examples/extend"


@pytest.fixture
def config(tmp_path, random_shapes_model, world, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLES / "own_metric.py", tmp_path)
    experiment = small_experiment(random_shapes_model, world)
    experiment["model"]["init_args"]["evaluation"] |= {
        "sampling_steps": [2, 1],
        "guidance_scales": [0.0],
        "tables": ["images", "text", "top_k"],
        "top_ks": [1, 5],
        "metrics": [{"class_path": "own_metric.Colorfulness"}],
    }
    experiment["trainer"]["callbacks"] = [{"class_path": "EvaluationTable"}]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(experiment))
    return "config.yaml"


def test_teacher_and_student_side_by_side(command, config, tmp_path, random_shapes_model):
    result = command("validate", "-c", config, "--teacher", random_shapes_model)
    assert result.status == 0, result.errors
    found = json.loads((tmp_path / "runs/base/evaluation/validate.json").read_text())
    settings = [(row["model"], row["steps"]) for row in found["images"]]
    assert settings == [("teacher", 2), ("teacher", 1), ("student", 2), ("student", 1)]
    # The same network with the same seeds, so the same scores, by the checker and by the metric.
    for teacher, student in zip(found["images"][:2], found["images"][2:], strict=True):
        assert teacher["by_category"] == student["by_category"]
        assert teacher["metrics"] == student["metrics"] and "Colorfulness" in teacher["metrics"]
    assert [row["driver"] for row in found["text"]] == [None, "block", "window"] * 2
    assert {row["top_k"] for row in found["top_k"]} == {1, 5}
    assert "Validate metric" not in result.output
    for words in ("Colorfulness", "top-k", "CIDEr-D", "teacher"):
        assert words in result.output


def test_questions_of_benchmarks(command, config, tmp_path):
    asked = [write_pope(tmp_path / "POPE"), write_mme(tmp_path / "MME")]
    asked.append(write_mmmu(tmp_path / "MMMU"))
    (tmp_path / "asked.yaml").write_text(
        yaml.safe_dump({"data": {"init_args": {"questions": asked}}})
    )
    result = command("validate", "-c", config, "-c", "asked.yaml")
    assert result.status == 0, result.errors
    found = json.loads((tmp_path / "runs/base/evaluation/validate.json").read_text())
    rows = [row for row in found["text"] if "benchmark" in row]
    ways = (None, "block", "window")
    assert [(row["benchmark"], row["n"], row["driver"]) for row in rows] == [
        (name, 2, driver) for name in ("POPE", "MME", "MMMU") for driver in ways
    ]
    # All ways of decoding give the same answers.
    for plain, block, window in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert plain["metrics"] == block["metrics"] == window["metrics"]
    assert rows[0]["metrics"].keys() == {"accuracy", "precision", "recall", "f1", "yes"}
    assert rows[3]["metrics"].keys() == {"perception", "cognition"}
    for words in ("POPE (n = 2)", "MME (n = 2)", "MMMU (n = 2)", "perception"):
        assert words in result.output


def test_two_processes_measure_what_one_does(config, python, tmp_path):
    def measure(*options):
        command = [python, "-m", "showo_turbo", "validate", "-c", config, *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads((tmp_path / "runs/base/evaluation/validate.json").read_text())
        for row in found["images"]:  # single precision, summed in another order
            row["metrics"] = {name: round(value, 2) for name, value in row["metrics"].items()}
        rows = [*found["images"], *found["text"]]
        return [{k: v for k, v in row.items() if "second" not in k} for row in rows]

    assert measure("--trainer.devices=2", "--trainer.strategy=ddp") == measure()


@pytest.mark.bad_input
def test_mistakes(mistake, config):
    tables = "--model.init_args.evaluation.tables"
    assert "colors" in mistake("validate", "-c", config, tables, "[images, colors]")
    assert "nowhere" in mistake("validate", "-c", config, "--teacher", "nowhere")
    for name in ("validate", "predict"):  # Not the scores and pictures of the base.
        message = mistake(name, "-c", config, "--ckpt_path", "last")
        assert message.startswith("--ckpt_path last: there is no such checkpoint in runs/base")
    checker = "--model.init_args.evaluation.checker"
    assert "is not a Checker" in mistake("validate", "-c", config, checker, "torch.nn.Linear")
    metric = "{class_path: showo_turbo.metrics.HPSv2}"
    line = mistake("validate", "-c", config, "--model.init_args.evaluation.metrics", f"[{metric}]")
    assert "hf download xswu/HPSv2 HPS_v2_compressed.pt" in line


def test_nothing_to_measure(mistake, config, tmp_path):
    (tmp_path / "nothing.yaml").write_text(
        yaml.safe_dump({"data": {"init_args": {"shapes": None, "prompts": None}}})
    )
    message = mistake("validate", "-c", config, "-c", "nothing.yaml")
    assert "there is nothing to validate on" in message and "data.init_args.prompts" in message
