"""Teacher, stages and student measured together, as at the end of a run."""

import json
import re
from dataclasses import replace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.evaluation import EvaluationData, EvaluationPlan, ScoreCache, run
from showo_turbo.evaluation import measurement as measurement_module
from showo_turbo.evaluation.plan import ModelPlan
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesChecker
from showo_turbo.viz import report_pictures
from showo_turbo.viz.report_pictures import draw_report_pictures

from .worlds import Brightness, metadata, records, shapes_bundle

PLAN = EvaluationPlan(
    sampling_steps=(3, 2),
    guidance_scales=(0.0,),
    guidance_candidates=(0.0, 1.0),
    stage_sampling_steps=(2,),
    teacher_samplings=(ImageSampling(), ImageSampling(token_temperature=0.5)),
    timed_texts=1,
    checker=ShapesChecker(),
    decoding=TextDecoding(max_new_tokens=20),
    batch_size=8,
)
DATA = EvaluationData(
    prompts={"test": metadata(1)},
    choice=metadata(1, "validation"),
    further={"unseen_combination": metadata(1, "unseen_combination")},
    texts=records(3),
)


@pytest.fixture(scope="module")
def models():
    teacher, stage, student = (shapes_bundle(seed) for seed in range(3))
    return {"teacher": lambda: teacher, "stage1": lambda: stage, "student": lambda: student}


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scores")


@pytest.fixture(scope="module")
def report(models, cache_folder):
    return run(models, DATA, PLAN, ScoreCache(cache_folder))


def test_what_is_measured(report):
    measured = [(row.model, row.steps, row.guidance) for row in report.images]
    chosen = [("teacher", s, g) for s, g in report.guidance.items() if g > 0]
    assert measured == [
        ("teacher", 3, 0.0),
        ("teacher", 2, 0.0),
        *chosen,
        ("stage1", 2, 0.0),
        ("student", 3, 0.0),
        ("student", 2, 0.0),
    ]
    assert len(report.validation) == 8
    ways = [row.sampling for row in report.validation]
    assert ways[:4] == [{}] * 4 and ways[4:] == [{"token_temperature": 0.5}] * 4
    shown = {row.steps: row.sampling for row in report.images if row.model == "teacher"}
    assert {steps: entry.token_temperature for steps, entry in report.teacher_sampling.items()} == {
        steps: entry.get("token_temperature", 0.0) for steps, entry in shown.items()
    }
    assert {row.split for row in report.validation} == {"validation"}
    assert {row.split for row in report.images} == {"test"}
    unseen = [(row.model, row.steps) for row in report.unseen_combinations]
    assert unseen == [("teacher", 3), ("student", 2)]
    assert [(row.model, row.decoding, row.driver) for row in report.text] == [
        ("teacher", "ar", None),
        ("teacher", "jacobi", "block"),
        ("teacher", "jacobi", "window"),
        ("student", "ar", None),
        ("student", "jacobi", "block"),
        ("student", "jacobi", "window"),
    ]


def test_plans_of_the_models():
    settings = EvaluationPlan(guidance_scales=(0.0, 1.0))
    guidance = {16: 2.0, 8: 1.0, 4: 0.0, 2: 0.0}
    chosen = {steps: ImageSampling(steps, scale) for steps, scale in guidance.items()}

    def pairs(samplings):
        return [(sampling.sampling_steps, sampling.guidance_scale) for sampling in samplings]

    teacher, stage, student = (
        ModelPlan.of(name, settings, chosen) for name in ("teacher", "stage1", "student")
    )
    unguided = [(16, 0.0), (8, 0.0), (4, 0.0), (2, 0.0)]
    assert pairs(teacher.images) == [*unguided, (16, 2.0), (8, 1.0)]
    guided = replace(settings, unguided_teacher=False)
    assert pairs(ModelPlan.of("teacher", guided, chosen).images) == list(guidance.items())
    assert pairs(teacher.further) == [(16, 2.0)]
    assert pairs(teacher.shown) == list(guidance.items())
    assert pairs(stage.images) == [(4, 0.0), (2, 0.0)] and stage.further == []
    assert pairs(student.images) == unguided + [(steps, 1.0) for steps in (16, 8, 4, 2)]
    assert pairs(student.further) == [(4, 0.0), (2, 0.0)]
    assert pairs(student.shown) == unguided[1:]


def test_the_report_can_be_written(report, tmp_path):
    report.write(tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["settings"]["sampling_steps"] == [3, 2]
    assert found["settings"]["n_test"] == 6
    assert found["settings"]["n_further"] == {"unseen_combination": 5}
    assert found["seconds"]["validate"] >= 0
    assert found["hardware"] and found["commit"]


def refuse(*_, **__):
    pytest.fail("measured again")


def test_an_interrupted_report_goes_on(report, models, cache_folder, monkeypatch):
    monkeypatch.setattr(measurement_module, "evaluate_images", refuse)
    monkeypatch.setattr(measurement_module, "evaluate_text", refuse)
    again = run(models, DATA, PLAN, ScoreCache(cache_folder))
    # Somebody may commit meanwhile: the version of the code is that of each call.
    assert again.to_dict() | {"commit": ""} == report.to_dict() | {"commit": ""}


def test_another_student_is_measured_but_no_teacher(report, models, cache_folder, monkeypatch):
    measured = []
    evaluate = measurement_module.evaluate_images

    def remember(*arguments, **options):
        measured.append(options["name"])
        return evaluate(*arguments, **options)

    monkeypatch.setattr(measurement_module, "evaluate_images", remember)
    other = shapes_bundle(9)
    run({**models, "student": lambda: other}, DATA, PLAN, ScoreCache(cache_folder))
    assert set(measured) == {"student"}


def test_equal_models_score_equally(models):
    """Same prompts, same seeds: a student that is its teacher, with noisy sampling."""
    plan = EvaluationPlan(
        sampling_steps=(2,),
        guidance_scales=(0.0,),
        guidance_candidates=(0.0,),
        stage_sampling_steps=(),
        checker=ShapesChecker(),
        sampling=ImageSampling(token_temperature=1.0, confidence_temperature=1.0),
        decoding=TextDecoding(max_new_tokens=12),
        timed_texts=0,
    )
    same = {"student": models["teacher"], "teacher": models["teacher"]}
    found = run(same, DATA, plan)
    teacher, student = found.images
    assert (teacher.model, student.model) == ("teacher", "student")
    assert teacher.satisfied == student.satisfied
    assert found.comparisons[0]["difference"] == 0
    assert found.comparisons[-1]["agreement"] == 1.0


def test_parts_may_be_missing(models):
    found = run(models, EvaluationData(texts=records(2)), PLAN)
    assert found.images == [] and len(found.text) == 6


def test_variety_of_teacher_and_student(models, tmp_path, monkeypatch):
    """Where the plan asks for it, kept like the scores, and shown with the same seeds."""
    noisy = ImageSampling(token_temperature=1.0)
    options = {"variety_prompts": 2, "variety_images": 3, "tables": ("images",)}
    plan = replace(PLAN, sampling=noisy, teacher_samplings=(ImageSampling(),), **options)
    found = run(models, DATA, plan, ScoreCache(tmp_path / "scores"))
    measured = {(row.model, row.steps): row.variety for row in found.images if row.guidance == 0}
    assert measured.pop(("stage1", 2)) is None
    assert set(measured) == {(name, steps) for name in ("teacher", "student") for steps in (3, 2)}
    assert all((row.n, row.images) == (2, 3) for row in measured.values())
    assert measured["teacher", 3].code_entropy == (0.0, 0.0), "one image whatever the seed"
    assert min(measured["student", 3].code_entropy) > 0
    assert all(row.variety is None for row in (*found.validation, *found.unseen_combinations))
    grids = {}
    monkeypatch.setattr(
        report_pictures, "draw_image_grid", lambda *parts: grids.update({parts[2].name: parts})
    )
    files = draw_report_pictures(models, DATA, plan, found, tmp_path, film_strips=0)
    assert tmp_path / "variety.png" in files
    prompts, columns, _ = grids["variety.png"]
    assert len(prompts) == 2 and all(len(column.pixels) == 2 for column in columns)
    seeds = [(column.title.split()[0], column.title.splitlines()[-1]) for column in columns]
    assert seeds == [("teacher", "seed 1"), *(("student", f"seed {i}") for i in (1, 2, 3))]
    assert not torch.equal(columns[1].pixels, columns[2].pixels)
    monkeypatch.setattr(measurement_module, "measure_variety", refuse)
    again = run(models, DATA, plan, ScoreCache(tmp_path / "scores"))
    assert [row.variety for row in again.images] == [row.variety for row in found.images]
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        more = replace(plan, variety_images=4)
        run(models, DATA, more, ScoreCache(tmp_path / "scores"))


def test_pictures(report, models, tmp_path):
    plan = replace(PLAN, sampling_steps=(3, 2, 1))
    files = draw_report_pictures(models, DATA, plan, report, tmp_path, film_strips=1)
    names = {str(file.relative_to(tmp_path)) for file in files}
    assert {
        "grid.png",
        "quality_by_steps.png",
        "film_strips/teacher-image-1.png",
        "film_strips/student-image-1.png",
        "film_strips/student-image-1-in-1.png",
    } <= names
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


BENCHES = [
    {"prompt": f"a photo of {count} benches", "tag": "counting", "include": [{"class": "bench"}]}
    for count in range(3)
]
OTHER_WORLD = EvaluationData({"test": BENCHES}, choice=BENCHES[:2], texts=records(1))


def test_prompts_of_another_world_are_for_the_metrics(models, tmp_path):
    """The first metric chooses the teacher's guidance, and is the quality in the pictures."""
    plan = replace(PLAN, checker=None, metrics=(Brightness(),))
    found = run(models, OTHER_WORLD, plan, ScoreCache(tmp_path / "scores"))
    assert not any(row.judged for row in found.images)
    for steps, sampling in found.teacher_sampling.items():
        tried = {
            (row.guidance, row.sampling.get("token_temperature", 0.0)): row.metrics["Brightness"]
            for row in found.validation
            if row.steps == steps
        }
        chosen = (sampling.guidance_scale, sampling.token_temperature)
        assert tried[chosen] == max(tried.values())
    files = draw_report_pictures(models, OTHER_WORLD, plan, found, tmp_path, film_strips=0)
    assert [file.name for file in files] == ["grid.png", "quality_by_steps.png"]
    found.write(tmp_path)
    rows = json.loads((tmp_path / "report.json").read_text())["images"]
    assert all("Brightness" in row["metrics"] and "score" not in row for row in rows)
    # Kept with the metrics: others are measured.
    again = run(models, OTHER_WORLD, plan, ScoreCache(tmp_path / "scores"))
    assert again.images == found.images
    assert again.images[0].metrics == found.images[0].metrics
    other = replace(plan, metrics=(Brightness(scale=2.0),))
    doubled = run(models, OTHER_WORLD, other, ScoreCache(tmp_path / "scores"))
    assert doubled.images[0].metrics["Brightness"] == pytest.approx(
        2 * found.images[0].metrics["Brightness"]
    )


def test_a_log_has_whole_lines(models, capsys):
    """With milliseconds where nothing judges."""
    plan = replace(
        PLAN,
        checker=None,
        sampling_steps=(2,),
        teacher_samplings=(ImageSampling(guidance_scale=1.5),),
        unguided_teacher=False,
    )
    run(models, replace(OTHER_WORLD, choice=BENCHES[:1]), plan, progress=True)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    drawn = [line for line in lines if "guidance" in line]
    names = [re.sub(r": \d+\.\d ms an image \(test, n = 3\)$", "", line) for line in drawn]
    assert names == [
        "teacher, 2 steps, guidance 1.5",
        "stage1, 2 steps, guidance 0",
        "student, 2 steps, guidance 0",
    ]
    answered = [line for line in lines if "answers" in line]
    assert len(answered) == 6 and all(line.endswith("(n = 1)") for line in answered)


@pytest.mark.bad_input
def test_bad_input(models):
    with pytest.raises(UserError, match="expected a student"):
        run({"teacher": models["teacher"]}, DATA, PLAN)
    with pytest.raises(UserError, match="expected a teacher"):
        run({"student": models["student"]}, DATA, PLAN)
    with pytest.raises(UserError, match=r"nothing can judge the prompts of test.*name metrics"):
        run(models, OTHER_WORLD, PLAN)
