import json

import pytest
from PIL import Image

from showo_turbo.inference import ShowoPipeline
from showo_turbo.inference.generation_config import save_generation_config
from showo_turbo.sampling.image_sampling import ImageSampling

from ..tiny import write_tiny_model

PROMPTS = ["a red circle", "two blue squares", "a star", "a circle above a square", "é"]
SAMPLED = ["--sampling_steps", 3, "--token_temperature", 1.0, "--batch_size", 2]


@pytest.fixture
def prompts_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def index(folder):
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def test_images_and_their_index(command, model, tmp_path):
    out = tmp_path / "out"
    result = command(
        "generate", *PROMPTS[:2], "--output", out, "--model", model, "--sampling_steps", 3
    )
    assert result.status == 0
    assert "2 images in" in result.output
    assert set(contents(out)) == {"00000.png", "00001.png", "index.jsonl", "settings.json"}
    notes = index(out)
    assert [(note["file"], note["prompt"], note["seed"]) for note in notes] == [
        ("00000.png", "a red circle", 0),
        ("00001.png", "two blue squares", 1),
    ]
    pipeline = ShowoPipeline.from_pretrained(model)
    expected = pipeline.generate(PROMPTS[:2], sampling_steps=3).images
    for note, image in zip(notes, expected, strict=True):
        with Image.open(out / note["file"]) as written:
            assert written.tobytes() == image.tobytes()


def test_metadata_of_a_png(command, model, tmp_path):
    options = ["--guidance_scale", 1.5, "--top_k", 5, "--seed", 40, "--sampling_steps", 2]
    command("generate", "é\nü", "--output", tmp_path / "out", "--model", model, *options)
    with Image.open(tmp_path / "out" / "00000.png") as image:
        image.load()
        found = dict(image.text)
    assert found == {
        "prompt": "é\nü",
        "seed": "40",
        "model": str(model),
        "sampling_steps": "2",
        "guidance_scale": "1.5",
        "mask_schedule": "cosine",
        "token_temperature": "0.0",
        "confidence_temperature": "0.0",
        "top_k": "5",
        "guidance_end": "null",
        "shared_noise_seed": "null",
        "confidence_annealing": "linear",
        "reveal_order": "confidence",
        "schedule_base": "image",
        "random_start": "0.0",
        "revise_below": "0.0",
    }


def test_the_models_own_way_of_drawing(command, tmp_path):
    """It stands in for what is not given, and what was done is noted."""
    own = write_tiny_model(tmp_path / "own")
    save_generation_config(own, ImageSampling(sampling_steps=3, token_temperature=1.0), None)
    run = ["generate", *PROMPTS[:2], "--model", own, "--output"]
    assert command(*run, tmp_path / "out").status == 0
    assert command(*run, tmp_path / "changed", "--sampling_steps", 2).status == 0
    found = [
        (note["sampling_steps"], note["token_temperature"]) for note in index(tmp_path / "out")
    ]
    assert found == [(3, 1.0)] * 2
    found = [
        (note["sampling_steps"], note["token_temperature"]) for note in index(tmp_path / "changed")
    ]
    assert found == [(2, 1.0)] * 2


def test_seeds(command, model, tmp_path):
    """Those of the lines; otherwise they count on from the first."""
    lines = tmp_path / "p.jsonl"
    lines.write_text('{"prompt": "a"}\n{"prompt": "b", "seed": 90, "tag": "counting"}\n')
    options = ["--images_per_prompt", 2, "--seed", 10, "--confidence_temperature", 1]
    run = ["generate", "--prompts_file", lines, "--output", tmp_path / "out", "--model", model]
    assert command(*run, *options, "--sampling_steps", 2).status == 0
    notes = index(tmp_path / "out")
    assert [(n["prompt"], n["seed"]) for n in notes] == [
        ("a", 10),
        ("a", 11),
        ("b", 90),
        ("b", 91),
    ]
    assert [note["metadata"] for note in notes] == [
        {},
        {},
        {"tag": "counting"},
        {"tag": "counting"},
    ]


def interrupt_after(monkeypatch, batches):
    """Interrupt the run once so many batches are done, as Ctrl-C would."""
    original = ShowoPipeline.draw_batches

    def draw_batches(self, *arguments):
        def interrupted():
            for number, batch in enumerate(original(self, *arguments)):
                if number == batches:
                    raise KeyboardInterrupt
                yield batch

        return interrupted()

    monkeypatch.setattr(ShowoPipeline, "draw_batches", draw_batches)


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_an_interrupted_run_continues(command, model, tmp_path, prompts_file, monkeypatch, batches):
    run = ["generate", "--prompts_file", prompts_file, "--model", model, *SAMPLED]
    assert command(*run, "--output", tmp_path / "whole").status == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, batches)
        stopped = command(*run, "--output", tmp_path / "out")
    assert stopped.status == 130
    assert stopped.errors.strip().endswith("showo-turbo: interrupted")
    assert len(index(tmp_path / "out")) == 2 * batches
    continued = command(*run, "--output", tmp_path / "out")
    assert continued.status == 0
    assert f"{2 * batches} from earlier" in continued.output or batches == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_finished_run_draws_nothing_more(command, model, tmp_path, prompts_file, monkeypatch):
    run = ["generate", "--prompts_file", prompts_file, "--model", model, *SAMPLED]
    run += ["--output", tmp_path / "out"]
    command(*run)
    before = contents(tmp_path / "out")
    monkeypatch.setattr(ShowoPipeline, "draw_batches", None)
    assert command(*run).status == 0
    assert contents(tmp_path / "out") == before


def test_a_lost_image_is_drawn_again(command, model, tmp_path, prompts_file):
    run = ["generate", "--prompts_file", prompts_file, "--model", model, *SAMPLED]
    run += ["--output", tmp_path / "out"]
    command(*run)
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "00003.png").unlink()
    assert command(*run).status == 0
    assert contents(tmp_path / "out")["00003.png"] == before["00003.png"]
    assert {note["file"] for note in index(tmp_path / "out")} == set(before) - {
        "index.jsonl",
        "settings.json",
    }
    assert len(index(tmp_path / "out")) == len(PROMPTS)


def test_a_run_that_died_while_writing_continues(command, model, tmp_path, prompts_file):
    """After an image but before its note; in the middle of a note; in the middle of an image."""
    run = ["generate", "--prompts_file", prompts_file, "--model", model, *SAMPLED]
    out = tmp_path / "out"
    command(*run, "--output", out)
    before = contents(out)
    lines = (out / "index.jsonl").read_text().splitlines(keepends=True)
    (out / "index.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    (out / ".00004.png.tmp").write_bytes(before["00004.png"][:50])
    (out / "00004.png").unlink()
    assert command(*run, "--output", out).status == 0
    assert contents(out) == before


def test_the_batch_size_is_no_setting(command, model, tmp_path):
    run = [
        "generate",
        *PROMPTS,
        "--model",
        model,
        "--output",
        tmp_path / "out",
        "--sampling_steps",
        2,
    ]
    assert command(*run, "--batch_size", 1).status == 0
    assert command(*run, "--batch_size", 3).status == 0


GENEVAL = [
    {"tag": "single_object", "include": [{"class": "star", "count": 1}], "prompt": "é star"},
    {"tag": "counting", "include": [], "exclude": [{"class": "cup"}], "prompt": "two stars"},
]


def test_the_folders_of_geneval(command, mistake, model, tmp_path):
    """Laid out as https://github.com/djghosh13/geneval, evaluation/evaluate_images.py, reads it."""
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in GENEVAL)
    (tmp_path / "p.jsonl").write_text(lines, encoding="utf-8")
    run = ["generate", "--prompts_file", tmp_path / "p.jsonl", "--model", model, *SAMPLED]
    run += ["--images_per_prompt", 2]
    assert command(*run, "--output", tmp_path / "flat").status == 0
    out = tmp_path / "out"
    assert command(*run, "--output", out, "--layout", "geneval").status == 0
    folders = sorted(path for path in out.iterdir() if path.is_dir())
    assert [folder.name for folder in folders] == ["00000", "00001"]
    for folder, line in zip(folders, GENEVAL, strict=True):
        assert {path.name for path in folder.iterdir()} == {"metadata.jsonl", "samples"}
        assert json.loads((folder / "metadata.jsonl").read_text(encoding="utf-8")) == line
    drawn = sorted(out.glob("*/samples/*"))
    names = [str(path.relative_to(out)) for path in drawn]
    assert names == [f"0000{i}/samples/000{j}.png" for i in (0, 1) for j in (0, 1)]
    assert [note["file"] for note in index(out)] == names
    flat = sorted((tmp_path / "flat").glob("*.png"))
    assert [path.read_bytes() for path in drawn] == [path.read_bytes() for path in flat]

    drawn[1].unlink()
    (drawn[0].parent / ".0001.png.a1b2.tmp").touch()  # of a run that was killed
    (folders[0] / "metadata.jsonl").unlink()
    assert command(*run, "--output", out, "--layout", "geneval").status == 0
    assert sorted(out.glob("*/samples/*")) == drawn
    assert json.loads((folders[0] / "metadata.jsonl").read_text()) == GENEVAL[0]
    assert "layout 'geneval' instead of None" in mistake(*run, "--output", out)


@pytest.mark.bad_input
def test_prompts_that_geneval_cannot_judge(mistake, model, tmp_path):
    run = ["generate", "a star", "--output", tmp_path / "out", "--layout", "geneval"]
    assert "the prompt 'a star' has None for 'tag'; expected" in mistake(*run, "--model", model)
    (tmp_path / "p.csv").write_text("prompt,tag,include\na star,counting,[]\n")
    run = ["generate", "--prompts_file", tmp_path / "p.csv", "--output", tmp_path / "out"]
    assert "has '[]' for 'include'" in mistake(*run, "--layout", "geneval", "--model", model)
    assert not (tmp_path / "out").exists()


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--sampling_steps", 2], "there are no prompts; give some"),
            (["a", "--sampling_steps", 0], "steps is 0; choose 1 to 16"),
            (["a", "--sampling_steps", 17], "steps is 17; choose 1 to 16"),
            (["a", "--sampling_steps", "two"], "steps: expected int, got two"),
            (["a", "--top_k", 65], "top_k is 65; choose 1 to 64"),
            (["a", "--guidance_scale", -1], "guidance_scale is -1"),
            (["a", "--guidance_end", -1], "guidance_end is -1"),
            (["a", "--seed", -1], "seed -1 is out of range"),
            (["a", "--batch_size", 0], "batch_size is 0"),
            (["a " * 40], "tokens; at most 30 fit"),
            (["--prompts_file", "/dev/null"], "there are no prompts; give some"),
            (["fine", "a " * 40], "tokens; at most 30 fit"),
            (["a", "--images_per_prompt", 0], "images_per_prompt is 0"),
            (["a", "--images_per_prompt", 2], "all images of a prompt are"),
            (["a", "--mask_schedule", "cube"], "mask_schedule: expected one of 'cosine'"),
            (["a", "--device", "abacus"], "device 'abacus' cannot be used"),
            (["a", "--prompts_file", "none.txt"], "none.txt does not exist"),
        ],
    )
    def test_options(self, mistake, model, tmp_path, arguments, message):
        out = tmp_path / "out"
        assert message in mistake("generate", *arguments, "--output", out, "--model", model)
        assert not out.exists(), "nothing half-written"

    def test_no_folder(self, mistake):
        assert "required: output" in mistake("generate", "a")

    def test_a_model_without_config(self, mistake, tmp_path):
        out = tmp_path / "out"
        message = mistake("generate", "a", "--output", out, "--model", tmp_path)
        assert "config.json does not exist" in message
        assert not out.exists()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (["--sampling_steps", 3, "a"], "sampling_steps 2 instead of 3"),
            (["--guidance_scale", 1, "a"], "guidance_scale 0.0 instead of 1"),
            (["--seed", 1, "a"], "other prompts"),
            (["--dtype", "bfloat16", "a"], "dtype 'float32' instead of 'bfloat16'"),
            (["a", "another"], "images 1 instead of 2"),
        ],
    )
    def test_a_folder_of_other_settings(self, command, mistake, model, tmp_path, change, message):
        run = ["--output", tmp_path / "out", "--model", model, "--sampling_steps", 2]
        command("generate", *run, "a")
        before = contents(tmp_path / "out")
        found = mistake("generate", *run, *change)
        assert "belongs to other settings" in found and message in found
        assert contents(tmp_path / "out") == before

    def test_a_model_that_has_changed(self, command, mistake, tmp_path):
        place = tmp_path / "model"
        run = [
            "generate",
            "a",
            "--output",
            tmp_path / "out",
            "--model",
            place,
            "--sampling_steps",
            2,
        ]
        write_tiny_model(place, seed=0)
        command(*run)
        write_tiny_model(place, seed=1)
        assert "other image_tokenizer, other showo" in mistake(*run)

    def test_a_folder_with_other_files(self, mistake, model, tmp_path):
        (tmp_path / "photo.jpg").touch()
        message = mistake("generate", "a", "--output", tmp_path, "--model", model)
        assert "holds files but no settings.json" in message
        assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
