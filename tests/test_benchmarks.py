"""The benchmarks run, and count what they claim to count."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from showo_turbo.cli.full_config import full_config
from showo_turbo.cli.main import main
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.models.checkpoints import resolve_folder
from showo_turbo.models.vision_encoders import CLIPFeatures
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import denoise_images
from showo_turbo.shapes.write import LLAVA_TRAIN_FILE

from .tiny import tiny_showo

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
WANTED = {
    "t2i_256",
    "t2i_512",
    "t2i_256_guided",
    "inpaint_256",
    "jacobi_512",
    "jacobi_commit",
    "student_jacobi_vs_ar",
}


@pytest.fixture
def limits(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("limits")


@pytest.fixture
def run(python):
    """Runs a benchmark; gives the ended process."""

    def run(name, *arguments):
        command = [python, str(BENCHMARKS / name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS.parent)

    return run


def test_every_row_runs_and_is_exact(run, tmp_path):
    student = resolve_folder("shapes", "showo")
    path = tmp_path / "results.json"
    done = run("decoding.py", "--smoke", "--student", student, "--output", path)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert rows.keys() >= WANTED
    for row in rows.values():
        assert row["exact"] is True
        assert row["naive_s"] > 0 and row["ours_s"] > 0
    assert rows["student_jacobi_vs_ar"]["tokens_per_forward"] >= 1
    assert found["hardware"]
    again = run("decoding.py", "--smoke", "--only", "t2i_256", "--output", path)
    assert again.returncode == 0, again.stderr
    assert [row["name"] for row in json.loads(path.read_text())["rows"]] == list(rows)


@pytest.mark.bad_input
def test_unknown_rows_and_missing_students(run, tmp_path):
    unknown = run("decoding.py", "--only", "t2i_128")
    assert unknown.returncode == 2
    assert "there is no row 't2i_128'" in unknown.stderr
    path = tmp_path / "results.json"
    nothing = ["--only", "student_t2i", "--student", tmp_path / "none"]
    missing = run("decoding.py", "--smoke", *nothing, "--output", path)
    assert missing.returncode == 0
    assert "left out: student_t2i" in missing.stderr
    assert not path.exists()


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_operations_of_an_image_step(limits, guidance):
    network = tiny_showo()
    prompt = [1, 2, 3]
    steps = denoise_images(network, [prompt], ImageSampling(2, guidance))
    next(steps)
    # Not every version of torch counts what its fused kernels do.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        next(steps)
    rows = 2 if guidance else 1
    ids = len(prompt) + 3
    counted = limits.image_step_operations(network.config, rows, ids)
    # Attention runs over whole blocks of key slots, a few more than there are tokens.
    assert 1 <= counter.get_total_flops() / counted < 1.2


def test_bytes_of_a_text_token(limits):
    network = tiny_showo()
    layers = network.showo.model.layers
    matrices = sum(p.numel() for p in layers.parameters() if p.dim() == 2)
    head = network.vocabulary.text_size * network.config.hidden_size
    cache = network.new_cache(1, 16)
    with torch.no_grad():
        network.append(torch.ones(1, 16, dtype=torch.long), cache)
    cached = sum(t[:, :, :16].numel() for t in (*cache._keys, *cache._values))
    assert limits.text_forward_bytes(network.config, 16, 4) == 4 * (matrices + head + cached)


def test_training_on_whole_answers_is_compared_with_single_blocks(run):
    ended = run("answers.py", "--smoke", "--repeats", "1")
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)["rows"].values()
    assert row["exact"] and row["blocks"] == 4


@pytest.mark.slow
def test_training_is_compared_with_the_published_loop(run, tmp_path):
    path = tmp_path / "training.json"
    ended = run("training.py", "--smoke", "--geometries", "256", "--uses", "2", "--output", path)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(path.read_text())
    rows = {row["name"]: row for row in found["rows"]}
    parts = ("image_256", "block_256", "language_256", "once_256", "step_256", "text_256")
    assert rows.keys() == {*parts, "released_256", "released_once_256"}
    for name in parts:
        row = rows[name]
        assert row["ratio"] == pytest.approx(row["published_s"] / row["ours_s"], rel=0.02)
    assert rows["step_256"]["ours_s"] < rows["once_256"]["ours_s"]
    assert rows["released_256"]["ratio"] > rows["released_once_256"]["ratio"] > 1
    assert {"batch", "image_tokens", "store"} <= {key for row in found["growth"] for key in row}


def test_training_beside_a_busy_core(python, monkeypatch):
    monkeypatch.setattr(sys, "executable", python)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    busy_core = import_module("busy_core")
    with busy_core.busy_core(True):
        assert busy_core.measure("ours", seconds=0.1, batch=2) > 0
    steps = {"before, alone": [1.0, 2.0, 9.0], "ours, busy": [1.0]}
    found = busy_core.summary(steps)
    assert found["before, alone"] == 2.0
    assert found["ours, busy, of before alone"] == 0.5


def test_a_vision_encoder_learns_and_goes_on(monkeypatch, world, tmp_path):
    """From images and descriptions; interrupted, it becomes the very same."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    shapes_clip = import_module("shapes_clip")
    monkeypatch.setattr(shapes_clip, "SAVED_EVERY", 2)
    pairs = shapes_clip.Pairs(world, LLAVA_TRAIN_FILE)
    assert len(pairs.ids) == 48 and pairs.pixels.shape == (48, 3, 24, 24)
    epoch = torch.cat([pairs.batch(step, 16) for step in range(3)])
    assert sorted(epoch.tolist()) == list(range(48))
    pairs.ids, pairs.pixels = pairs.ids[:16], pairs.pixels[:16]
    begun = shapes_clip.retrieval(shapes_clip.new_clip(), pairs)

    def train(folder):
        folder.mkdir(exist_ok=True)
        return shapes_clip.train_encoder(folder, pairs, 60, batch_size=16)

    whole = train(tmp_path / "whole")
    assert shapes_clip.retrieval(whole, pairs) > 3 * begun
    take = shapes_clip.Pairs.batch

    def interrupted(self, step, size):
        if step == 55:
            raise KeyboardInterrupt
        return take(self, step, size)

    with monkeypatch.context() as patch:
        patch.setattr(shapes_clip.Pairs, "batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts")
    parts = train(tmp_path / "parts")
    for key, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[key]), key
    CLIPFeatures(parts.vision_model).save_pretrained(tmp_path / "encoder")
    encoder = CLIPFeatures.from_pretrained(tmp_path / "encoder")
    expected = CLIPFeatures(whole.vision_model).encode(pairs.pixels[:2])
    assert torch.equal(encoder.encode(pairs.pixels[:2]), expected)
    assert expected.shape == (2, 36, shapes_clip.WIDTH)


def test_trainings_on_other_inputs(monkeypatch, tmp_path):
    """Both steps of one of them, from the base to answers; what is finished is not done again."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    input_runs, inputs = import_module("input_runs"), import_module("inputs")
    commands = []

    def run(*arguments):
        commands.append(arguments[0])
        main(list(map(str, arguments)))

    monkeypatch.setattr(input_runs, "showo_turbo", run)
    runs = input_runs.Runs(tmp_path, input_runs.SMOKE)
    model = runs.model("clip", "unified")
    assert commands == ["fit", "export"] * 2
    loaded = LoadedModel.from_pretrained(model)
    assert loaded.network.image_input.kind == "clip"
    own = CLIPFeatures.from_pretrained(runs.encoder).state_dict()
    assert all(torch.equal(own[k], v) for k, v in loaded.image_encoder.state_dict().items())
    assert loaded.network.config.system_prompt == input_runs.SYSTEM_PROMPT
    again = input_runs.Runs(tmp_path, input_runs.SMOKE)
    assert (again.model("clip", "unified"), again.retrieval) == (model, runs.retrieval)
    assert len(commands) == 4
    row = {"input": "clip", "start": "unified", "steps": 2}
    row |= inputs.measure(model, runs.records())
    lines = inputs.table([row], row["n"]).rows
    assert [line[0] for line in lines] == list(inputs.KINDS.values())
    assert lines[2][1].startswith(f"{row['exact_match']:.3f} [") and not any(lines[0][1:])


def test_trainings_in_stages(tmp_path, monkeypatch):
    """Each is parsed; the three have as many steps as the one that stands beside them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    stages = import_module("stages")
    found = {}
    for name in stages.TRAININGS:
        arguments = stages.arguments_of(name, tmp_path, tmp_path / "world", 70)
        config = full_config(arguments)
        model, trainer = config["model"]["init_args"], config["trainer"]
        assert model["lr_scheduler"]["init_args"]["total_steps"] == trainer["max_steps"]
        found[name] = (model["initial_weights"], trainer["max_steps"])
        rate = 6e-4 if name == "stages 1 to 3" else 3e-3
        assert model["optimizer"]["init_args"]["lr"] == rate
        assert model["optimizer"]["class_path"].endswith("MuonWithAdamW")
    assert found["stages 1 to 3"] == (str(tmp_path / "stages-1-and-2/model"), 70)
    assert found["stage 2 alone"] == found["stage 3 alone"] == (None, 210)


def test_stages_as_a_table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    stages = import_module("stages")
    scores = {"images": {"score": 0.5, "ci95": [0.4, 0.6]}}
    scores["text"] = {"exact_match": 0.25, "ci95": [0.2, 0.3]}
    (line,) = stages.table([{"name": "stage 1", "steps": 70} | scores]).rows
    assert line[:2] == ["stage 1", "70"] and "0.500" in line[2] and "0.250" in line[3]


def test_rows_of_abilities_in_one_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    shared, pair = import_module("ability_rows"), import_module("teacher_and_student")
    path = tmp_path / "abilities.json"

    def rows(ability, share):
        return [{"model": "student", "ability": ability, "joint": share}]

    scores = {("teacher", 16): 0.8, ("teacher", 4): 0.5, ("student", 16): 0.7, ("student", 4): 0.6}
    shared.write_ability_rows(path, rows("stories", 0.5), {"stories": pair.kept(scores, 0.7)})
    shared.write_ability_rows(path, rows("clips", 0.4), {"clips": {}})
    shared.write_ability_rows(path, rows("stories", 0.6), {"stories": pair.kept(scores, 0.7)})
    found = json.loads(path.read_text())
    assert found["rows"] == rows("clips", 0.4) + rows("stories", 0.6)
    told = found["measured"]["stories"]
    assert (told["base"], told["floor"], told["kept_by_student"]) == (0.8, 0.7, 0.75)
    assert found["measured"]["clips"].keys() == {"command", "hardware", "version"}
    assert pair.kept({}, 0.7) == {"floor": 0.7}  # before the first of them is there
    assert pair.kept({("teacher", 16): 0.8}, 0.7) == {"floor": 0.7, "base": 0.8}
