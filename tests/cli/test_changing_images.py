"""`showo-turbo inpaint`, `extrapolate` and `edit`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showo_turbo.cli.image_jobs import ImageJob, read_jobs
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.editing import ImageEditing

SAMPLED = ["--sampling_steps", 3, "--token_temperature", 1.0, "--guidance_scale", 1.5]
HOW = {"sampling_steps": 3, "token_temperature": 1.0, "guidance_scale": 1.5}
MORE = {
    "inpaint": ["--mask", "m.png", "--prompt", "a star"],
    "extrapolate": ["--directions", "[right, down]", "--prompt", "a star"],
    "edit": ["--prompt", "a star"],
}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three photographs and a mask as large as they are, in the working directory."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in "abc":
        pixels = random.integers(0, 256, (16, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{name}.png")
    mask = Image.new("L", (20, 16))
    mask.paste(255, (0, 0, 10, 8))
    mask.save("m.png")
    return ["a.png", "b.png", "c.png"]


def index(folder):
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def pictures(folder):
    return [Image.open(path).convert("RGB").tobytes() for path in sorted(folder.glob("*.png"))]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def expected(model, name, files):
    pipeline = ShowoPipeline.from_pretrained(model)
    if name == "inpaint":
        result = pipeline.inpaint(files, "m.png", "a star", seeds=[5, 6, 7], **HOW)
    elif name == "extrapolate":
        ways = ["right", "down"]
        result = pipeline.extrapolate(files, ways, "a star", seeds=[5, 6, 7], **HOW)
    else:
        result = pipeline.edit(files, "a star", seeds=[5, 6, 7], **HOW)
    return result


@pytest.mark.parametrize("name", MORE)
def test_images_and_their_notes(command, model, tmp_path, photos, name):
    run = [name, *photos, *MORE[name], "--model", model, "--seed", 5, *SAMPLED]
    result = command(*run, "--output", "out")
    assert result.status == 0, result
    assert "3 images in out" in result.output
    out = tmp_path / "out"
    wanted = expected(model, name, photos)
    assert pictures(out) == [image.tobytes() for image in wanted.images]
    for number, (note, file) in enumerate(zip(index(out), photos, strict=True)):
        assert note["file"] == f"0000{number}.png" and note["image"] == file
        assert (note["prompt"], note["seed"], note["metadata"]) == ("a star", 5 + number, {})
        assert (note["sampling_steps"], note["schedule_base"]) == (3, "image")
        if name == "inpaint":
            assert (note["mask"], note["mask_reading"], note["paste"]) == ("m.png", "any", False)
        elif name == "extrapolate":
            assert note["directions"] == ["right", "down"]
            assert (note["offset"], note["grid"]) == (0, [6, 6])
        else:
            assert {note[key] for key in ("rounds", "remasked_share")} == {4, 0.5}
            assert note["unchanged"] == wanted.unchanged[number]
        with Image.open(out / note["file"]) as image:
            image.load()
            noted = {key: json.dumps(value) for key, value in note.items() if key != "metadata"}
            texts = {key: note[key] for key in noted if isinstance(note[key], str)}
            assert dict(image.text) == {k: v for k, v in (noted | texts).items() if k != "file"}


@pytest.mark.parametrize("name", MORE)
def test_an_interrupted_run_continues(command, model, tmp_path, photos, name, monkeypatch):
    run = [name, *photos, *MORE[name], "--model", model, *SAMPLED, "--batch_size", 1]
    assert command(*run, "--output", "whole").status == 0
    original = ShowoPipeline.draw_batches

    def draw_batches(self, *arguments):
        def interrupted():
            for number, batch in enumerate(original(self, *arguments)):
                if number == 2:
                    raise KeyboardInterrupt
                yield batch

        return interrupted()

    with monkeypatch.context() as patch:
        patch.setattr(ShowoPipeline, "draw_batches", draw_batches)
        assert command(*run, "--output", "out").status == 130
    assert len(index(tmp_path / "out")) == 2
    assert "2 from earlier" in command(*run, "--output", "out").output
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    monkeypatch.setattr(ShowoPipeline, "draw_batches", None)
    assert command(*run, "--output", "out").status == 0, "nothing is drawn again"


def write_jobs(*lines):
    with open("jobs.jsonl", "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def test_jobs_of_inpainting(command, model, tmp_path, photos):
    write_jobs(
        {"image": "a.png", "mask": "m.png", "prompt": "a star", "id": 7},
        {"image": "b.png", "mask": "m.png", "prompt": "b", "seed": 9, "negative_prompt": "c"},
    )
    run = ["inpaint", "--jobs_file", "jobs.jsonl", "--model", model, *SAMPLED, "--seed", 3]
    run += ["--negative_prompt", "a square", "--paste", "--output", "out"]
    assert command(*run).status == 0
    result = ShowoPipeline.from_pretrained(model).inpaint(
        ["a.png", "b.png"],
        "m.png",
        ["a star", "b"],
        negative_prompts=["a square", "c"],
        seeds=[3, 9],
        paste=True,
        **HOW,
    )
    assert pictures(tmp_path / "out") == [image.tobytes() for image in result.images]
    first, second = index(tmp_path / "out")
    assert (first["negative_prompt"], first["metadata"]) == ("a square", {"id": 7})
    assert (second["negative_prompt"], second["seed"]) == ("c", 9)


def test_jobs_of_extrapolation(command, model, tmp_path, photos):
    """Each with directions and prompts of its own, in one batch."""
    write_jobs(
        {"image": "a.png", "directions": ["left", "up"], "prompt": ["a star", "b"]},
        {"image": "b.png", "directions": "right", "prompt": "c"},
    )
    run = ["extrapolate", "--jobs_file", "jobs.jsonl", "--model", model, *SAMPLED]
    assert command(*run, "--output", "out", "--offset", -1).status == 0
    pipeline = ShowoPipeline.from_pretrained(model)
    options = {"offset": -1, **HOW}
    first = pipeline.extrapolate("a.png", ["left", "up"], ["a star", "b"], seeds=0, **options)
    second = pipeline.extrapolate("b.png", "right", "c", seeds=1, **options)
    wanted = [*first.images, *second.images]
    assert [image.size for image in wanted] == [(20, 20), (20, 16)]
    assert pictures(tmp_path / "out") == [image.tobytes() for image in wanted]
    assert [note["prompt"] for note in index(tmp_path / "out")] == [["a star", "b"], "c"]


def test_options_of_editing(command, model, tmp_path, photos):
    run = ["edit", "a.png", "--prompt", "a star", "--model", model, *SAMPLED, "--output", "out"]
    run += ["--rounds", 2, "--remasked_share", 0.25, "--remask_schedule", "cosine"]
    assert command(*run).status == 0
    editing = ImageEditing(2, 0.25, "cosine")
    result = ShowoPipeline.from_pretrained(model).edit("a.png", "a star", editing=editing, **HOW)
    assert pictures(tmp_path / "out") == [image.tobytes() for image in result.images]


def test_lines(photos):
    write_jobs({"image": "a.png", "prompt": " x ", "seed": 4, "tag": "t"})
    (job,) = read_file("prompt")
    assert job.checksums and job == ImageJob(
        Path("a.png"), ("x",), checksums=job.checksums, seed=4, metadata={"tag": "t"}
    )


def read_file(*names):
    return read_jobs([], dict.fromkeys(names), Path("jobs.jsonl"))


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["inpaint", "a.png", "--prompt", "x"], "--mask is missing; give it, or a file of"),
            (["inpaint", "a.png", "--mask", "m.png"], "--prompt is missing; give it, or a file"),
            (["inpaint", *MORE["inpaint"]], "there are no images; name image files or a folder"),
            (
                ["inpaint", "a.png", "--mask", "none.png", "--prompt", "x"],
                "none.png is not a file and does not lead to one; expected an image",
            ),
            (
                ["inpaint", "a.png", "--mask", "text.png", "--prompt", "x"],
                "text.png cannot be read as an image",
            ),
            (
                ["inpaint", "a.png", "--mask", "small.png", "--prompt", "x"],
                "small.png has 16 x 16 pixels, but a.png has 20 x 16; expected the same size",
            ),
            (
                ["inpaint", "a.png", "--mask", "black.png", "--prompt", "x"],
                "black.png masks none of the 16 image tokens",
            ),
            (
                ["inpaint", "a.png", "--mask", "white.png", "--prompt", "x"],
                "white.png masks all of the 16 image tokens",
            ),
            (["edit", "a.png", "--prompt", "x", "--rounds", 0], "rounds is 0; it must be"),
            (["edit", "text.png", "--prompt", "x"], "text.png cannot be read as an image"),
            (["edit", "a.png", "--prompt", " "], "has an empty text for 'prompt'"),
            (
                ["extrapolate", "a.png", "--directions", "north", "--prompt", "x"],
                "has 'north' for 'directions'; expected left, right, up or down, or a list",
            ),
            (
                ["extrapolate", "a.png", "--directions", "[left, up]", "--prompt", "[a, b, c]"],
                "has 2 directions and 3 prompts; expected one prompt for each direction",
            ),
            (
                ["extrapolate", "a.png", "--directions", "up", "--prompt", "x", "--offset", 2],
                "offset is 2; choose -1 to 1",
            ),
            (
                ["edit", "a.png", "--prompt", "x", "--negative_prompt", "y"],
                "there is a negative prompt, but guidance_scale is 0",
            ),
            (["edit", "a.png", "--jobs_file", "j.jsonl"], "names images and what they are to"),
            (
                ["edit", "a.png", "--prompt", "x", "--background", "marine"],
                "background is 'marine'; expected an opaque color",
            ),
        ],
    )
    def test_options(self, mistake, model, tmp_path, photos, arguments, message):
        (tmp_path / "text.png").write_text("no image")
        Image.new("L", (16, 16), 255).save("small.png")
        Image.new("L", (20, 16)).save("black.png")
        Image.new("L", (20, 16), 255).save("white.png")
        assert message in mistake(*arguments, "--output", "out", "--model", model)
        assert not (tmp_path / "out").exists(), "nothing half-written"

    @pytest.mark.parametrize(
        ("line", "names", "message"),
        [
            ({"prompt": "x"}, ["prompt"], "line 1 of jobs.jsonl has nothing for 'image'"),
            ({"image": "/a.png", "prompt": "x"}, ["prompt"], "expected a relative path inside"),
            ({"image": "d.png", "prompt": "x"}, ["prompt"], "has the image 'd.png', but d.png is"),
            ({"image": "a.png"}, ["prompt"], "has nothing for 'prompt'; expected a text"),
            ({"image": "a.png", "prompt": ["x"]}, ["prompt"], "has ['x'] for 'prompt'; expected"),
            ({"image": "a.png", "prompt": "x", "seed": -1}, ["prompt"], "has seed -1; expected"),
            (
                {"image": "a.png", "prompt": "x", "negative_prompt": 3},
                ["prompt"],
                "has 3 for 'negative_prompt'; expected a text",
            ),
            ({"image": "a.png", "prompt": "x"}, ["mask", "prompt"], "has nothing for 'mask'"),
            (
                {"image": "a.png", "prompt": "x", "directions": ["left", 3]},
                ["directions", "prompt"],
                "for 'directions'; expected left, right, up or down, or a list",
            ),
            (
                {"image": "a.png", "prompt": ["x", "y", "z"], "directions": ["left", "up"]},
                ["directions", "prompt"],
                "has 2 directions and 3 prompts; expected one prompt for each direction",
            ),
        ],
    )
    def test_lines(self, photos, line, names, message):
        write_jobs(line)
        with pytest.raises(UserError) as caught:
            read_file(*names)
        assert message in str(caught.value)

    def test_a_file_without_jobs(self, photos):
        write_jobs()
        with pytest.raises(UserError, match=r"jobs\.jsonl holds no jobs"):
            read_file("mask", "prompt")

    def test_a_folder_of_other_images(self, command, mistake, model, tmp_path, photos):
        run = ["edit", "a.png", "--prompt", "x", "--model", model, "--output", "out"]
        assert command(*run, "--sampling_steps", 2).status == 0
        assert "rounds 4 instead of 3" in mistake(*run, "--sampling_steps", 2, "--rounds", 3)
        Image.new("RGB", (20, 16), "red").save("a.png")
        assert "other prompts" in mistake(*run, "--sampling_steps", 2)
