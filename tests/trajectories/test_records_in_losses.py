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
    end = (k // (8 // records[0].recorded_segments) + 1) * (8 // records[0].recorded_segments)
    regularizer = image_regularizer(logits[k], batch.masked_k, batch.q_log_probs, batch.q_ids)
    consistency = image_consistency(logits[end - 1], logits[k], batch.masked_before_end)
    return regularizer.mean.item(), consistency.mean.item()


def test_segments_of_one_step_ask_the_teacher_for_what_it_does_already(teacher, prompts):
    records, logits = record_and_logits(teacher, prompts[:4], segments=8, guidance_scale=2.0)
    for k in range(8):
        regularizer, consistency = losses(records, logits, k)
        assert regularizer == pytest.approx(0, abs=1e-4)  # float16 rounding of the record
        assert consistency == pytest.approx(0, abs=1e-6)


def test_longer_segments_ask_for_a_jump_except_at_their_last_step(teacher, prompts):
    records, logits = record_and_logits(teacher, prompts[:4], segments=2, guidance_scale=2.0)
    values = torch.tensor([losses(records, logits, k) for k in range(8)])
    last_steps = values[[3, 7]]
    assert last_steps.abs().max() < 1e-4
    assert (values[[0, 1, 2, 4, 5, 6]] > last_steps.max(dim=0).values).all()
    assert (values[0] > 0.01).all(), "the longest jump is a real one"


def test_the_regularizer_s_targets_carry_the_guidance(teacher, prompts):
    guided, _ = record_and_logits(teacher, prompts[:4], segments=8, guidance_scale=2.0)
    _, unguided_logits = record_and_logits(teacher, prompts[:4], segments=8)
    assert losses(guided, unguided_logits, 0)[0] > 0.01


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
