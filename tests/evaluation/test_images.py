import json
from dataclasses import replace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.evaluation import (
    ImageScore,
    choose_sampling,
    draw_images,
    evaluate_images,
    guidance_samplings,
    satisfies_shapes_prompt,
)
from showo_turbo.sampling.image_sampling import ImageSampling

from ..tiny import tiny_magvitv2, tiny_showo
from .worlds import (
    KnownImages,
    metadata,
    scenes_with_prompts,
    score,
    shapes_networks,
)

NOISY = ImageSampling(sampling_steps=3, token_temperature=1.0, confidence_temperature=2.0)


@pytest.fixture(scope="module")
def networks():
    return shapes_networks()


def test_true_renders_satisfy_their_prompts(networks):
    scenes, prompts = scenes_with_prompts(20)
    shown = KnownImages(scenes)
    samplings = [
        ImageSampling(sampling_steps=1),
        ImageSampling(sampling_steps=2, guidance_scale=1.0),
    ]
    scores = evaluate_images(
        networks[0], shown, networks[2], prompts, samplings, batch_size=7, name="teacher"
    )
    assert [(row.model, row.steps, row.guidance) for row in scores] == [
        ("teacher", 1, 0.0),
        ("teacher", 2, 1.0),
    ]
    assert all(row.score == 1.0 and row.n == 20 for row in scores)
    assert shown.shown == 40


def test_categories_weigh_the_same(networks):
    """One category is drawn wrong throughout: the score is the share of the others."""
    scenes, prompts = scenes_with_prompts(30)
    tags = [entry["tag"] for entry in prompts]
    other = next(i for i, tag in enumerate(tags) if tag == "counting")
    wrong = [scenes[other] if tag == "colors" else s for s, tag in zip(scenes, tags, strict=True)]
    (row,) = evaluate_images(
        networks[0], KnownImages(wrong), networks[2], prompts, [ImageSampling(1)]
    )
    kinds = len(set(tags))
    assert row.by_category["colors"] == 0.0
    assert row.score == pytest.approx((kinds - 1) / kinds)
    assert row.score != pytest.approx(sum(row.satisfied) / row.n)
    assert row.ci95[0] < row.score < row.ci95[1]


def test_batch_size_changes_no_image():
    """In double precision, so that rounding tips no comparison."""
    model, image_tokenizer, text_tokenizer = shapes_networks()
    model.double()
    drawn = []

    def remember(pixels, batch):
        drawn.append(pixels)
        return [False] * len(batch)

    for batch_size in (2, 5):
        evaluate_images(
            model,
            image_tokenizer,
            text_tokenizer,
            metadata(1),
            [NOISY],
            seed=4,
            batch_size=batch_size,
            check=remember,
        )
    small, large = torch.cat(drawn[:3]), torch.cat(drawn[3:])
    torch.testing.assert_close(small, large, atol=1e-4, rtol=0)
    assert not torch.equal(small[0], small[1])


def test_another_seed_draws_another_image(networks):
    text = [metadata(1)[0]["prompt"]] * 2
    same = draw_images(*networks, text, NOISY, [1, 1])
    other = draw_images(*networks, text, NOISY, [1, 2])
    assert torch.equal(same[0], same[1])
    assert not torch.equal(other[0], other[1])


def test_progress_counts_prompts(networks):
    steps = []
    evaluate_images(
        *networks,
        metadata(1),
        [ImageSampling(1)],
        batch_size=4,
        progress=steps.append,
    )
    assert steps == [4, 2]


@pytest.mark.bad_input
def test_bad_input(networks):
    with pytest.raises(UserError, match="no prompts"):
        evaluate_images(*networks, [], [ImageSampling(1)])
    with pytest.raises(UserError, match="steps is 99"):
        evaluate_images(*networks, metadata(1), [ImageSampling(sampling_steps=99)])
    long = [{"tag": "counting", "prompt": "a red circle " * 40, "include": []}]
    with pytest.raises(UserError, match="tokens; at most"):
        evaluate_images(*networks, long, [ImageSampling(1)])
    other = [{"tag": "counting", "prompt": "x", "include": [{"class": "bench"}]}]
    with pytest.raises(UserError, match="bench"):
        satisfies_shapes_prompt(torch.zeros(1, 3, 24, 24), other)


def test_other_worlds_bring_their_own_checker():
    """Prompts and images that are not those of the shapes world, judged by somebody else."""
    from showo_turbo.text_tokenizer import TextTokenizer

    model = tiny_showo(text_vocabulary_size=640, eos_id=0, codebook_size=64)
    prompts = [{"tag": "benches", "prompt": "two"}, {"tag": "cows", "prompt": "one"}]
    (row,) = evaluate_images(
        model,
        tiny_magvitv2(),
        TextTokenizer.from_pretrained("shapes"),
        prompts,
        [ImageSampling(sampling_steps=2)],
        check=lambda pixels, batch: [entry["tag"] == "cows" for entry in batch],
    )
    assert row.by_category == {"benches": 0.0, "cows": 1.0}


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
    networks, prompts = shapes_networks(), metadata(1)
    plain, noisy = evaluate_images(*networks, prompts, [ImageSampling(sampling_steps=2), NOISY])
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
