import json
from dataclasses import replace

import pytest

from showo_turbo.errors import UserError
from showo_turbo.evaluation import (
    EvaluationData,
    ScoreCache,
    SpeedupSettings,
    measure_speedup,
)
from showo_turbo.evaluation import measurement as measurement_module
from showo_turbo.evaluation.speedup_settings import SamplingPlan
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.viz.report_pictures import draw_report_pictures

from .worlds import metadata, records, shapes_networks, shapes_showo

SETTINGS = SpeedupSettings(
    sampling_steps=(3, 2),
    guidance_candidates=(0.0, 1.0),
    stage_sampling_steps=(2,),
    teacher_samplings=(ImageSampling(), ImageSampling(token_temperature=0.5)),
    timed_texts=1,
    decoding=TextDecoding(max_new_tokens=20),
    batch_size=8,
)
DATA = EvaluationData(
    validation=metadata(1, "validation"),
    test=("test", metadata(1)),
    further={"unseen_combination": metadata(1, "unseen_combination")},
    texts=records(3),
)


@pytest.fixture(scope="module")
def networks():
    return shapes_networks()[1:]


@pytest.fixture(scope="module")
def models():
    teacher, stage, student = (shapes_showo(seed) for seed in range(3))
    return {"teacher": lambda: teacher, "stage1": lambda: stage, "student": lambda: student}


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scores")


@pytest.fixture(scope="module")
def report(models, networks, cache_folder):
    cache = ScoreCache(cache_folder)
    return measure_speedup(models, *networks, DATA, SETTINGS, cache, progress=False)


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
        ("student", "ar", None),
        ("student", "jacobi", "block"),
        ("student", "jacobi", "window"),
    ]


def test_plans_of_the_models():
    settings = SpeedupSettings(student_guidance=(0.0, 1.0))
    guidance = {16: 2.0, 8: 1.0, 4: 0.0, 2: 0.0}
    chosen = {steps: ImageSampling(steps, scale) for steps, scale in guidance.items()}

    def pairs(samplings):
        return [(sampling.sampling_steps, sampling.guidance_scale) for sampling in samplings]

    teacher, stage, student = (
        SamplingPlan.of(name, settings, chosen) for name in ("teacher", "stage1", "student")
    )
    unguided = [(16, 0.0), (8, 0.0), (4, 0.0), (2, 0.0)]
    assert pairs(teacher.test) == [*unguided, (16, 2.0), (8, 1.0)]
    guided = replace(settings, unguided_teacher=False)
    assert pairs(SamplingPlan.of("teacher", guided, chosen).test) == list(guidance.items())
    assert pairs(teacher.further) == [(16, 2.0)]
    assert pairs(teacher.shown) == list(guidance.items())
    assert pairs(stage.test) == [(4, 0.0), (2, 0.0)] and stage.further == []
    assert pairs(student.test) == unguided + [(steps, 1.0) for steps in (16, 8, 4, 2)]
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


def test_an_interrupted_report_goes_on(report, models, networks, cache_folder, monkeypatch):
    def refuse(*_, **__):
        pytest.fail("measured again")

    monkeypatch.setattr(measurement_module, "evaluate_images", refuse)
    monkeypatch.setattr(measurement_module, "evaluate_text", refuse)
    again = measure_speedup(
        models, *networks, DATA, SETTINGS, ScoreCache(cache_folder), progress=False
    )
    # Somebody may commit meanwhile: the version of the code is that of each call.
    assert again.to_dict() | {"commit": ""} == report.to_dict() | {"commit": ""}


def test_another_student_is_measured_anew(report, models, networks, cache_folder, monkeypatch):
    measured = []
    evaluate = measurement_module.evaluate_images

    def remember(*arguments, **options):
        measured.append(options["name"])
        return evaluate(*arguments, **options)

    monkeypatch.setattr(measurement_module, "evaluate_images", remember)
    other = shapes_showo(9)
    measure_speedup(
        {**models, "student": lambda: other},
        *networks,
        DATA,
        SETTINGS,
        ScoreCache(cache_folder),
        progress=False,
    )
    assert set(measured) == {"student"}


def test_equal_models_score_equally(models, networks, tmp_path):
    """Same prompts, same seeds: a student that is its teacher, with noisy sampling."""
    settings = SpeedupSettings(
        sampling_steps=(2,),
        guidance_candidates=(0.0,),
        stage_sampling_steps=(),
        sampling=ImageSampling(token_temperature=1.0, confidence_temperature=1.0),
        decoding=TextDecoding(max_new_tokens=12),
        timed_texts=0,
    )
    same = {"student": models["teacher"], "teacher": models["teacher"]}
    found = measure_speedup(same, *networks, DATA, settings, ScoreCache(tmp_path), progress=False)
    teacher, student = found.images
    assert (teacher.model, student.model) == ("teacher", "student")
    assert teacher.satisfied == student.satisfied
    assert found.comparisons[0]["difference"] == 0
    assert found.comparisons[-1]["agreement"] == 1.0


def test_parts_may_be_missing(models, networks, tmp_path):
    only_text = EvaluationData(texts=records(2))
    found = measure_speedup(
        models, *networks, only_text, SETTINGS, ScoreCache(tmp_path), progress=False
    )
    assert found.images == [] and len(found.text) == 5


def test_pictures(report, models, networks, tmp_path):
    files = draw_report_pictures(models, *networks, DATA, SETTINGS, report, tmp_path, film_strips=1)
    names = {str(file.relative_to(tmp_path)) for file in files}
    assert {
        "grid.png",
        "quality_by_steps.png",
        "film_strips/teacher-image-1.png",
        "film_strips/student-image-1.png",
    } <= names
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


@pytest.mark.bad_input
def test_bad_input(models, networks, tmp_path):
    cache = ScoreCache(tmp_path)
    with pytest.raises(UserError, match="expected a student"):
        measure_speedup(
            {"teacher": models["teacher"]}, *networks, DATA, SETTINGS, cache, progress=False
        )
    unchosen = EvaluationData(test=("test", metadata(1)))
    with pytest.raises(UserError, match="validation"):
        measure_speedup(models, *networks, unchosen, SETTINGS, cache, progress=False)
    with pytest.raises(UserError, match="steps is 50"):
        SpeedupSettings(sampling_steps=(50,)).check(shapes_showo())
    with pytest.raises(UserError, match="guidance_scale is -1"):
        SpeedupSettings(guidance_candidates=(0.0, -1.0)).check(shapes_showo())
    with pytest.raises(UserError, match="empty"):
        SpeedupSettings(sampling_steps=()).check(shapes_showo())


def test_a_module_says_what_the_settings_do_not():
    own, teachers = ImageSampling(4, 2.0, guidance_end=1.0, top_k=5), ImageSampling(18, top_k=3)
    settings = SpeedupSettings((4, 2), (1.0,), stage_sampling_steps=(2,))
    found = settings.filled_in(own, teachers, TextDecoding(max_new_tokens=7))
    assert found.teacher_candidates() == [ImageSampling(s, 1.0, top_k=3) for s in (4, 2)]
    plan = SamplingPlan.of("student", found, {})
    assert plan.test == [ImageSampling(4, top_k=5), ImageSampling(2, top_k=5)]
    assert found.decoding == TextDecoding(max_new_tokens=7)
    told = SpeedupSettings(sampling=teachers, teacher_samplings=(own,))
    again = told.filled_in(own, teachers, TextDecoding())
    assert (again.sampling, again.teacher_samplings) == (teachers, (own,))
