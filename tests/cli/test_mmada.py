"""A model whose text is denoised, in every command, by what its folder says."""

import copy
import json
import shutil
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from showo_turbo.inference import ShowoPipeline
from showo_turbo.models.checkpoints import resolve_folder

from ..tiny_mmada import ending_often, shapes_mmada

TEXTS = {"method": "block_diffusion", "max_new_tokens": 8, "block_size": 4}
SHORT = ["--max_new_tokens", 8, "--block_size", 4]
STAGE = {"epochs": 1, "image_trajectories": 8, "text_trajectories": 16}


@pytest.fixture(scope="module")
def mmada(tmp_path_factory):
    """A model folder: random weights, hardly any width, answers that end."""
    folder = tmp_path_factory.mktemp("mmada") / "model"
    network = shapes_mmada(
        text_vocabulary_size=656,
        vocabulary_size=656 + 512,
        image_tokenizer="shapes",
        layers=1,
    )
    ending_often(network, 8.0).save_pretrained(folder)
    shutil.copy(resolve_folder("shapes", "showo") / "tokenizer.json", folder)
    return folder


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (24, 24), "red").save("red.png")
    mask = Image.new("L", (24, 24))
    mask.paste(255, (0, 0, 12, 24))
    mask.save("mask.png")
    return "red.png"


def only_picture(folder):
    (path,) = folder.glob("*.png")
    return Image.open(path).convert("RGB").tobytes()


def test_generate(command, mmada, photo, tmp_path):
    run = ["generate", "a red circle", "--model", mmada, "--output", "out", "--seed", 3]
    result = command(*run, "--sampling_steps", 2)
    assert result.status == 0, result.errors
    drawn = ShowoPipeline.from_pretrained(mmada).generate("a red circle", sampling_steps=2, seeds=3)
    assert only_picture(tmp_path / "out") == drawn.images[0].tobytes()


def test_answer(command, mmada, photo, tmp_path):
    """By block diffusion, though neither the folder nor the command says so."""
    run = ["answer", photo, "--question", "What is it?", "--model", mmada, "--output", "out"]
    result = command(*run, *SHORT, "--sampling_steps", 4)
    assert result.status == 0, result.errors
    how = {"max_new_tokens": 8, "block_size": 4, "sampling_steps": 4}
    wanted = ShowoPipeline.from_pretrained(mmada).answer([photo], "What is it?", **how)
    (line,) = (tmp_path / "out/answers.jsonl").read_text().splitlines()
    assert wanted.tokens[0] and json.loads(line)["answer"] == wanted.texts[0]


def test_inpaint(command, mmada, photo, tmp_path):
    run = ["inpaint", photo, "--mask", "mask.png", "--prompt", "a star", "--model", mmada]
    result = command(*run, "--output", "out", "--sampling_steps", 2, "--seed", 5)
    assert result.status == 0, result.errors
    drawn = ShowoPipeline.from_pretrained(mmada).inpaint(
        [photo], "mask.png", "a star", sampling_steps=2, seeds=[5]
    )
    assert only_picture(tmp_path / "out") == drawn.images[0].tobytes()


def experiment(model, world, folder):
    """A distillation in two rounds; the second teacher is the first student."""
    terms = {
        "image": ("ImageRegularizer", {"weight": 1.0}),
        "image_jump": ("ImageConsistency", {"weight": 0.5}),
        "text": ("ImageRegularizer", {"weight": 1.0, "stream": "text"}),
        "text_jump": ("ImageConsistency", {"weight": 0.5, "stream": "text"}),
        "text_masked": ("MaskedTextLoss", {"weight": 0.1, "stream": "text"}),
        "language": ("MaskedTextLoss", {"weight": 0.1}),
    }
    losses = {
        name: {"class_path": kind, "init_args": options} for name, (kind, options) in terms.items()
    }
    stages = [
        STAGE | {"sampling": {"sampling_steps": 2}, "image_segments": 2, "text_segments": 2},
        STAGE
        | {
            "sampling": {"sampling_steps": 2},
            "decoding": {"sampling_steps": 4},
            "image_segments": 1,
            "text_segments": 1,
        },
    ]
    report = {
        "sampling_steps": [2, 1],
        "guidance_candidates": [1.0],
        "guidance_scales": [0.0],
        "stage_sampling_steps": [1],
        "prompts_per_category": 1,
        "validation_prompts_per_category": 1,
        "unseen_prompts_per_category": 1,
        "text_records": 2,
        "timed_texts": 1,
    }
    checkpoint = {"dirpath": f"{folder}/checkpoints", "save_last": True}
    return {
        "seed_everything": 0,
        "model": {
            "class_path": "ShowoTurbo",
            "init_args": {
                "student": str(model),
                "text_tokenizer": str(model),
                "losses": losses,
                "max_language_length": 16,
                "sampling": {"sampling_steps": 1},
                "decoding": TEXTS | {"sampling_steps": 2},
                "teacher_decoding": TEXTS | {"sampling_steps": 8},
                "evaluation": {
                    "sampling_steps": [1],
                    "fit_sampling_steps": [1],
                    "guidance_scales": [0.0],
                    "timed_texts": 1,
                    "checker": {"class_path": "ShapesChecker"},
                },
            },
        },
        "data": {
            "class_path": "DistillationDataModule",
            "init_args": {
                "resolution": 24,
                "shapes": {
                    "class_path": "ShapesWorld",
                    "init_args": {
                        "folder": str(world),
                        "images": 48,
                        "documents": 16,
                        "validation_images": 8,
                    },
                },
                "batch_sizes": {"image": 4, "text": 3, "language": 2},
                "prompts_per_category": 1,
                "val_batch_size": 8,
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "default_root_dir": folder,
            "max_epochs": -1,
            "num_sanity_val_steps": 0,
            "check_val_every_n_epoch": 1000,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "callbacks": [
                {
                    "class_path": "Curriculum",
                    "init_args": {"stages": stages, "batch_size": 8, "topk_targets": 4},
                },
                {
                    "class_path": "StepCheckpoint",
                    "init_args": checkpoint | {"save_on_train_epoch_end": True},
                },
                {"class_path": "ExportStudent"},
                {"class_path": "EvaluationTable"},
                {"class_path": "SpeedupReport", "init_args": {"settings": report}},
            ],
        },
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory, mmada, world):
    """A whole run, with the report at its end."""
    from showo_turbo.cli.main import main

    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = experiment(mmada, world, "runs")
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        patch.setattr("sys.argv", ["showo-turbo", "fit", "-c", "config.yaml"])
        main()
    return folder


def test_both_rounds_are_distilled(run):
    """Text and images of both teachers, the second of which answers in half the steps."""
    for number, steps in enumerate((8, 4)):
        folder = run / f"runs/curriculum/round-{number}"
        manifest = json.loads((folder / "texts/manifest.json").read_text())
        settings = manifest["identity"]["settings"]
        assert manifest["samples"] > 3 and manifest["totals"]["blocks"] > 3
        assert settings["decoding.method"] == "block_diffusion"
        assert settings["decoding.sampling_steps"] == steps
    before, after = (
        load_file(run / f"runs/{name}/pytorch_model.safetensors")
        for name in ("curriculum/round-0/teacher", "student")
    )
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    best = json.loads((run / "runs/student/generation_config.json").read_text())
    assert best["texts"]["method"] == "block_diffusion" and best["texts"]["sampling_steps"] == 2


def test_a_run_that_ends_early_is_resumed(command, run, mmada, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = experiment(mmada, world, "part")
    config["trainer"]["callbacks"] = config["trainer"]["callbacks"][:3]
    (tmp_path / "part.yaml").write_text(yaml.safe_dump(config))
    early = copy.deepcopy(config)
    early["trainer"]["max_epochs"] = 1
    (tmp_path / "early.yaml").write_text(yaml.safe_dump(early))
    assert command("fit", "-c", "early.yaml").status == 0
    result = command("fit", "-c", "part.yaml", "--resume", "auto")
    assert result.status == 0, result.errors[-3000:]
    resumed, whole = (
        load_file(folder / "student/pytorch_model.safetensors")
        for folder in (tmp_path / "part", run / "runs")
    )
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_validate(command, run, monkeypatch):
    monkeypatch.chdir(run)
    result = command("validate", "-c", "config.yaml", "--ckpt_path", "runs/checkpoints/last.ckpt")
    assert result.status == 0, result.errors[-3000:]
    found = json.loads((run / "runs/evaluation/validate.json").read_text())
    assert [row["decoding"] for row in found["text"]] == ["block_diffusion"]
    assert found["images"][0]["steps"] == 1


def test_report(command, run, monkeypatch):
    monkeypatch.chdir(run)
    found = json.loads((run / "runs/report.json").read_text())
    assert [(row["model"], row["decoding"], row["sampling_steps"]) for row in found["text"]] == [
        ("teacher", "block_diffusion", 8),  # its own way, and the student's
        ("teacher", "block_diffusion", 2),
        ("student", "block_diffusion", 2),
    ]
    own, as_student, _ = found["text"]
    assert own["tokens_per_forward"] < as_student["tokens_per_forward"]
    assert any("exact match, the student's minus" in row["figure"] for row in found["comparisons"])
    result = command("report", "runs", "--output", "page.html")
    assert result.status == 0, result.errors[-3000:]
    page = (run / "page.html").read_text()
    assert "block diffusion, 8 steps" in page
    result = command("trajectories", "runs/curriculum/round-0/texts", "--samples", 1)
    assert result.status == 0, result.errors[-3000:]
    assert list((run / "runs/curriculum/round-0/texts-strips").glob("text-*.png"))


def test_export(command, run, photo, tmp_path):
    """The folder stands alone: it draws and answers as the student that the run exported."""
    checkpoint = run / "runs/checkpoints/last.ckpt"
    result = command("export", checkpoint, "exported", "--decoding.block_size", 3)
    assert result.status == 2
    assert "block_size is 3, which does not divide max_new_tokens=8" in result.errors
    result = command("export", checkpoint, "exported", "--decoding.method", "jacobi")
    assert result.status == 2
    assert "method is 'jacobi', but MMaDA denoises its text" in result.errors
    assert not Path("exported").exists()
    result = command("export", checkpoint, "exported", "--decoding.reveal_order", "random")
    assert result.status == 0, result.errors[-3000:]
    written = json.loads(Path("exported/generation_config.json").read_text())["texts"]
    trained = json.loads((run / "runs/student/generation_config.json").read_text())["texts"]
    assert written == trained | {"reveal_order": "random"}
    result = command("export", checkpoint, "exported", "--overwrite")
    assert result.status == 0, result.errors[-3000:]
    alone, student = (
        ShowoPipeline.from_pretrained(folder) for folder in ("exported", run / "runs/student")
    )
    codes = [pipeline.generate("a star").codes for pipeline in (alone, student)]
    assert torch.equal(*codes)
    tokens = [pipeline.answer([photo], "What?").tokens for pipeline in (alone, student)]
    assert tokens[0] == tokens[1]


@pytest.mark.bad_input
class TestMistakes:
    @pytest.fixture(autouse=True)
    def in_a_folder_of_its_own(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def refused(self, mistake, mmada, world, stage=MappingProxyType({}), **options):
        config = experiment(mmada, world, "bad")
        config["model"]["init_args"] |= options
        curriculum = config["trainer"]["callbacks"][0]["init_args"]
        curriculum["stages"] = [curriculum["stages"][0] | stage]
        with open("bad.yaml", "w") as file:
            yaml.safe_dump(config, file)
        return mistake("fit", "-c", "bad.yaml")

    def test_jacobi_asked_of_a_model_that_has_none(self, mistake, mmada, world, photo, tmp_path):
        jacobi = {"max_new_tokens": 8}
        for name in ("teacher_decoding", "decoding"):
            line = self.refused(mistake, mmada, world, **{name: jacobi})
            assert "method is 'jacobi', but MMaDA denoises its text" in line
        line = self.refused(mistake, mmada, world, evaluation={"decoding": jacobi})
        assert "method is 'jacobi', but MMaDA denoises its text" in line
        assert not (tmp_path / "bad/curriculum").exists()

    def test_answers_longer_than_the_model_has_room_for(self, mistake, mmada, world, tmp_path):
        decoding = TEXTS | {"max_new_tokens": 400, "block_size": 4}
        for name in ("teacher_decoding", "decoding"):
            line = self.refused(mistake, mmada, world, **{name: decoding})
            assert "max_new_tokens is 400, but question and answer together have at most" in line
        assert not (tmp_path / "bad/curriculum").exists()

    def test_draws_for_text_from_left_to_right(self, mistake, mmada, world, tmp_path):
        draws = {"class_path": "GrowingNoise"}
        line = self.refused(mistake, mmada, world, stage={"text_draws": draws})
        assert "stage 1: text_draws is GrowingNoise, but the model denoises its text" in line
        assert not (tmp_path / "bad/curriculum").exists()

    def test_terms_for_text_from_left_to_right(self, mistake, mmada, world, photo, tmp_path):
        losses = {"mine": {"class_path": "TextConsistency"}}
        line = self.refused(mistake, mmada, world, losses=losses)
        assert "losses.mine is TextConsistency on the stream text, for text that is written" in line
        assert not (tmp_path / "bad/curriculum").exists()

    def test_steps_that_the_segments_do_not_divide(self, mistake, mmada, world, photo):
        decoding = TEXTS | {"sampling_steps": 6}
        line = self.refused(mistake, mmada, world, teacher_decoding=decoding)
        assert "stage 1: 2 segments do not divide 3 steps" in line
