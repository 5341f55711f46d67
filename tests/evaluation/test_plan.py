"""What `validate` measures, on tiny networks: from batches to rows."""

from dataclasses import replace

import pytest
import torch
from torchmetrics import Metric

from showo_turbo.errors import UserError
from showo_turbo.evaluation import EvaluationPlan, Share, run
from showo_turbo.evaluation.data import GatheredBatches
from showo_turbo.evaluation.plan import ModelPlan
from showo_turbo.models.showo import ShowoConfig
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesChecker

from .worlds import Brightness, metadata, shapes_bundle


def batches(entries):
    prompts = {"split": ["test"] * len(entries), "metadata": entries}
    torch.manual_seed(0)
    questions = ["What is there?", "Describe the image."]
    answers = ["Yes.", "There is one shape on a black background. " * 2]
    pixels = torch.rand(2, 3, 24, 24) * 2 - 1
    records = {"pixels": pixels, "question": questions, "answer": answers}
    return [{"prompts": prompts}, {"instructions": records}]


def measure(entries=None, within_fit=False, teacher=None, **options):
    bundle = shapes_bundle()
    plan = EvaluationPlan(
        **{
            "sampling_steps": (4, 2),
            "guidance_scales": (0.0, 1.0),
            "decoding": TextDecoding(max_new_tokens=8),
            "checker": ShapesChecker(),
        }
        | options
    )
    gathered = GatheredBatches(bundle.image_tokenizer, Share())
    for batch in batches(metadata(1) if entries is None else entries):
        gathered.add(batch)
    data = gathered.data()
    if within_fit:
        plan = plan.during_fit()
        data = data.judged(plan)
    models = {"student": lambda: bundle}
    if teacher is not None:
        models["teacher"] = lambda: teacher
    return run(models, data, plan)


def settings(rows):
    return [(row.model, row.steps, row.guidance) for row in rows]


def test_images_and_text():
    report = measure()
    grid = [("student", steps, guidance) for guidance in (0.0, 1.0) for steps in (4, 2)]
    assert settings(report.images) == grid
    assert [row.driver for row in report.text] == [None, "block", "window"]
    assert all(row.cider_long is not None for row in report.text)
    assert report.top_k == []
    assert set(report.scalars("val")) >= {
        "val/test/score/4_steps_guidance_0",
        "val/jacobi/tokens_per_forward",
    }


def test_a_teacher_is_measured_first_and_is_another_network():
    report = measure(teacher=shapes_bundle(3), metrics=(Brightness(),))
    assert [model for model, *_ in settings(report.images)] == ["teacher"] * 4 + ["student"] * 4
    assert [row.model for row in report.text] == ["teacher"] * 3 + ["student"] * 3
    teacher, student = report.images[0], report.images[4]
    assert teacher.metrics["Brightness"] != student.metrics["Brightness"]
    assert report.scalars("val")["val/test/Brightness/4_steps_guidance_0"] == (
        pytest.approx(student.metrics["Brightness"])
    )


def test_top_k_changes_the_images():
    report = measure(tables=("top_k",), top_ks=(1, 24), metrics=(Brightness(),))
    assert report.images == [] and report.text == []
    assert [(row.top_k, row.steps) for row in report.top_k] == [(1, 4), (1, 2), (24, 4), (24, 2)]
    assert report.top_k[0].metrics != report.top_k[2].metrics


def test_prompts_of_another_world_are_for_the_metrics():
    bench = {"class": "bench", "count": 1}
    entries = [{"prompt": "a photo of a bench", "tag": "single_object", "include": [bench]}]
    report = measure(entries, metrics=(Brightness(),))
    assert not report.images[0].judged and report.images[0].metrics["Brightness"] != 0
    assert "val/test/score/4_steps_guidance_0" not in report.scalars("val")


def test_prompts_that_nobody_judges():
    bench = {"class": "bench", "count": 1}
    entries = [{"prompt": "a photo of a bench", "tag": "single_object", "include": [bench]}]
    with pytest.raises(UserError, match=r"nothing can judge the prompts of test.*name metrics"):
        measure(entries)
    report = measure(entries, within_fit=True)
    assert report.images == []


def test_the_teacher_is_sampled_in_its_own_way():
    own = ImageSampling(token_temperature=0.5, mask_schedule="pow")
    plan = EvaluationPlan(
        sampling_steps=(4,),
        guidance_scales=(1.0,),
        sampling=ImageSampling(shared_noise_seed=3),
        teacher_samplings=(own,),
    )
    assert images(plan) == [ImageSampling(4, 1.0, shared_noise_seed=3)]
    assert images(plan, "teacher") == [
        ImageSampling(4, 1.0, token_temperature=0.5, mask_schedule="pow")
    ]
    assert images(replace(plan, teacher_samplings=()), "teacher") == images(plan)


def images(plan, name="student"):
    return ModelPlan.of(name, plan, {}).images


class OfPixels(Metric):
    def update(self, pixels):
        raise NotImplementedError

    def compute(self):
        raise NotImplementedError


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling_steps": ()}, "sampling_steps of the evaluation is empty"),
        (
            {"decoding": TextDecoding(max_new_tokens=0)},
            "max_new_tokens is 0; it must be at least 1",
        ),
        ({"batch_size": 0}, "batch_size of the evaluation is 0"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"sampling_steps": (64,)}, "steps is 64; choose 1 to 36"),
        ({"fit_sampling_steps": (0,)}, "steps is 0; choose 1 to 36"),
        ({"guidance_scales": (-1.0,)}, "guidance_scale is -1.0"),
        ({"teacher_samplings": (ImageSampling(top_k=10**6),)}, "top_k is 1000000"),
        ({"guidance_candidates": (0.0, -1.0)}, "guidance_scale is -1"),
        ({"guidance_candidates": ()}, "guidance_candidates of the evaluation is empty"),
        ({"checker": "ShapesChecker"}, "checker of the evaluation is of the class str"),
        ({"tables": ("top_k",), "top_ks": (0,)}, "top_k is 0"),
        ({"metrics": (Brightness(), Brightness())}, "2 metrics are called 'Brightness'"),
        ({"metrics": (OfPixels(),)}, r"update of the metric OfPixels has the arguments \(pixels\)"),
    ],
)
def test_what_the_model_cannot_do_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        EvaluationPlan(**options).check(ShowoConfig(codebook_size=512, image_tokens=36))


def test_the_small_plan_within_fit():
    metrics = (Brightness(),)
    plan = EvaluationPlan(
        tables=("images", "top_k"),
        metrics=metrics,
        teacher="shapes",
        fit_sampling_steps=(8,),
    ).during_fit()
    assert plan.tables == ("images",) and plan.metrics == metrics and plan.teacher is None
    assert [sampling.sampling_steps for sampling in images(plan)] == [8]


OWN = ImageSampling(4, top_k=5, guidance_scale=3.0, guidance_end=1.0)
TEACHERS = ImageSampling(18, 2.0, confidence_temperature=10.0, shared_noise_seed=9)
TEXTS = TextDecoding(max_new_tokens=7)
CHECKER, METRIC = ShapesChecker(), Brightness()
MODULES = EvaluationPlan(
    sampling=OWN,
    teacher_samplings=(TEACHERS,),
    decoding=TEXTS,
    checker=CHECKER,
    metrics=(METRIC,),
)


def test_a_module_says_what_the_plan_does_not():
    plan = EvaluationPlan((4,), (0.0, 2.0), (1.0,)).filled_in(MODULES)
    assert images(plan) == [
        ImageSampling(4, top_k=5),  # no guidance at any step
        ImageSampling(4, top_k=5, guidance_scale=2.0, guidance_end=1.0),
    ]
    unguided = replace(TEACHERS, sampling_steps=4, guidance_scale=0.0)
    assert images(plan, "teacher")[0] == unguided
    assert plan.teacher_candidates() == [replace(TEACHERS, sampling_steps=4, guidance_scale=1.0)]
    assert plan.answering == TEXTS
    assert plan.checker is CHECKER and plan.metrics[0] is METRIC


def test_what_a_plan_says_stays():
    told = EvaluationPlan(
        sampling=TEACHERS, teacher_samplings=(OWN,), decoding=TextDecoding(max_new_tokens=3)
    ).filled_in(MODULES)
    assert (told.sampling, told.teacher_samplings) == (TEACHERS, (OWN,))
    assert told.decoding.max_new_tokens == 3
