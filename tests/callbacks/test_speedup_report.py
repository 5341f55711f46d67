import json

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image

from showo_turbo.callbacks import (
    Curriculum,
    EvaluationTable,
    ExportStudent,
    SpeedupReport,
)
from showo_turbo.callbacks import speedup_report as speedup_report_module
from showo_turbo.callbacks.speedup_report import evaluation_data
from showo_turbo.curriculum import Stage
from showo_turbo.data.files import PromptFiles
from showo_turbo.errors import UserError
from showo_turbo.evaluation import EvaluationPlan
from showo_turbo.evaluation import measurement as measurement_module
from showo_turbo.inference.generation_config import load_generation_config
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes.stories import ShapesStories
from showo_turbo.viz.page import read_runs, render_page

from ..evaluation.worlds import Brightness
from .runs import Bystander, Notes, make_trainer, turbo_data, turbo_module

SETTINGS = EvaluationPlan(
    sampling_steps=(4, 2),
    guidance_scales=(0.0,),
    guidance_candidates=(0.0, 1.0),
    stage_sampling_steps=(2,),
    prompts_per_category=2,
    validation_prompts_per_category=1,
    unseen_prompts_per_category=1,
    text_records=4,
    timed_texts=1,
    variety_prompts=2,
    variety_images=3,
    decoding=TextDecoding(max_new_tokens=20),
)
STAGE = {"epochs": 1, "image_trajectories": 4}


def callbacks():
    four, two = SamplingChanges(sampling_steps=4), SamplingChanges(sampling_steps=2)
    stages = [
        Stage(sampling=four, image_segments=2, **STAGE),
        Stage(sampling=two, image_segments=1, **STAGE),
    ]
    return [
        Curriculum(stages, batch_size=8),
        ExportStudent(),
        SpeedupReport(SETTINGS, film_strips=1),
    ]


@pytest.fixture(scope="module")
def notes():
    """What the logger of the run was given."""
    return Notes()


@pytest.fixture(scope="module")
def run(tmp_path_factory, notes):
    """A whole distillation in two stages, with the report at its end."""
    folder = tmp_path_factory.mktemp("run")
    trainer = make_trainer(folder, *callbacks(), max_epochs=-1, logger=notes)
    trainer.fit(turbo_module(folder), datamodule=turbo_data(folder))
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run / "report.json").read_text())


def test_models_and_settings(report):
    measured = {(row["model"], row["steps"]) for row in report["images"]}
    assert measured == {
        ("teacher", 4),
        ("teacher", 2),
        ("stage1", 2),
        ("student", 4),
        ("student", 2),
    }
    assert all(row["n"] == 12 for row in report["images"])
    assert {row["split"] for row in report["unseen_combinations"]} == {"unseen_combination"}
    assert len(report["text"]) == 6 and report["text"][0]["n"] == 4
    assert set(report["guidance"]) == {"4", "2"}


def test_seconds_of_the_phases(report):
    seconds = report["seconds"]
    assert len(seconds["collect"]) == len(seconds["fit"]) == 2
    assert seconds["validate"] > 0
    assert report["hardware"] and report["commit"]


def test_files(run):
    pictures = ("grid.png", "variety.png", "quality_by_steps.png")
    for name in ("report.json", "report.csv", "report.md", *pictures):
        assert (run / name).stat().st_size > 100, name
    assert (run / "film_strips" / "student-image-1.png").is_file()
    assert "| student |" in (run / "report.md").read_text()


def test_loggers_get_figures_and_pictures(run, report, notes):
    last = torch.load(run / "last.ckpt", weights_only=True)["global_step"]
    students = [
        row for row in report["images"] + report["unseen_combinations"] if row["model"] == "student"
    ]
    assert {row["split"] for row in students} == {"test", "unseen_combination"}
    for row in students:
        setting = f"{row['steps']}_steps_guidance_{row['guidance']:g}"
        for name in ("score", "seconds_per_image"):
            value, step = notes.values[f"report/{row['split']}/{name}/{setting}"]
            assert (value, step) == (pytest.approx(row[name], abs=1e-4), last)
    (jacobi, *_) = [
        row
        for row in report["text"]
        if (row["model"], row["decoding"], row["driver"]) == ("student", "jacobi", "block")
    ]
    for name in ("exact_match", "tokens_per_forward", "tokens_per_second"):
        value, _ = notes.values[f"report/jacobi/{name}"]
        assert value == pytest.approx(jacobi[name], rel=1e-2, abs=1e-3)
    drawn = {path.relative_to(run).with_suffix("").as_posix() for path in run.rglob("*.png")}
    drawn = {name for name in drawn if not name.startswith("world/")}  # the data is there, too
    assert {f"report/{name}" for name in drawn} == set(notes.pictures) and len(drawn) > 4
    picture, step = notes.pictures["report/grid"]
    with Image.open(run / "grid.png") as grid:
        assert np.array_equal(picture, np.asarray(grid.convert("RGB")))
    assert step == last


def test_variety_of_teacher_and_student(report):
    varied = {row["model"]: row["variety"] for row in report["images"] if "variety" in row}
    assert set(varied) == {"teacher", "student"}
    assert {row["counted"] for row in varied.values()} == {"right scenes"}
    assert {(row["n"], row["images"]) for row in varied.values()} == {(2, 3)}
    assert report["settings"]["variety_prompts"] == 2


def test_the_student_is_exported_with_its_ways(run):
    module = turbo_module(run)
    best = load_generation_config(run / "student")
    assert (best.sampling, best.decoding) == (module.sampling, module.decoding)


def test_a_killed_report_goes_on(run, report, monkeypatch):
    """The run is resumed after its last epoch; nothing is measured twice."""

    def refuse(*_, **__):
        pytest.fail("measured again")

    monkeypatch.setattr(measurement_module, "evaluate_images", refuse)
    monkeypatch.setattr(measurement_module, "evaluate_text", refuse)
    monkeypatch.setattr(measurement_module, "measure_variety", refuse)
    (run / "report.json").unlink()
    trainer = make_trainer(run, *callbacks(), max_epochs=-1)
    trainer.fit(turbo_module(run), datamodule=turbo_data(run), ckpt_path=run / "last.ckpt")
    again = json.loads((run / "report.json").read_text())
    assert again["images"] == report["images"]
    assert again["text"] == report["text"]


def test_named_models_need_no_curriculum(run, tmp_path, monkeypatch):
    monkeypatch.setattr(speedup_report_module, "draw_report_pictures", lambda *_, **__: [])
    models = {"teacher": run / "models" / "showo", "early": run / "student"}
    settings = EvaluationPlan(
        sampling_steps=(1,),
        guidance_scales=(0.0,),
        guidance_candidates=(0.0,),
        stage_sampling_steps=(1,),
        prompts_per_category=1,
        validation_prompts_per_category=1,
        unseen_prompts_per_category=1,
        text_records=0,
    )
    trainer = make_trainer(tmp_path, SpeedupReport(settings, models=models, folder=tmp_path / "r"))
    trainer.datamodule = turbo_data(run)
    report = trainer.callbacks[0]
    module = Bystander()
    report.setup(trainer, module, "fit")
    report.on_fit_start(trainer, module)
    report.on_fit_end(trainer, module)
    found = json.loads((tmp_path / "r" / "report.json").read_text())
    assert [row["model"] for row in found["images"]] == ["teacher", "early", "student"]
    assert found["text"] == []


def test_prompts_of_another_world_need_a_metric(run, tmp_path):
    """Without a judge: the metric chooses the teacher's guidance, and is what the report shows."""
    data = turbo_data(run)
    asked = {"tag": "counting", "include": [{"class": "bench"}]}
    benches = [asked | {"prompt": f"{n} benches"} for n in "ab"]
    for number, path in enumerate((tmp_path / "validation.jsonl", tmp_path / "own.jsonl")):
        path.write_text("\n".join(json.dumps(entry) for entry in benches[number:]))
    data.prompts = PromptFiles(tmp_path / "validation.jsonl", [tmp_path / "own.jsonl"])
    models = {"teacher": run / "models" / "showo"}
    scores = tmp_path / "scores"
    settings = EvaluationPlan(
        sampling_steps=(1,),
        guidance_scales=(0.0,),
        guidance_candidates=(0.0, 1.0),
        metrics=(Brightness(),),
        text_records=0,
    )
    report = SpeedupReport(settings, models=models, folder=tmp_path / "r", scores=scores)
    trainer = make_trainer(tmp_path, report)
    trainer.datamodule = data
    module = Bystander()
    with pytest.raises(UserError, match="ShapesChecker does not know what 'b benches' asks for"):
        SpeedupReport(models=models).setup(trainer, module, "fit")
    report.setup(trainer, module, "fit")
    report.on_fit_end(trainer, module)
    found = json.loads((tmp_path / "r" / "report.json").read_text())
    assert all("Brightness" in row["metrics"] for row in found["images"])
    assert {row["split"] for row in found["images"]} == {"own"}
    assert found["settings"]["metrics"] == ["Brightness"]
    assert "Brightness (own, n = 1)" in (tmp_path / "r" / "report.md").read_text()
    assert (tmp_path / "r" / "grid.png").is_file()
    assert any(scores.iterdir())


def test_prompts_that_nothing_judges(run, tmp_path):
    """Pictures, strips, steps and milliseconds, with the guidance that the teacher was given."""
    data = turbo_data(run)
    for number, name in enumerate(("validation.jsonl", "own.jsonl")):
        lines = [json.dumps({"prompt": f"a photo of a {n}"}) for n in ("bench", "dog")[number:]]
        (tmp_path / name).write_text("\n".join(lines))
    data.prompts = PromptFiles(tmp_path / "validation.jsonl", [tmp_path / "own.jsonl"])
    settings = EvaluationPlan(
        sampling_steps=(2, 1),
        guidance_scales=(0.0,),
        teacher_samplings=(ImageSampling(guidance_scale=1.5),),
        unguided_teacher=False,
        text_records=0,
    )
    models = {"teacher": run / "models" / "showo"}
    report = SpeedupReport(settings, models=models, folder=tmp_path / "r", film_strips=1)
    trainer = make_trainer(tmp_path, report)
    trainer.datamodule = data
    module = Bystander()
    module.evaluation = EvaluationPlan()
    report.setup(trainer, module, "fit")
    report.on_fit_end(trainer, module)
    found = json.loads((tmp_path / "r" / "report.json").read_text())
    measured = {(row["model"], row["steps"], row["guidance"]) for row in found["images"]}
    teacher = {("teacher", 2, 1.5), ("teacher", 1, 1.5)}
    assert measured == teacher | {("student", 2, 0.0), ("student", 1, 0.0)}
    assert found["guidance"] == {"2": 1.5, "1": 1.5}
    assert found["validation"] == found["comparisons"] == []
    assert all("score" not in row and row["seconds_per_image"] > 0 for row in found["images"])
    written = (tmp_path / "r" / "report.md").read_text()
    assert "Milliseconds per image" in written and "Prompts satisfied" not in written
    assert "Guidance of the teacher, as it was given: 1.5 at 2, 1.5 at 1 steps." in written
    pictures = {path.name for path in (tmp_path / "r").rglob("*.png")}
    assert pictures == {"grid.png", "teacher-image-1.png", "student-image-1.png"}
    html = render_page(read_runs([tmp_path / "r"]))
    assert "Milliseconds per image" in html and "<h2>Speed</h2>" in html
    assert "Prompts satisfied" not in html


def test_stories_are_told_where_a_source_is_named(run, tmp_path):
    """Without prompts and questions, as after a training on stories alone."""
    data = turbo_data(run)
    data.prompts = data.val_instructions = None
    stories = ShapesStories(tmp_path / "stories", count=3, split="test")
    settings = EvaluationPlan(sampling_steps=(2, 1), decoding=TextDecoding(max_new_tokens=6))
    models = {"teacher": run / "models" / "showo"}
    report = SpeedupReport(settings, models=models, folder=tmp_path / "r", stories=stories)
    notes = Notes()
    trainer = make_trainer(tmp_path, report, logger=notes)
    trainer.datamodule = data
    module = Bystander()
    report.setup(trainer, module, "fit")
    report.on_fit_start(trainer, module)
    report.on_fit_end(trainer, module)
    names = [f"film_strips/stories/story-{number}" for number in (1, 2)]
    assert {path.stem for path in (tmp_path / "r").rglob("*.png")} == {"story-1", "story-2"}
    assert set(notes.pictures) == {f"report/{name}" for name in names}
    html = render_page(read_runs([tmp_path / "r"]))
    assert "The same stories told by teacher and student" in html
    for name, story in zip(names, stories.stories(), strict=False):
        found = json.loads((tmp_path / "r" / f"{name}.json").read_text())
        assert found["asked"] == story.texts[0] and story.texts[0] in html
        settings_shown = [row["name"] for row in found["rows"]]
        assert settings_shown == ["teacher, 2 steps, no guidance", "student, 1 steps, no guidance"]
        assert all(len(row["steps"]) >= len(story.texts) - 1 for row in found["rows"])


@pytest.mark.bad_input
def test_stories_that_do_not_fit_are_found_before_training(run, tmp_path):
    settings = EvaluationPlan(decoding=TextDecoding(max_new_tokens=400))
    stories = ShapesStories(tmp_path / "stories", count=1, split="test")
    report = SpeedupReport(settings, {"teacher": run / "models" / "showo"}, stories=stories)
    trainer = make_trainer(tmp_path, report)
    with pytest.raises(UserError, match="a step of a story may take 440 tokens"):
        trainer.fit(turbo_module(run), datamodule=turbo_data(run))


def test_questions_are_spread_over_the_file(run):
    trainer = make_trainer(run)
    trainer.datamodule = turbo_data(run)
    few = evaluation_data(trainer, SETTINGS).texts
    every = evaluation_data(trainer, EvaluationPlan(text_records=None)).texts
    assert len(few) == 4 < len(every)
    places = [
        next(i for i, other in enumerate(every) if same_record(record, other)) for record in few
    ]
    assert places == sorted(set(places)), "different ones, in order"
    assert places[-1] >= len(every) // 2
    assert evaluation_data(trainer, SETTINGS, read_images=False).texts == []


def same_record(one, other):
    texts = (one.question, one.answer) == (other.question, other.answer)
    return texts and torch.equal(one.image, other.image)


@pytest.mark.bad_input
def test_bad_input_is_found_before_training(run, tmp_path):
    def fit(*listed, module=None, data=None):
        trainer = make_trainer(tmp_path, *listed)
        trainer.fit(module or turbo_module(run), datamodule=data or turbo_data(run))

    curriculum, _, report = callbacks()
    with pytest.raises(UserError, match="needs Curriculum listed before it"):
        fit(report, curriculum)
    other = turbo_data(run)
    other.prompts.test[0] = tmp_path / "prompts.jsonl"
    line = {"tag": "counting", "prompt": "two benches", "include": [{"class": "bench"}]}
    other.prompts.test[0].write_text(json.dumps(line))
    with pytest.raises(UserError, match="bench"):
        fit(curriculum, report, data=other)
    models = {"teacher": run / "models" / "showo"}
    with pytest.raises(UserError, match="steps is 64"):
        fit(SpeedupReport(EvaluationPlan(sampling_steps=(64,)), models=models))
    assert not (tmp_path / "curriculum").exists()
    assert not (tmp_path / "report.json").exists()


def test_settings_from_yaml():
    parser = ArgumentParser()
    parser.add_class_arguments(SpeedupReport, "report")
    given = {"sampling_steps": [4, 2], "guidance_candidates": [0, 1.5], "sampling": {"top_k": 5}}
    found = parser.instantiate_classes(parser.parse_object({"report": {"settings": given}})).report
    assert found.settings.sampling_steps == (4, 2)
    assert found.settings.guidance_candidates == (0.0, 1.5)
    assert found.settings.sampling.top_k == 5
    assert found.settings.seed == EvaluationPlan().seed


def test_nothing_under_fast_dev_run(run, tmp_path, capsys):
    report = SpeedupReport(SETTINGS)
    trainer = make_trainer(tmp_path, report, fast_dev_run=True)
    report.setup(trainer, Bystander(), "fit")
    report.on_fit_end(trainer, Bystander())
    assert list(tmp_path.iterdir()) == []


def test_validate_prints_the_table(run, capsys):
    """The real module measures, the callback shows."""
    notes = Notes()
    trainer = make_trainer(run, EvaluationTable(), limit_val_batches=1.0, logger=notes)
    trainer.validate(turbo_module(run), datamodule=turbo_data(run), verbose=False)
    shown = capsys.readouterr().out
    assert "2 steps" in shown and "Jacobi" in shown
    found = json.loads((run / "evaluation" / "validate.json").read_text())
    assert {row["steps"] for row in found["images"]} == {2, 1}
    for row in found["images"]:
        name = f"val/{row['split']}/score/{row['steps']}_steps_guidance_{row['guidance']:g}"
        assert notes.values[name][0] == pytest.approx(row["score"], abs=1e-4)
    (name,) = notes.pictures
    assert name == f"validate/{found['images'][0]['split']}"
