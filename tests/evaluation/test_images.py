import json
from dataclasses import replace

import pytest
import torch
from torchmetrics import MeanMetric

from showo_turbo.errors import UserError
from showo_turbo.evaluation import (
    Checker,
    ImageScore,
    choose_sampling,
    draw_images,
    evaluate_images,
)
from showo_turbo.evaluation.plan import guidance_samplings
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes import ShapesChecker

from ..tiny import tiny_networks
from .worlds import (
    KnownImages,
    metadata,
    scenes_with_prompts,
    score,
    shapes_bundle,
)

NOISY = ImageSampling(sampling_steps=3, token_temperature=1.0, confidence_temperature=2.0)


@pytest.fixture(scope="module")
def bundle():
    return shapes_bundle()


def known(bundle, scenes):
    return LoadedModel(bundle.network, KnownImages(scenes), bundle.text_tokenizer)


def test_true_renders_satisfy_their_prompts(bundle):
    scenes, prompts = scenes_with_prompts(20)
    shown = known(bundle, scenes)
    samplings = [
        ImageSampling(sampling_steps=1),
        ImageSampling(sampling_steps=2, guidance_scale=1.0),
    ]
    options = {"batch_size": 7, "name": "teacher", "checker": ShapesChecker()}
    scores = [evaluate_images(shown, prompts, sampling, **options) for sampling in samplings]
    assert [(row.model, row.steps, row.guidance) for row in scores] == [
        ("teacher", 1, 0.0),
        ("teacher", 2, 1.0),
    ]
    assert all(row.score == 1.0 and row.n == 20 for row in scores)
    assert shown.image_tokenizer.shown == 40


def test_categories_weigh_the_same(bundle):
    """One category is drawn wrong throughout: the score is the share of the others."""
    scenes, prompts = scenes_with_prompts(30)
    tags = [entry["tag"] for entry in prompts]
    other = next(i for i, tag in enumerate(tags) if tag == "counting")
    wrong = [scenes[other] if tag == "colors" else s for s, tag in zip(scenes, tags, strict=True)]
    row = evaluate_images(known(bundle, wrong), prompts, ImageSampling(1), checker=ShapesChecker())
    kinds = len(set(tags))
    assert row.by_category["colors"] == 0.0
    assert row.score == pytest.approx((kinds - 1) / kinds)
    assert row.score != pytest.approx(sum(row.satisfied) / row.n)
    assert row.ci95[0] < row.score < row.ci95[1]


class Remembering(ShapesChecker):
    """Keeps what it is shown, and likes nothing."""

    def __init__(self):
        self.shown = []

    def judge(self, pixels, prompts):
        self.shown.append(pixels)
        return [False] * len(prompts)


def test_batch_size_changes_no_image():
    """In double precision, so that rounding tips no comparison."""
    bundle = shapes_bundle()
    bundle.network.double()
    drawn = []
    for batch_size in (2, 5):
        checker = Remembering()
        options = {"seed": 4, "batch_size": batch_size, "checker": checker}
        evaluate_images(bundle, metadata(1), NOISY, **options)
        drawn.append(torch.cat(checker.shown))
    small, large = drawn
    torch.testing.assert_close(small, large, atol=1e-4, rtol=0)
    assert not torch.equal(small[0], small[1])


def test_a_score_names_the_k_of_its_number_of_steps(bundle):
    by_steps = replace(NOISY, top_k={2: 5, 3: 7})
    rows = [
        evaluate_images(bundle, metadata(1)[:2], replace(by_steps, sampling_steps=steps))
        for steps in (1, 2, 3)
    ]
    assert [row.top_k for row in rows] == [None, 5, 7]
    assert rows[1].to_dict()["top_k"] == 5
    assert rows[1].sampling == {"token_temperature": 1.0, "confidence_temperature": 2.0}


def test_another_seed_draws_another_image(bundle):
    text = [metadata(1)[0]["prompt"]] * 2
    same = draw_images(bundle, text, NOISY, [1, 1])
    other = draw_images(bundle, text, NOISY, [1, 2])
    assert torch.equal(same[0], same[1])
    assert not torch.equal(other[0], other[1])


def test_progress_counts_prompts(bundle):
    steps = []
    options = {"batch_size": 4, "progress": steps.append}
    evaluate_images(bundle, metadata(1), ImageSampling(1), **options)
    assert steps == [4, 2]


@pytest.mark.bad_input
def test_bad_input(bundle):
    with pytest.raises(UserError, match="no prompts"):
        evaluate_images(bundle, [], ImageSampling(1))
    with pytest.raises(UserError, match="steps is 99"):
        evaluate_images(bundle, metadata(1), ImageSampling(sampling_steps=99))
    long = [{"tag": "counting", "prompt": "a red circle " * 40, "include": []}]
    with pytest.raises(UserError, match="tokens"):
        evaluate_images(bundle, long, ImageSampling(1))
    other = [{"tag": "counting", "prompt": "x", "include": [{"class": "bench"}]}]
    with pytest.raises(UserError, match="bench"):
        ShapesChecker().judge(torch.zeros(1, 3, 24, 24), other)


class Cows(Checker):
    """Prompts and images that are not those of the shapes world, judged by somebody else."""

    def can_judge(self, prompt):
        return prompt["tag"] in ("benches", "cows")

    def judge(self, pixels, prompts):
        return [entry["tag"] == "cows" for entry in prompts]


def test_other_worlds_bring_their_own_checker():
    bundle = LoadedModel(*tiny_networks())
    prompts = [{"tag": "benches", "prompt": "two"}, {"tag": "cows", "prompt": "one"}]
    options = {"checker": Cows()}
    row = evaluate_images(bundle, prompts, ImageSampling(sampling_steps=2), **options)
    assert row.by_category == {"benches": 0.0, "cows": 1.0}
    unknown = [*prompts, {"tag": "dogs", "prompt": "one"}]
    assert not evaluate_images(bundle, unknown, ImageSampling(1), **options).judged


@pytest.mark.bad_input
@pytest.mark.parametrize(("marks", "found"), [([True], 1), ([True] * 7, 7), (None, 0), (True, 0)])
def test_a_checker_says_of_each_image_whether_it_is_right(bundle, marks, found):
    checker = Cows()
    checker.can_judge = lambda prompt: True
    checker.judge = lambda pixels, prompts: marks
    with pytest.raises(UserError, match=f"judge of Cows gave {found} marks for 6 images"):
        evaluate_images(bundle, metadata(1), ImageSampling(1), checker=checker)


class Wide(MeanMetric):
    def update(self, pixels, prompts):
        super().update(1.0)

    def compute(self):
        return torch.zeros(2)


@pytest.mark.bad_input
def test_a_metric_is_one_number(bundle):
    with pytest.raises(UserError, match=r"Wide computes Tensor of shape \(2,\)"):
        evaluate_images(bundle, metadata(1), ImageSampling(1), metrics=[Wide()])


class Cost(MeanMetric):
    higher_is_better = False


def test_without_a_judge_the_first_metric_chooses():
    def measured(steps, guidance, **metrics):
        found = replace(score(steps=steps, guidance=guidance), satisfied=(), metrics=metrics)
        return ImageSampling(steps, guidance), found

    sweep = [
        measured(4, 0.0, MeanMetric=0.5, Cost=3.0),
        measured(4, 1.0, MeanMetric=0.7, Cost=4.0),
        measured(4, 2.0, MeanMetric=0.6, Cost=2.0),
    ]
    assert choose_sampling(sweep, MeanMetric()) == {4: ImageSampling(4, 1.0)}
    assert choose_sampling(sweep, Cost()) == {4: ImageSampling(4, 2.0)}, "the smallest"


def test_the_best_setting_is_chosen_at_each_number_of_steps():
    good = {(16, 0.0): 5, (16, 1.0): 8, (16, 2.0): 7, (4, 2.0): 6, (4, 1.0): 6, (4, 0.0): 2}
    sweep = [
        (ImageSampling(steps, w), score(steps=steps, guidance=w, good=(count, 10)))
        for (steps, w), count in good.items()
    ]
    noisy = replace(NOISY, sampling_steps=16, guidance_scale=2.0)
    sweep.append((noisy, score(steps=16, guidance=2.0, good=(9, 10))))
    chosen = choose_sampling(sweep)
    assert chosen == {16: noisy, 4: ImageSampling(4, 1.0)}, "of equally good ones less guidance"
    assert choose_sampling([]) == {}


def test_a_score_says_how_its_images_were_sampled():
    bundle, prompts = shapes_bundle(), metadata(1)
    plain = evaluate_images(bundle, prompts, ImageSampling(sampling_steps=2))
    noisy = evaluate_images(bundle, prompts, NOISY)
    assert plain.sampling == {} and "sampling" not in plain.to_dict()
    assert noisy.sampling == {"token_temperature": 1.0, "confidence_temperature": 2.0}
    assert ImageScore.from_dict(noisy.to_dict()).sampling == noisy.sampling


def test_guidance_samplings_keep_the_rest():
    found = guidance_samplings(NOISY, [4, 2], [0.0, 1.5])
    assert [(s.sampling_steps, s.guidance_scale) for s in found] == [
        (4, 0),
        (4, 1.5),
        (2, 0),
        (2, 1.5),
    ]
    assert all(s.token_temperature == 1.0 for s in found)


def test_as_json():
    row = score(good=(9, 10))
    entry = json.loads(json.dumps(row.to_dict()))
    assert entry["score"] == 0.9
    assert entry["n"] == 60
    assert entry["ci95"][0] < 0.9 < entry["ci95"][1]
    assert set(entry["by_category"]) == set(entry["n_by_category"]) == set(row.categories)
    assert {"model", "steps", "guidance", "score", "n", "ci95", "by_category"} <= set(entry)


def test_models_are_compared_in_pairs():
    better, worse = score(good=(9, 10)), score(good=(7, 10))
    difference = better.minus(worse)
    assert difference.difference == pytest.approx(0.2)
    # Satisfied prompts of the worse are all satisfied by the better: narrower than apart.
    assert difference.ci95[1] - difference.ci95[0] < better.ci95[1] - worse.ci95[0]
