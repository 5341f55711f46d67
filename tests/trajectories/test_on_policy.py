import dataclasses

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.sampling.parallel import denoise_images
from showo_turbo.trajectories import Collecting, ImageCollection, OnPolicy
from showo_turbo.utils.random import stateless_seed

from ..tiny import tiny_showo

MASK = 24
SETTINGS = ImageCollection(ImageSampling(8, mask_schedule="linear"), segments=1, topk_targets=3)
SOURCE = OnPolicy(
    steps=[1, 2, 4],
    sampling=SamplingChanges(token_temperature=2.0),
    completion=SamplingChanges(guidance_scale=1.0, token_temperature=1.0),
)


@pytest.fixture
def networks(teacher):
    return {"teacher": teacher, "base": tiny_showo(seed=1).eval()}


def test_the_student_begins_and_the_base_completes(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    records = SOURCE.draw(Collecting(networks, SETTINGS), prompts, seeds)
    reached_steps = set()
    for prompt, seed, record in zip(prompts, seeds, records, strict=True):
        steps = [1, 2, 4][stateless_seed(seed, stream="steps") % 3]
        done = stateless_seed(seed, stream="done") % steps
        student = ImageSampling(steps, mask_schedule="linear", token_temperature=2.0)
        states = list(denoise_images(networks["teacher"], [prompt.ids], student, [seed]))
        # Linear: as many are masked after `done` of `steps` as after `reached` of 8.
        reached = 8 // steps * done
        known = states[done - 1].codes if done else torch.full((1, 16), MASK)
        assert torch.equal(record.state(reached, MASK), known[0])
        for k in range(reached):
            assert record.masked(k).all()
        base = ImageSampling(8, 1.0, mask_schedule="linear", token_temperature=1.0)
        completed = list(
            denoise_images(
                networks["base"],
                [prompt.ids],
                base,
                [stateless_seed(seed, stream="completion")],
                known,
                reached,
            )
        )
        assert [step.index for step in completed] == list(range(reached + 1, 9))
        for step in completed:
            assert torch.equal(record.state(step.index, MASK), step.codes[0])
        if done:
            ids, log_probs = record.distribution(0, 1)
            begun = known[0] != MASK
            assert torch.equal(ids[begun, 0], known[0][begun]), "the target is the student's code"
            assert (log_probs[begun].softmax(-1)[:, 0] == 1).all()
        reached_steps.add(reached)
    assert reached_steps == {0, 2, 4, 6}


def test_neither_batch_nor_order_matters(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    together = SOURCE.draw(Collecting(networks, SETTINGS), prompts, seeds)
    for place in (0, 5, 10):
        [alone] = SOURCE.draw(Collecting(networks, SETTINGS), [prompts[place]], [seeds[place]])
        assert torch.equal(alone.codes, together[place].codes)
        assert torch.equal(alone.reveal_step, together[place].reveal_step)


@pytest.mark.bad_input
def test_on_policy_pictures_that_cannot_be_drawn_are_refused(networks):
    with pytest.raises(UserError, match=r"steps is \[\]"):
        OnPolicy(steps=[])
    with pytest.raises(UserError, match="set image_segments to 1"):
        SOURCE.check(dataclasses.replace(SETTINGS, segments=2), networks["teacher"])
    with pytest.raises(UserError, match="sampling_steps is 17"):
        OnPolicy(steps=[17]).check(SETTINGS, networks["teacher"])
