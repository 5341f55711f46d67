import dataclasses

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.trajectories import (
    Checker,
    Collecting,
    FirstAccepted,
    ImageCollection,
    ImageTrajectoryDataset,
    Mixed,
    Sampled,
    TrajectoryStore,
    collect_images,
    fingerprint_module,
    image_identity,
)
from showo_turbo.trajectories.image_collector import record_images
from showo_turbo.utils.random import stateless_seed

from ..tiny import tiny_showo

SETTINGS = ImageCollection(ImageSampling(8), segments=2, topk_targets=3, shard_size=4)
BASE = Sampled(SamplingChanges(sampling_steps=4, token_temperature=2.0), network="base")
STUDENT = Sampled(SamplingChanges(sampling_steps=2, token_temperature=2.0))


class Thirds(Checker):
    """Accepts pictures whose codes have a sum that 3 divides; its pictures are the codes."""

    def can_judge(self, prompt):
        return not prompt["prompt"].startswith("?")

    def judge(self, pixels, prompts):
        return [int(row.sum()) % 3 == 0 for row in pixels]


@pytest.fixture
def networks(teacher):
    return {"teacher": teacher, "base": tiny_showo(seed=1).eval()}


def codes(records):
    return [None if record is None else record.codes.tolist() for record in records]


def expected(network, prompts, source, seeds):
    settings = dataclasses.replace(SETTINGS, sampling=source.sampling.over(SETTINGS.sampling))
    return codes(record_images(network, prompts, settings, seeds))


def test_a_network_samples_with_the_changes_of_its_source(networks, prompts):
    seeds = range(len(prompts))
    for source in (BASE, STUDENT):
        records = source.draw(Collecting(networks, SETTINGS), prompts, seeds)
        assert codes(records) == expected(networks[source.network], prompts, source, seeds)
        assert [record.noise_seed for record in records] == list(seeds)
    assert {record.steps for record in records} == {2}


def test_each_prompt_of_a_mixture_is_drawn_by_one_source(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    mixed = Mixed([BASE, STUDENT], shares=[0.3, 0.7])
    found = mixed.draw(Collecting(networks, SETTINGS), prompts, seeds)
    by_source = [
        expected(networks[source.network], prompts, source, seeds) for source in (BASE, STUDENT)
    ]
    places = [0 if record.steps == 4 else 1 for record in found]
    assert codes(found) == [by_source[place][row] for row, place in enumerate(places)]
    alone = mixed.draw(Collecting(networks, SETTINGS), prompts[3:4], seeds[3:4])
    assert codes(alone) == codes(found)[3:4], "neither the batch nor the order matters"
    chosen = [mixed._choose(stateless_seed(number)) for number in range(4000)]
    assert sum(chosen) / 4000 == pytest.approx(0.7, abs=0.03)


def test_the_first_accepted_picture_is_taken(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    source = FirstAccepted([STUDENT, BASE], Thirds(), tries=2)
    found = source.draw(Collecting(networks, SETTINGS, decode=lambda c: c), prompts, seeds)
    tries = [
        expected(networks[each.network], prompts, each, tried)
        for each in (STUDENT, BASE)
        for tried in (seeds, [stateless_seed(seed, 1, stream="attempt") for seed in seeds])
    ]
    by_hand = [
        next((row[place] for row in tries if sum(row[place]) % 3 == 0), None)
        for place in range(len(prompts))
    ]
    assert codes(found) == by_hand
    assert None in by_hand, "some prompts have no accepted picture"
    assert len({row is None or tries[0][i] == row for i, row in enumerate(by_hand)}) == 2


def test_a_store_of_several_sources_leaves_out_what_is_rejected(tmp_path, networks, prompts):
    settings = dataclasses.replace(SETTINGS, source=FirstAccepted([STUDENT, BASE], Thirds()))
    teacher, base = networks["teacher"], networks["base"]

    def collect(folder, **changes):
        options = dataclasses.replace(settings, **changes)
        identity = image_identity(
            fingerprint_module(teacher), prompts, options, base=fingerprint_module(base)
        )
        store = TrajectoryStore.create_or_continue(tmp_path / folder, identity)
        return collect_images(
            teacher, prompts, options, store, progress=False, base=base, decode=lambda c: c
        )

    store = collect("a")
    dataset = ImageTrajectoryDataset(store)
    assert len(dataset) + store.manifest.filtered["rejected"] == len(prompts)
    assert {record.steps for record in dataset} == {2, 4}
    for record in dataset:
        assert int(record.codes.sum()) % 3 == 0
        assert record.reveal_step.max() == record.steps
        prompt = next(p for p in prompts if p.key == record.key)
        source = STUDENT if record.steps == 2 else BASE
        network = networks[source.network]
        assert codes([record]) == expected(network, [prompt], source, [record.noise_seed])
        record.distribution(record.steps - 1, 2)
    again = ImageTrajectoryDataset(collect("b", batch_size=1))
    assert codes(again) == codes(dataset)
    with pytest.raises(UserError, match=r"settings\.source is"):
        collect("a", source=STUDENT)


def test_the_base_is_part_of_an_identity_where_it_draws(prompts):
    def identity(source, base):
        settings = dataclasses.replace(SETTINGS, source=source)
        return image_identity("teacher", prompts, settings, base=base)

    assert identity(BASE, "a") != identity(BASE, "b")
    assert identity(Mixed([STUDENT, BASE]), "a") != identity(Mixed([STUDENT, BASE]), "b")
    assert identity(STUDENT, "a") == identity(STUDENT, "b")
    assert identity(None, None) == image_identity("teacher", prompts, SETTINGS)


def test_a_shard_may_be_empty(tmp_path, networks, prompts):
    class Never(Thirds):
        def judge(self, pixels, prompts):
            return [False] * len(prompts)

    settings = dataclasses.replace(SETTINGS, source=FirstAccepted([STUDENT], Never()))
    teacher = networks["teacher"]
    identity = image_identity(fingerprint_module(teacher), prompts, settings)
    store = TrajectoryStore.create_or_continue(tmp_path, identity)
    store = collect_images(
        teacher, prompts, settings, store, progress=False, decode=lambda codes: codes
    )
    assert len(ImageTrajectoryDataset(store)) == 0
    assert store.manifest.filtered == {"rejected": len(prompts)}
    torch.testing.assert_close(store.manifest.totals["positions"], 0)


@pytest.mark.bad_input
def test_sources_that_cannot_draw_are_refused(networks, prompts):
    with pytest.raises(UserError, match="no sources"):
        Mixed([])
    with pytest.raises(UserError, match="an entry of sources is of the class int"):
        Mixed([3])
    with pytest.raises(UserError, match="shares is"):
        Mixed([BASE, STUDENT], shares=[1.0])
    with pytest.raises(UserError, match="tries is 0"):
        FirstAccepted([BASE], Thirds(), tries=0)
    with pytest.raises(UserError, match="3 segments do not divide 4 steps"):
        Mixed([BASE]).check(
            dataclasses.replace(SETTINGS, segments=3, sampling=ImageSampling(9)),
            networks["teacher"],
        )
    with pytest.raises(UserError, match="Thirds cannot judge '\\?'"):
        FirstAccepted([STUDENT], Thirds()).check(SETTINGS, networks["teacher"], ["a", "?"])
