"""The path of `recipes/own_pictures` in miniature, from transparent pictures that are made here."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from showo_turbo.data import CaptionFiles, PromptFile
from showo_turbo.data.captioned import (
    CaptionedPicture,
    divide_pictures,
    read_captioned,
    write_split,
)
from showo_turbo.inference import ShowoPipeline
from showo_turbo.viz.pictures import CAPTION_INCHES, DOTS_PER_INCH

RECIPES = Path(__file__).parents[2] / "recipes" / "own_pictures"
COLORS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (20, 160, 60)}
TINY = {
    "image_tokenizer": {
        "model": {
            "init_args": {
                "tokenizer": {
                    "channels": 8,
                    "encoder_multipliers": [1, 1, 1, 1],
                    "decoder_multipliers": [1, 1, 1, 1],
                    "encoder_blocks": [1, 1, 1, 1],
                    "decoder_blocks": [1, 1, 1, 1],
                    "bits": 4,
                    "norm_groups": 4,
                }
            }
        },
        "data": {"init_args": {"resolution": 32, "batch_size": 4}},
        "trainer": {"max_steps": 3, "val_check_interval": 3},
    },
    "base": {
        "model": {
            "init_args": {
                "showo": {"hidden_size": 16, "layers": 1, "heads": 2, "max_text_length": 40},
                "sampling": {"sampling_steps": 2},
            }
        },
        "data": {
            "init_args": {"resolution": 32, "batch_sizes": {"image": 4, "text": 2, "language": 0}}
        },
        "trainer": {"max_steps": 3, "val_check_interval": 3},
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
        "data": {
            "init_args": {"resolution": 32, "batch_sizes": {"image": 4, "text": 0, "language": 0}}
        },
    },
}
STAGES = [
    {"epochs": 1, "image_segments": 1, "image_trajectories": 8},
    {"epochs": 1, "image_segments": 1, "image_trajectories": 8, "sampling": {"sampling_steps": 2}},
]


def write_pictures(folder, count=24):
    """Discs on nothing, with two captions each, in COCO's format."""
    folder.mkdir(parents=True)
    images, annotations = [], []
    for index in range(count):
        name = list(COLORS)[index % len(COLORS)]
        picture = Image.new("RGBA", (40, 32), (0, 0, 0, 0))
        place = (index % 5, 2, 20 + index % 7, 28)
        ImageDraw.Draw(picture).ellipse(place, (*COLORS[name], 255))
        picture.save(folder / f"{index:03d}.png")
        images.append({"id": index, "file_name": f"{index:03d}.png"})
        for caption in (f"a {name} disc, number {index}", f"something {name}, number {index}"):
            annotations.append({"image_id": index, "caption": caption})
    return {"images": images, "annotations": annotations}


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Pictures and their captions, in the working directory."""
    monkeypatch.chdir(tmp_path)
    content = write_pictures(tmp_path / "mine" / "pictures")
    Path("mine/captions.json").write_text(json.dumps(content))
    return tmp_path / "mine"


@pytest.fixture
def succeed(command):
    def run(*arguments):
        result = command(*arguments)
        assert result.status == 0, result.errors
        return result.output

    return run


def train(succeed, step, *more):
    Path(f"{step}.yaml").write_text(yaml.safe_dump(TINY[step]))
    files = ["-c", RECIPES / f"{step}.yaml", "-c", f"{step}.yaml"]
    return succeed("fit", *files, "--trainer.accelerator=cpu", *more)


def test_from_pictures_to_a_fast_student(pictures, succeed, tmp_path):
    split = ["--captions", "mine/captions.json", "--validation", "0.1", "--test", "0.1"]
    output = succeed("split-pictures", "mine/pictures", "data/own", *split)
    assert "20 for train, 2 for validation, 2 for test" in output
    captions = ["--captions.images", "data/own/pictures"]
    captions += ["--captions.annotations", "data/own/train.json"]
    succeed("train-text-tokenizer", "data/own/tokenizer.json", "--size", 270, *captions)

    train(succeed, "image_tokenizer")
    run = Path("runs/own/image_tokenizer")
    with Image.open(run / "reconstructions/step-000003.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    left = round(CAPTION_INCHES * DOTS_PER_INCH)
    column = pixels[:, left : left + (pixels.shape[1] - left) // 3]
    assert (column == 0).all(axis=-1).mean() < 0.01, "not the black beneath the transparency"
    scores = json.loads((run / "reconstructions/scores.json").read_text())
    assert scores["psnr"] > 0 and 0 < scores["codebook_usage"] <= 1
    succeed("export", run / "checkpoints/last.ckpt", run / "model")

    train(succeed, "base")
    run = Path("runs/own/base")
    succeed("export", run / "checkpoints/last.ckpt", run / "model")
    sizes = json.loads((run / "model/config.json").read_text())
    # Four by four patches of 8 px, four bits, and the tokens that were asked for.
    assert sizes["num_vq_tokens"] == 16 and sizes["codebook_size"] == 16
    assert sizes["llm_vocab_size"] == 270 and sizes["showo_turbo"]["eos_id"] == 0

    stages = f"--trainer.callbacks.Curriculum.stages={json.dumps(STAGES)}"
    steps = "--trainer.callbacks.SpeedupReport.settings.sampling_steps=[4,2]"
    train(succeed, "student", stages, steps)
    run = Path("runs/own/student")
    report = json.loads((run / "report.json").read_text())
    assert {(row["model"], row["steps"], row["n"]) for row in report["images"]} == {
        *(("teacher", steps, 2) for steps in (4, 2)),
        *(("student", steps, 2) for steps in (4, 2)),
        ("stage1", 4, 2),
        ("stage1", 2, 2),
    }
    assert report["guidance"] == {"4": 1.5, "2": 1.5}
    assert {row["n"] for row in report["text"]} == {2}
    for name in ("grid.png", "film_strips/student-image-1.png", "report.md"):
        assert (run / name).stat().st_size > 100, name
    succeed("report", run)

    shutil.move(run / "student", tmp_path / "elsewhere")
    for folder in ("data", "runs", "mine"):
        shutil.rmtree(tmp_path / folder)
    pipeline = ShowoPipeline.from_pretrained(tmp_path / "elsewhere")
    assert pipeline.sampling.sampling_steps == 2
    assert pipeline.generate(["a red disc"]).images[0].size == (32, 32)
    assert pipeline.image_tokenizer.config.patch_size == 8


def ways_of_captions(folder):
    """The same two pictures with captions in every way that people have them."""
    for name in ("a.png", "sub/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16)).save(folder / name)
    coco = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "sub/b.png"}],
        "annotations": [
            {"image_id": 7, "caption": "an a"},
            {"image_id": 8, "caption": "a b"},
            {"image_id": 7, "caption": "once more"},
        ],
    }
    rows = [("a.png", "an a"), ("sub/b.png", "a b"), ("a.png", "once more")]
    table = "file_name,text\n" + "".join(f"{name},{text}\n" for name, text in rows)
    lines = [json.dumps({"image": name, "caption": text}) for name, text in rows]
    return {
        "coco.json": json.dumps(coco),
        "table.csv": "\ufeff" + table,
        "lines.jsonl": "\n".join(lines),
    }


def test_captions_as_people_have_them(tmp_path):
    images = tmp_path / "pictures"
    files = ways_of_captions(images)
    expected = [("a.png", ["an a", "once more"]), ("sub/b.png", ["a b"])]
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        assert read_captioned(images, tmp_path / name) == expected, name
    (images / "a.txt").write_text("an a\nonce more\n")
    (images / "sub/b.txt").write_text("a b")
    assert read_captioned(images) == expected
    (images / "metadata.csv").write_text(files["table.csv"].replace("once", "twice"))
    assert read_captioned(images)[0].captions == ["an a", "twice more"]


def test_a_split_keeps_pictures_whole(tmp_path):
    pictures = [CaptionedPicture(f"{n}.png", [f"one {n}", f"other {n}"]) for n in range(40)]
    shares = {"validation": 0.1, "test": 0.25}
    splits = divide_pictures(pictures, shares, seed=3)
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 26,
        "validation": 4,
        "test": 10,
    }
    together = [picture for part in splits.values() for picture in part]
    assert sorted(together, key=pictures.index) == pictures
    assert divide_pictures(pictures, shares, seed=3) == splits
    assert divide_pictures(pictures, shares, seed=4) != splits
    (tmp_path / "mine").mkdir()
    write_split(tmp_path / "out", tmp_path / "mine", splits, "What is it?")
    assert (tmp_path / "out/pictures").resolve() == tmp_path / "mine"
    read = CaptionFiles(tmp_path / "out/pictures", tmp_path / "out/train.json").captions()
    assert read == [caption for picture in splits["train"] for caption in picture.captions]
    every = json.loads((tmp_path / "out/train-questions.json").read_text())
    first = json.loads((tmp_path / "out/test-questions.json").read_text())
    assert (len(every), len(first)) == (52, 10)
    assert first[0]["conversations"] == [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": splits["test"][0].captions[0]},
    ]
    prompts = [item["prompt"] for item in PromptFile(tmp_path / "out/prompts/test.jsonl")]
    assert prompts == [picture.captions[0] for picture in splits["test"]]


@pytest.mark.bad_input
def test_what_cannot_be_split(pictures, mistake):
    def split(*options, images="mine/pictures"):
        return mistake("split-pictures", images, "out", *options)

    assert "holds no captions: neither a metadata.csv" in split()
    assert "is not a folder" in split(images="nowhere")
    named = ("--captions", "mine/captions.json")
    assert "share of test is 1.0; expected one between" in split(*named, "--test", 1)
    assert "24 images are too few for 24" in split(*named, "--test", 0.5, "--validation", 0.5)
    Path("bad.csv").write_text("picture,text\n000.png,a disc\n")
    assert "expected one of file_name, image, file, path" in split("--captions", "bad.csv")
    Path("bad.csv").write_text("image,text\n999.png,a disc\n")
    assert "999.png does not exist, but bad.csv has captions" in split("--captions", "bad.csv")
    assert not Path("out").exists()
    Path("out").mkdir()
    Path("out/mine").touch()
    assert "out holds files; name another folder, or give --overwrite" in split(*named)


@pytest.mark.bad_input
def test_no_text_tokenizer_to_train(pictures, mistake):
    train = ["train-text-tokenizer", "a.json"]
    assert "there are no texts to train on" in mistake(*train)
    captions = ["--captions.images", "mine/pictures", "--captions.annotations"]
    captions += ["mine/captions.json"]
    assert "size is 256; expected at least 257" in mistake(*train, "--size", 256, *captions)
    assert not Path("a.json").exists()
    Path("a.json").touch()
    assert "a.json exists; name another file, or give --overwrite" in mistake(*train, *captions)
