import dataclasses
import itertools

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.noise import noise_of
from showo_turbo.trajectories import Collecting, Coupled, ImageCollection
from showo_turbo.trajectories.coupling import assign, project
from showo_turbo.trajectories.image_collector import record_images
from showo_turbo.utils.random import stateless_seed

from ..tiny import tiny_showo

SETTINGS = ImageCollection(ImageSampling(4, token_temperature=2.0), segments=1, topk_targets=1)


@pytest.fixture
def noisy():
    network = tiny_showo().eval()
    network.add_noise(8)
    return network


def test_the_best_of_all_assignments_is_taken():
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        codes = torch.randint(24, (5, 16), generator=generator)
        noise = torch.randn(5, 8, generator=generator)
        features = project(codes, 8)
        centered = features - features.mean(dim=0)

        def benefit(order, centered=centered, noise=noise):
            return sum(float(centered[g] @ noise[h].double()) for g, h in enumerate(order))

        best = max(itertools.permutations(range(5)), key=benefit)
        assert assign(codes, noise) == list(best)


def test_the_projection_keeps_distances_on_average():
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(24, (200, 16), generator=generator)
    other = codes.clone()
    other[:, :4] = (other[:, :4] + 1) % 24  # a quarter of the tokens differs
    squared = (project(codes, 256) - project(other, 256)).square().mean(dim=1)
    # Each differing token adds (a b - a b')^2 / 16, which is 2 / 16 on average.
    assert squared.mean() == pytest.approx(4 * 2 / 16, rel=0.1)
    assert torch.equal(project(codes[:3], 8), project(codes, 8)[:3])


def test_a_caption_s_pictures_exchange_their_noise(noisy, prompts):
    asked = [prompt for prompt in prompts[:3] for _ in range(4)]
    seeds = [stateless_seed(number) for number in range(12)]
    records = Coupled().draw(Collecting({"teacher": noisy}, SETTINGS), asked, seeds)
    plain = record_images(noisy, asked, SETTINGS, seeds)
    noise = noise_of(noisy, seeds)[:, 0]
    for start in (0, 4, 8):
        rows = range(start, start + 4)
        assert sorted(records[row].noise_seed for row in rows) == sorted(seeds[start : start + 4])
        order = assign(torch.stack([plain[r].codes.long() for r in rows]), noise[start : start + 4])
        assert [records[row].noise_seed for row in rows] == [seeds[start + o] for o in order]
    assert [r.noise_seed for r in records] != seeds
    for record, same in zip(records, plain, strict=True):
        assert torch.equal(record.codes, same.codes)


@pytest.mark.bad_input
def test_a_student_without_noise_is_refused(teacher):
    with pytest.raises(UserError, match="set the model's noise_size"):
        Coupled().check(SETTINGS, teacher)
    with pytest.raises(UserError, match="source of Coupled is of the class str"):
        Coupled("teacher")
    assert dataclasses.replace(SETTINGS, source=Coupled()).source.needs_base is False
