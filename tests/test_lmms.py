"""The plug-in, found and run by lmms-eval on a task of our own."""

import json

import pytest

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed")

from lmms_eval import evaluator
from lmms_eval.models import get_model, list_available_models
from lmms_eval.tasks import TaskManager
from PIL import Image

from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.lmms import ShowoTurboModel, cut_at

TASK = """
task: shapes_of_the_tests
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/questions.jsonl
test_split: test
output_type: generate_until
doc_to_visual: !function utils.look
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  max_new_tokens: 12
  until: ["\\n\\n"]
process_results: !function utils.judge
metric_list:
  - metric: right
    aggregation: mean
    higher_is_better: true
metadata:
  - version: 0.0
"""
UTILS = """
from PIL import Image

def look(entry):
    return [Image.open(entry["image"]).convert("RGB")]

def judge(entry, results):
    return {"right": float(results[0] == entry["answer"])}
"""


@pytest.fixture
def task(tmp_path, random_shapes_model):
    """Three questions, of which the model answers two as it does anyway."""
    pipeline = ShowoPipeline.from_pretrained(str(random_shapes_model))
    lines = []
    for index, color in enumerate(["red", "blue", "green"]):
        path = tmp_path / f"{color}.png"
        Image.new("RGB", (24, 24), color).save(path)
        question = f"What is there? {index}"
        answer = pipeline.answer(Image.open(path), question, max_new_tokens=12).texts[0]
        wanted = answer if index < 2 else "something else"
        lines.append({"image": str(path), "question": question, "answer": wanted})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "questions.jsonl").write_text(text)
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "shapes.yaml").write_text(TASK.format(folder=tmp_path))
    (folder / "utils.py").write_text(UTILS)
    return folder


def test_lmms_eval_finds_it():
    assert "showo_turbo" in list_available_models()
    assert get_model("showo_turbo") is ShowoTurboModel


@pytest.mark.slow
def test_a_task_is_run(task, random_shapes_model, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    found = evaluator.simple_evaluate(
        model="showo_turbo",
        model_args=f"pretrained={random_shapes_model},batch_size=2,device=cpu",
        tasks=["shapes_of_the_tests"],
        task_manager=TaskManager(include_path=str(task), include_defaults=False),
        bootstrap_iters=0,
    )
    scores = found["results"]["shapes_of_the_tests"]
    (right,) = (value for name, value in scores.items() if name.split(",")[0] == "right")
    assert right == pytest.approx(2 / 3)


def test_an_unknown_option(random_shapes_model):
    with pytest.raises(UserError, match="no option 'guidance'"):
        ShowoTurboModel(str(random_shapes_model), guidance=3)


def test_answers_end_at_marks():
    assert cut_at(" yes\n\nno", ["\n\n"]) == "yes"
    assert cut_at("yes. no", ".") == "yes"
    assert cut_at("yes", []) == "yes"
