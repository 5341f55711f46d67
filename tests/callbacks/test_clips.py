"""What callbacks show and write of models of clips."""

import json

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from showo_turbo.callbacks import PredictionWriter, ReconstructionGrid, SampleGrid, SpeedupReport
from showo_turbo.callbacks import speedup_report as speedup_report_module
from showo_turbo.data.clips import read_frames
from showo_turbo.data.files import PromptFiles
from showo_turbo.evaluation import EvaluationPlan
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.training import PretrainMAGVITv2
from showo_turbo.training.prediction import predict

from ..clips import clip_networks, write_clip_model
from .runs import Bystander, Notes, make_trainer, turbo_data

PROMPTS = ["a red circle", "two squares"]


@pytest.fixture
def module():
    found = Bystander()
    found.student, image_tokenizer, found.text_tokenizer = clip_networks()
    found.image_tokenizer = image_tokenizer.requires_grad_(False)
    found.evaluation = EvaluationPlan()
    return found


def test_samples(tmp_path, module):
    grid = SampleGrid(PROMPTS, samplings=(ImageSampling(1),))
    make_trainer(tmp_path, grid).fit(module)
    with Image.open(tmp_path / "samples" / "epoch-0001.png") as image:
        assert image.width > 4 * 96


def test_reconstructions(tmp_path):
    clips = [{"pixels": torch.full((3, 9, 16, 16), value)} for value in (-1.0, 1.0)]
    trainer = make_trainer(tmp_path, ReconstructionGrid(), limit_val_batches=1.0)
    module = PretrainMAGVITv2(clip_networks()[1].config)
    trainer.fit(module, DataLoader(clips), DataLoader(clips, batch_size=2))
    (path,) = (tmp_path / "reconstructions").glob("*.png")
    with Image.open(path) as image:
        assert image.width > 3 * 4 * 96


@pytest.mark.parametrize("broken", [False, True])
def test_a_report(tmp_path, module, monkeypatch, broken):
    """With clips in place of film strips; it is written even if a figure cannot be drawn."""
    write_clip_model(tmp_path / "teacher")
    data = turbo_data(tmp_path)
    (tmp_path / "own.jsonl").write_text("\n".join(json.dumps({"prompt": p}) for p in PROMPTS))
    data.prompts = PromptFiles(tmp_path / "own.jsonl", [tmp_path / "own.jsonl"])
    data.val_instructions = None
    plan = EvaluationPlan(sampling_steps=(2, 1), guidance_scales=(0.0,), text_records=0)
    report = SpeedupReport(plan, {"teacher": tmp_path / "teacher"}, tmp_path / "r")
    notes = Notes()
    trainer = make_trainer(tmp_path, report, logger=notes)
    trainer.datamodule = data
    if broken:
        monkeypatch.delattr(speedup_report_module, "draw_report_pictures")
        with pytest.raises(NameError):
            report.on_fit_end(trainer, module)
    else:
        report.on_fit_end(trainer, module)
    found = json.loads((tmp_path / "r" / "report.json").read_text())
    assert {row["model"] for row in found["images"]} == {"teacher", "student"}
    assert found["seconds"]["validate"] >= 0 and (tmp_path / "r" / "report.md").is_file()
    pictures = {path.name for path in (tmp_path / "r").rglob("*.png")}
    assert pictures == (set() if broken else {"grid.png", "clip-1.png", "clip-2.png"})
    logged = {f"report/{name}" for name in ("grid", "film_strips/clips/clip-1")}
    assert broken or (logged < set(notes.pictures) and len(notes.pictures) == 3)


def test_predictions(tmp_path):
    bundle = LoadedModel(*clip_networks(), sampling=ImageSampling(1))
    stream = {"split": ["test"] * 2, "index": [0, 1], "prompt": PROMPTS}
    rows = predict(bundle, {"prompts": stream})
    assert [len(row["clip"]) for row in rows] == [9, 9]
    writer = PredictionWriter(tmp_path)
    trainer = make_trainer(tmp_path)
    writer.on_predict_start(trainer, Bystander())
    writer.write_on_batch_end(trainer, Bystander(), rows)
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
    for row, line in zip(rows, map(json.loads, lines), strict=True):
        assert line == {key: row[key] for key in stream} | {"file": f"test-0000{row['index']}.gif"}
        found = read_frames(tmp_path / line["file"], wanted=9)
        assert [frame.size for frame in found] == [(16, 16)] * 9
