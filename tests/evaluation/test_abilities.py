"""How changing images is measured, with networks that answer as they are told."""

from dataclasses import replace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.evaluation import (
    ABILITIES,
    AbilityScore,
    EvaluationData,
    EvaluationPlan,
    Report,
    ScoreCache,
    Share,
    ability_figures,
    change_images,
    evaluate_ability,
    report_figures,
    run,
)
from showo_turbo.evaluation import abilities as abilities_module
from showo_turbo.evaluation import measurement as measurement_module
from showo_turbo.evaluation.abilities import masks_of
from showo_turbo.evaluation.ability_scores import case_seed, judge_changes
from showo_turbo.evaluation.plan import ModelPlan
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes import ShapesChecker
from showo_turbo.trajectories import Checker
from showo_turbo.viz.changed_pictures import before_columns
from showo_turbo.viz.report_pictures import draw_report_pictures

from .worlds import metadata, shapes_bundle

CHECKER = ShapesChecker()
SAMPLING = ImageSampling(2)


@pytest.fixture(scope="module")
def bundle():
    return shapes_bundle()


def cases(ability, count=4):
    return CHECKER.ability_cases(ability, count)


@pytest.mark.parametrize("ability", ABILITIES)
def test_what_is_kept_and_what_is_drawn(bundle, ability):
    own = cases(ability)
    given = bundle.image_tokenizer.encode(torch.stack([case.pixels for case in own]))
    given = given.reshape(-1, 6, 6)
    found = change_images(bundle, own, SAMPLING, range(4))
    drawn = change_images(bundle, own, SAMPLING, range(4), regenerate=True)
    assert found.codes.shape == drawn.codes.shape
    assert found.pixels.shape[-2:] == (24, 48 if ability == "extrapolation" else 24)
    if ability == "inpainting":
        masked = masks_of(own, 6).reshape(-1, 6, 6)
        assert torch.equal(found.codes[~masked], given[~masked])
        assert not torch.equal(found.codes[masked], given[masked])
        assert torch.equal(found.known, given.masked_fill(masked, -1))
    elif ability == "extrapolation":
        assert torch.equal(found.codes[..., :6], given)
        assert torch.equal(found.known[..., :6], given) and (found.known[..., 6:] == -1).all()
    else:
        assert (found.known == -1).all()
    assert found.codes_unchanged() == [True] * 4
    if ability != "editing":
        assert drawn.codes_unchanged() == [False] * 4, "of a random network"


def test_regenerating_is_drawing_the_prompt(bundle):
    """Whatever the image was."""
    own = cases("editing")
    black = [replace(case, pixels=-torch.ones(3, 24, 24)) for case in own]
    images = [change_images(bundle, c, SAMPLING, range(4), regenerate=True) for c in (own, black)]
    assert torch.equal(images[0].codes, images[1].codes)
    edited = [change_images(bundle, c, SAMPLING, range(4)) for c in (own, black)]
    assert not torch.equal(edited[0].codes, edited[1].codes)


@pytest.mark.parametrize("ability", ["inpainting", "extrapolation"])
def test_a_single_code_that_changed_is_found(bundle, ability, monkeypatch):
    own = cases(ability)
    found = change_images(bundle, own, SAMPLING, range(4))
    row, column = (found.known[2] >= 0).nonzero()[-1].tolist()
    found.codes[2, row, column] = (found.codes[2, row, column] + 1) % 512
    marks = judge_changes(CHECKER, own, found)
    assert [unchanged for _, unchanged in marks] == [True, True, False, True]
    inpaint = abilities_module.inpaint_codes
    extrapolate = abilities_module.extrapolate_codes

    def spoil(codes):
        codes[0].view(-1)[0] += 1  # of the first case, which keeps its top left code
        return codes

    monkeypatch.setattr(abilities_module, "inpaint_codes", lambda *a: spoil(inpaint(*a)))
    monkeypatch.setattr(abilities_module, "extrapolate_codes", lambda *a: spoil(extrapolate(*a)))
    own = [case for case in cases(ability, 12) if case.mask is None or case.mask[0, 0] == 0]
    score = evaluate_ability(bundle, CHECKER, own, SAMPLING)
    assert score.unchanged == (False, *([True] * (len(own) - 1)))


def test_neither_batches_nor_processes_matter(bundle):
    own = cases("editing", 5)
    sampling = ImageSampling(2, 1.0, token_temperature=1.0)
    whole = evaluate_ability(bundle, CHECKER, own, sampling, name="student")
    assert evaluate_ability(bundle, CHECKER, own, sampling, name="student", batch_size=2) == whole
    first = Share(0, 2).indices(5)
    seeds = [case_seed(0, index) for index in first]
    alone = change_images(bundle, [own[index] for index in first], sampling, seeds)
    together = change_images(bundle, own, sampling, [case_seed(0, i) for i in range(5)])
    assert torch.equal(alone.codes, together.codes[list(first)])


def made_score(**changes):
    marks = (True, True, True, False), (True, True, False, False)
    tasks = ("restore", "replace", "restore", "replace")
    score = AbilityScore("student", "inpainting", False, 4, 0.0, tasks, *marks, 0.5, 4)
    return replace(score, **changes)


def test_shares_by_hand():
    found = made_score().to_dict()
    assert (found["satisfied"], found["unchanged"], found["joint"]) == (0.75, 0.5, 0.5)
    # Wilson's interval of 2 of 4.
    assert found["joint_ci95"] == [0.15, 0.85]
    assert found["milliseconds"] == 125.0 and found["n"] == 4
    assert found["by_task"]["restore"] == {"joint": 0.5, "satisfied": 1.0, "unchanged": 0.5, "n": 2}
    assert found["by_task"]["replace"] == {"joint": 0.5, "satisfied": 0.5, "unchanged": 0.5, "n": 2}


def test_tables_and_files(tmp_path):
    rows = [
        made_score(),
        made_score(steps=16),
        made_score(regenerated=True, unchanged=(False,) * 4),
    ]
    report = Report(abilities=rows)
    (table,) = report_figures(report)
    assert table == ability_figures([row.to_dict() for row in rows])[0]
    assert table.header == ["model", "way", "16 steps", "4 steps"]
    cell = "0.500 [0.15, 0.85] (0.75, 0.50)"
    assert table.rows[0] == ["student", "changed, guidance 0", cell, cell]
    assert table.rows[1][1:3] == ["regenerated, guidance 0", ""]
    assert table.title.startswith("Inpainting:") and table.title.endswith("n = 4)")
    report.write(tmp_path)
    lines = (tmp_path / "report.csv").read_text().splitlines()
    assert sum("inpainting/joint,student" in line for line in lines) == 2
    assert sum('"inpainting, regenerated/joint",student' in line for line in lines) == 1
    scalars = report.scalars("val")
    assert scalars == {
        "val/inpainting/joint/4_steps_guidance_0": 0.5,
        "val/inpainting/joint/16_steps_guidance_0": 0.5,
    }


PLAN = EvaluationPlan(
    sampling_steps=(3, 2),
    guidance_scales=(0.0,),
    tables=("images",),
    checker=CHECKER,
    abilities=2,
    batch_size=8,
)


def test_a_plan_measures_teacher_and_student(bundle, tmp_path, monkeypatch):
    other = shapes_bundle(1)
    models = {"teacher": lambda: bundle, "student": lambda: other}
    data = EvaluationData(prompts={"test": metadata(1)})
    found = run(models, data, PLAN, ScoreCache(tmp_path / "scores"))
    settings = [(row.model, row.ability, row.steps, row.regenerated) for row in found.abilities]
    assert settings == [
        (model, ability, steps, regenerated)
        for model in ("teacher", "student")
        for ability in ABILITIES
        for steps in (3, 2)
        for regenerated in (False, True)
    ]
    assert all(row.n == 2 for row in found.abilities)
    files = draw_report_pictures(models, data, PLAN, found, tmp_path, film_strips=0)
    pictures = {f"abilities-{ability}.png" for ability in ABILITIES}
    assert pictures <= {file.name for file in files}
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)

    def fail(*_, **__):
        pytest.fail("measured again")

    monkeypatch.setattr(measurement_module, "evaluate_ability", fail)
    again = run(models, data, PLAN, ScoreCache(tmp_path / "scores"))
    assert again.abilities == found.abilities
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        run(models, data, replace(PLAN, abilities=3), ScoreCache(tmp_path / "scores"))


def test_settings_in_which_images_are_changed():
    plan = EvaluationPlan(abilities=1, checker=CHECKER)
    chosen = {16: ImageSampling(16, 2.0), 4: ImageSampling(4, 1.0)}
    teacher = ModelPlan.of("teacher", plan, chosen).changing
    assert [(s.sampling_steps, s.guidance_scale) for s in teacher] == [(16, 2.0), (4, 1.0)]
    student = ModelPlan.of("student", plan, chosen).changing
    assert [(s.sampling_steps, s.guidance_scale) for s in student] == [
        (steps, 0.0) for steps in (16, 8, 4, 2)
    ]
    assert plan.during_fit().abilities == 0


def test_columns_before():
    grown = cases("extrapolation", 2)
    (before,) = before_columns(grown, 48)
    assert before.pixels.shape == (2, 3, 24, 48)
    assert torch.equal(before.pixels[0, ..., :24], grown[0].pixels)
    assert (before.pixels[..., 24:] == 0.5).all()
    masked = cases("inpainting", 2)
    _, mask = before_columns(masked, 24)
    assert torch.equal(mask.pixels[1, 2] == 1, masked[1].mask == 1)
    assert set(mask.pixels.unique().tolist()) == {-1.0, 1.0}


class Plain(Checker):
    """A checker that makes no images to change."""

    def can_judge(self, prompt):
        return True

    def judge(self, pixels, prompts):
        return [True] * len(pixels)


@pytest.mark.bad_input
def test_bad_input(bundle):
    for checker, kind in ((None, "missing"), (Plain(), "a Plain")):
        plan = EvaluationPlan(abilities=3, checker=checker)
        with pytest.raises(UserError, match=rf"abilities of the evaluation is 3.*is {kind}"):
            plan.check(bundle.network.config)
    with pytest.raises(UserError, match="abilities of the evaluation is -1"):
        EvaluationPlan(abilities=-1)
    with pytest.raises(UserError, match="there are no cases"):
        evaluate_ability(bundle, CHECKER, [], SAMPLING)
