"""What `validate` measures, on tiny networks."""

from dataclasses import replace

import pytest
import torch
from torchmetrics import Metric

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.training.evaluation import EvaluationGrid, Evaluator

from ..evaluation.worlds import metadata, shapes_networks


class Brightness(Metric):
    """The mean of all pixels, in place of a network's judgment."""

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, pixels, metadata):
        assert len(pixels) == len(metadata)
        self.total += pixels.mean(dim=(1, 2, 3)).sum()
        self.count += len(pixels)

    def compute(self):
        return self.total / self.count


def batches(entries):
    prompts = {"split": ["test"] * len(entries), "metadata": entries}
    torch.manual_seed(0)
    questions = ["What is there?", "Describe the image."]
    answers = ["Yes.", "There is one shape on a black background. " * 2]
    pixels = torch.rand(2, 3, 24, 24) * 2 - 1
    records = {"pixels": pixels, "question": questions, "answer": answers}
    return [{"prompts": prompts}, {"instructions": records}]


def measure(entries=None, within_fit=False, **options):
    model, image_tokenizer, text_tokenizer = shapes_networks()
    grid = EvaluationGrid(
        **{
            "sampling_steps": (4, 2),
            "guidance_scales": (0.0, 1.0),
            "decoding": TextDecoding(max_new_tokens=8),
        }
        | options
    )
    evaluator = Evaluator(model, image_tokenizer, text_tokenizer, grid, within_fit)
    for batch in batches(metadata(1) if entries is None else entries):
        evaluator.update(batch)
    return evaluator, evaluator.compute()


def settings(rows):
    return [(row.model, row.steps, row.guidance) for row in rows]


def test_images_and_text():
    evaluator, rows = measure()
    grid = [("student", steps, guidance) for guidance in (0.0, 1.0) for steps in (4, 2)]
    assert settings(rows["images"]) == grid
    assert [row.driver for row in rows["text"]] == [None, "block", "window"]
    assert all(row.cider_long is not None for row in rows["text"])
    assert rows["top_k"] == []
    assert set(evaluator.scalars("val")) >= {
        "val/test/score/4_steps_guidance_0",
        "val/jacobi/tokens_per_forward",
    }


def test_a_baseline_is_measured_first_and_is_another_network(tmp_path):
    shapes_networks(seed=3)[0].save_pretrained(tmp_path)
    evaluator, rows = measure(baseline=str(tmp_path), metrics=(Brightness(),))
    assert [model for model, *_ in settings(rows["images"])] == ["teacher"] * 4 + ["student"] * 4
    assert [row.model for row in rows["text"]] == ["teacher"] * 3 + ["student"] * 3
    teacher, student = rows["images"][0], rows["images"][4]
    assert teacher.metrics["Brightness"] != student.metrics["Brightness"]
    assert evaluator.scalars("val")["val/test/Brightness/4_steps_guidance_0"] == (
        pytest.approx(student.metrics["Brightness"])
    )


def test_top_k_changes_the_images():
    _, rows = measure(tables=("top_k",), top_ks=(1, 24), metrics=(Brightness(),))
    assert rows["images"] == [] and rows["text"] == []
    assert [(row.top_k, row.steps) for row in rows["top_k"]] == [(1, 4), (1, 2), (24, 4), (24, 2)]
    assert rows["top_k"][0].metrics != rows["top_k"][2].metrics


def test_prompts_of_another_world_are_for_the_metrics():
    bench = {"class": "bench", "count": 1}
    entries = [{"prompt": "a photo of a bench", "tag": "single_object", "include": [bench]}]
    evaluator, rows = measure(entries, metrics=(Brightness(),))
    assert not rows["images"][0].judged and rows["images"][0].metrics["Brightness"] != 0
    assert "val/test/score/4_steps_guidance_0" not in evaluator.scalars("val")


def test_prompts_that_nobody_judges():
    bench = {"class": "bench", "count": 1}
    entries = [{"prompt": "a photo of a bench", "tag": "single_object", "include": [bench]}]
    with pytest.raises(UserError, match=r"nobody judges the prompts of test.*name metrics"):
        measure(entries)
    _, rows = measure(entries, within_fit=True)
    assert rows["images"] == []


def test_the_baseline_is_sampled_in_its_own_way():
    own = ImageSampling(token_temperature=0.5, mask_schedule="pow")
    grid = EvaluationGrid(
        sampling_steps=(4,),
        guidance_scales=(1.0,),
        sampling=ImageSampling(shared_noise_seed=3),
        baseline_sampling=own,
    )
    assert grid.samplings() == [ImageSampling(4, 1.0, shared_noise_seed=3)]
    assert grid.samplings("teacher") == [
        ImageSampling(4, 1.0, token_temperature=0.5, mask_schedule="pow")
    ]
    assert replace(grid, baseline_sampling=None).samplings("teacher") == grid.samplings()


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
        ({"baseline_sampling": ImageSampling(top_k=10**6)}, "top_k is 1000000"),
        ({"tables": ("top_k",), "top_ks": (0,)}, "top_k is 0"),
    ],
)
def test_what_the_model_cannot_do_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        EvaluationGrid(**options).check(shapes_networks()[0])


def test_the_small_grid_within_fit():
    grid = EvaluationGrid(
        tables=("images", "top_k"),
        metrics=(Brightness(),),
        baseline="shapes",
        fit_sampling_steps=(8,),
    ).during_fit()
    assert grid.tables == ("images",) and grid.metrics == () and grid.baseline is None
    assert [sampling.sampling_steps for sampling in grid.samplings()] == [8]


OWN = ImageSampling(4, top_k=5, guidance_scale=3.0, guidance_end=1.0)
TEACHERS = ImageSampling(18, 2.0, confidence_temperature=10.0, shared_noise_seed=9)


def test_a_module_says_what_the_grid_does_not():
    texts = TextDecoding(max_new_tokens=7)
    grid = EvaluationGrid((4,), (0.0, 2.0)).filled_in(OWN, TEACHERS, texts)
    assert grid.samplings() == [
        ImageSampling(4, top_k=5),  # no guidance at any step
        ImageSampling(4, top_k=5, guidance_scale=2.0, guidance_end=1.0),
    ]
    unguided = replace(TEACHERS, sampling_steps=4, guidance_scale=0.0)
    assert grid.samplings("teacher")[0] == unguided
    assert grid.answering == texts
    told = EvaluationGrid(sampling=TEACHERS, decoding=TextDecoding(max_new_tokens=3))
    assert told.filled_in(OWN, OWN, texts).sampling == TEACHERS
    assert told.filled_in(OWN, OWN, texts).decoding.max_new_tokens == 3
    assert told.filled_in(OWN, OWN, texts).baseline_sampling == OWN
