"""What is recorded and what the losses ask for must be about the same positions and steps.

A sampler's own logits at step t are its prediction from state t - 1. With them in the student's
place, records and losses can be compared with no training code between.
"""

import pytest
import torch

from showo_turbo.losses import image_consistency, image_regularizer
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import denoise_images
from showo_turbo.trajectories import ImageCollection, collate_image_trajectories
from showo_turbo.trajectories.image_collector import record_images


def record_and_logits(teacher, prompts, guidance_scale=0.0, **settings):
    settings = ImageCollection(ImageSampling(8, guidance_scale), topk_targets=24, **settings)
    ids = [prompt.ids for prompt in prompts]
    steps = denoise_images(teacher, ids, settings.sampling)
    return record_images(teacher, prompts, settings), [step.logits for step in steps]


def losses(records, logits, k):
    batch = collate_image_trajectories(
        records, [k] * len(records), segments=records[0].recorded_segments, mask_code=24
    )
    length = 8 // records[0].recorded_segments
    target = min((k // length + 1) * length, 7)
    regularizer = image_regularizer(logits[k], batch.masked_k, batch.q_log_probs, batch.q_ids)
    consistency = image_consistency(logits[target], logits[k], batch.masked_t)
    return regularizer.mean.item(), consistency.mean.item()


@pytest.mark.parametrize("segments", [1, 2, 4, 8])
def test_records_give_the_published_targets(teacher, prompts, segments):
    records, logits = record_and_logits(teacher, prompts[:4], segments=segments, guidance_scale=2.0)
    predicted = [step.log_softmax(-1) for step in logits]  # from state k

    def kl(target, k, sample, position):
        p, q = predicted[target][sample, position], predicted[k][sample, position]
        return float((p.exp() * (p - q)).sum())

    for k in range(8):
        target = min((k * segments // 8 + 1) * 8 // segments, 7)
        regularizers, consistencies = [], []
        for sample, record in enumerate(records):
            steps = record.reveal_step.tolist()
            regularizers.append(
                [kl(min(r - 1, target), k, sample, i) for i, r in enumerate(steps) if r > k]
            )
            consistencies.append(
                [kl(target, k, sample, i) for i, r in enumerate(steps) if r > target]
            )
        expected = [
            sum(sum(v) / len(v) for v in values) / 4 for values in (regularizers, consistencies)
        ]
        # The record is rounded to float16.
        assert losses(records, logits, k) == pytest.approx(expected, abs=1e-3)


def test_only_the_very_last_state_has_nothing_to_learn(teacher, prompts):
    records, logits = record_and_logits(teacher, prompts[:4], segments=2, guidance_scale=2.0)
    values = torch.tensor([losses(records, logits, k) for k in range(8)])
    assert values[7].abs().max() < 1e-4
    assert (values[:7] > values[7]).all()
    assert (values[0] > 0.01).all(), "the longest jump is a real one"


def test_the_regularizer_s_targets_carry_the_guidance(teacher, prompts):
    guided, logits = record_and_logits(teacher, prompts[:4], segments=8, guidance_scale=2.0)
    _, unguided_logits = record_and_logits(teacher, prompts[:4], segments=8)
    assert losses(guided, logits, 7)[0] < 1e-4 < 0.01 < losses(guided, unguided_logits, 7)[0]


def test_few_kept_codes_cost_little_where_they_hold_most_of_the_mass(teacher, prompts):
    settings = ImageCollection(ImageSampling(8), segments=8, topk_targets=12)
    records = record_images(teacher, prompts[:4], settings)
    _, logits = record_and_logits(teacher, prompts[:4], segments=8)
    batch = collate_image_trajectories(records, [0] * 4, segments=8, mask_code=24)
    value = image_regularizer(logits[0], batch.masked_k, batch.q_log_probs, batch.q_ids)
    # The teacher's own loss is exactly -log(mass kept) where the record is cut off.
    mass = batch.q_log_probs.exp().sum(-1)
    expected = torch.stack(
        [-m[row].log().mean() for m, row in zip(mass, batch.masked_k, strict=True)]
    )
    torch.testing.assert_close(value.per_sample, expected, atol=2e-3, rtol=1e-2)
