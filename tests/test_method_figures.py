"""The figures of the comparison of methods, by hand."""

import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from showo_turbo.cli.main import main
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import decode_image_codes

from .tiny import tiny_showo

RUNS = Path(__file__).parents[1] / "benchmarks/method_runs"


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(str(RUNS))
    import figures

    yield figures
    for name in ("figures", "outcomes"):
        sys.modules.pop(name, None)


@pytest.fixture
def counter(monkeypatch):
    monkeypatch.syspath_prepend(str(RUNS))
    import counting

    yield counting.ForwardCounter()
    sys.modules.pop("counting", None)


DESCRIBED = yaml.safe_load((RUNS / "methods.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", DESCRIBED["methods"])
def test_a_method_is_an_overlay_that_is_parsed(name, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(RUNS))
    import run

    method = DESCRIBED["methods"][name]
    stages = [DESCRIBED["first"], *method["stages"]]
    path = tmp_path / "overlay.yaml"
    path.write_text(yaml.safe_dump(run.overlay(tmp_path, tmp_path / "world", 3, method, stages)))
    for module in ("run", "outcomes"):
        sys.modules.pop(module, None)
    quickstart = str(RUNS.parents[1] / "configs/quickstart.yaml")
    with pytest.raises(SystemExit) as ended:
        main(["fit", "-c", quickstart, "-c", str(path), "--print_config"])
    assert ended.value.code == 0
    model = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]
    weighted = {weight for stage in method["stages"] for weight in stage.get("loss_weights", {})}
    assert weighted <= model["losses"].keys() >= method.get("losses", {}).keys()
    start = method.get("sampling", {}).get("random_start", 0.0)
    assert {model["sampling"]["random_start"], start} == {start}
    starts = {stage.get("sampling", {}).get("random_start", 0.0) for stage in method["stages"]}
    assert starts == {start}


CATEGORIES = ["a", "a", "a", "b"]


def test_scores_weigh_categories_alike_and_seeds_alike(figures):
    right = figures.as_array(["1100", "1011"])
    # a: (1 + 0.5 + 0.5) / 3, b: 0.5
    assert figures.score(right, CATEGORIES) == pytest.approx((2 / 3 + 0.5) / 2)


def test_a_share_is_that_of_the_scores(figures):
    student, teacher = figures.as_array(["1100", "1011"]), figures.as_array(["1111"])
    found = figures.share(student, teacher, CATEGORIES, ["x", "x", "y", "z"])
    assert found["score"] == found["share"] == round((2 / 3 + 0.5) / 2, 4)
    low, high = found["ci95"]
    assert low < found["share"] < high


def test_prompts_of_one_combination_are_drawn_together(figures):
    """As one cluster they leave nothing to draw, so that only the seeds would vary."""
    student, teacher = figures.as_array(["1100"]), figures.as_array(["1111"])
    alone = figures.share(student, teacher, ["a"] * 4, ["x"] * 4)
    assert alone["ci95"] == [0.5, 0.5]
    apart = figures.share(student, teacher, ["a"] * 4, list("wxyz"))
    assert apart["ci95"][0] < 0.5 < apart["ci95"][1]


def test_every_prompt_of_the_world_has_one_combination(figures):
    names = figures.combination_names()
    assert names["a photo of a red circle"] == names["a red circle on a white background"]
    assert names["a red circle"] != names["a blue circle"]
    assert len(names) > 10_000


def test_a_method_s_row_has_every_figure(figures, monkeypatch, tmp_path):
    prompts = [{"tag": "colors", "prompt": text} for text in ("a red circle", "a blue circle")]
    monkeypatch.setattr(figures, "splits", lambda world: {"test": prompts, "unseen": prompts})
    run = {
        "test": {"8": "11", "4": "11", "2": "10", "1": "00"},
        "unseen": {"4": "10", "2": "10", "1": "00"},
        "variety": {"distinct": 2.0, "code_entropy": 0.5},
        "text": {"matched": "1110", "tokens": 30, "forwards": 10},
        "training": {"forwards": 1000, "seconds": 60},
    }
    teacher = {
        "test": {"outcomes": "11"},
        "unseen": {"outcomes": "11"},
        "variety": {"distinct": 4.0},
        "text": {"matched": "1111"},
    }
    row = figures.figures_of("ours", [run, run], teacher, tmp_path)
    assert {steps: cell["share"] for steps, cell in row["images"].items()} == {
        "8": 1.0,
        "4": 1.0,
        "2": 0.5,
        "1": 0.0,
    }
    assert row["unseen"]["share"] == 0.5
    assert row["variety"]["share"] == 0.5
    assert row["text"] == {
        "n": 4,
        "exact_match": 0.75,
        "minus_teacher": -0.25,
        "tokens_per_forward": 3.0,
    }
    assert (row["seeds"], row["n"], row["training"]["forwards"]) == (2, 2, 1000)


def test_sequences_are_counted_and_training_three_times(counter):
    network = tiny_showo().eval()
    counter.setup(None, None, "fit")
    try:
        # The prompts once, then four steps; with guidance both halves.
        decode_image_codes(network, [[3, 4], [5]], ImageSampling(4, guidance_scale=1.0))
        assert counter.counts == {"inference": 5 * 4, "training": 0}
        network.image_logits([[3], [4], [5]], torch.zeros(3, 16, dtype=torch.long))
        assert counter.counts == {"inference": 20, "training": 3}
        assert counter.forwards == 29
    finally:
        counter.teardown(None, None, "fit")
    network.image_logits([[3]], torch.zeros(1, 16, dtype=torch.long))
    assert counter.counts["training"] == 3


def test_counts_and_cpu_time_go_on_over_tries(counter):
    counter.counts["training"] = 5
    counter.seconds = 100.0
    saved = counter.state_dict()
    counter.counts["training"] = 9
    again = type(counter)()
    again.load_state_dict(saved)
    assert again.forwards == 15
    assert 100.0 <= again.seconds < 100.0 + time.process_time()
