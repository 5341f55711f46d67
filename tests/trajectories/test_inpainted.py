import dataclasses
import json

import pytest
import torch

from showo_turbo.data.trajectory_streams import ImageTrajectoryStream
from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.sampling.parallel import denoise_images
from showo_turbo.trajectories import (
    Collecting,
    ImageCollection,
    ImagePrompt,
    ImageSource,
    Inpainted,
    PromptDropout,
    Sampled,
    StoreIdentity,
    TrajectoryStore,
)
from showo_turbo.trajectories.inpainted import likest_prompt
from showo_turbo.trajectories.partly_known import random_box
from showo_turbo.trajectories.shards import pack_images
from showo_turbo.utils.random import stateless_seed, uniform

from ..tiny import tiny_showo

SETTINGS = ImageCollection(ImageSampling(8, mask_schedule="linear"), segments=1, topk_targets=3)
SOURCE = Inpainted(
    source=Sampled(sampling=SamplingChanges(token_temperature=2.0)),
    sampling=SamplingChanges(guidance_scale=1.0),
)


@pytest.fixture
def networks(teacher):
    return {"teacher": teacher, "base": tiny_showo(seed=1).eval()}


def test_the_base_fills_a_box_of_the_student_s_image(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    collecting = Collecting(networks, SETTINGS)
    first = SOURCE.source.draw(collecting, prompts, seeds)
    records = SOURCE.draw(collecting, prompts, seeds)
    sampling = ImageSampling(8, 1.0, mask_schedule="linear")
    for prompt, seed, before, record in zip(prompts, seeds, first, records, strict=True):
        box = random_box(4, stateless_seed(seed, stream="box"))
        known = torch.where(box, networks["base"].mask_code, before.codes.long())[None]
        assert torch.equal(record.state(0, networks["base"].mask_code), known[0])
        own = [stateless_seed(seed, stream="inpainting")]
        steps = list(denoise_images(networks["base"], [prompt.ids], sampling, own, known))
        assert torch.equal(record.codes.long(), steps[-1].codes[0])
        assert torch.equal(record.codes[~box], before.codes[~box])
        assert record.noise_seed == own[0]


def test_neither_batch_nor_order_matters(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    together = SOURCE.draw(Collecting(networks, SETTINGS), prompts, seeds)
    for place in (0, 5, 10):
        [alone] = SOURCE.draw(Collecting(networks, SETTINGS), [prompts[place]], [seeds[place]])
        assert torch.equal(alone.codes, together[place].codes)
        assert torch.equal(alone.reveal_step, together[place].reveal_step)


def test_a_store_keeps_what_is_known_from_the_beginning(tmp_path, networks, prompts):
    records = SOURCE.draw(Collecting(networks, SETTINGS), prompts, list(range(len(prompts))))
    count = len(records)
    settings = {"sampling.sampling_steps": 8, "segments": 1}
    identity = StoreIdentity("images", "t", "p", count, count, settings)
    store = TrajectoryStore.create_or_continue(tmp_path / "images", identity)
    store.write_shard(0, pack_images(records, 16), samples=count)
    store.finish()
    stream = ImageTrajectoryStream(tmp_path / "images", networks["base"].mask_code, 1)
    for seed in range(8):
        batch = stream.collate([stream.draw(index, seed) for index in range(count)])
        for record, k, state in zip(records, batch.step.tolist(), batch.state_k, strict=True):
            assert torch.equal(state, record.state(k, networks["base"].mask_code))
        assert batch.masked_k.any(dim=1).all()


class Rejecting(ImageSource):
    """Leaves out every other image."""

    def draw(self, collecting, prompts, seeds):
        found = Sampled().draw(collecting, prompts, seeds)
        return [record if place % 2 else None for place, record in enumerate(found)]


@pytest.mark.parametrize("count", [1, 4])
def test_images_that_the_source_leaves_out_stay_out(networks, prompts, count):
    source = Inpainted(source=Rejecting())
    found = source.draw(Collecting(networks, SETTINGS), prompts[:count], list(range(count)))
    assert [record is not None for record in found] == [False, True, False, True][:count]


def test_it_needs_the_base_if_one_of_its_networks_is(networks):
    assert Inpainted().needs_base and SOURCE.needs_base
    assert not Inpainted(network="teacher").needs_base
    assert Inpainted(source=Sampled(network="base"), network="teacher").needs_base


@pytest.mark.bad_input
def test_what_cannot_be_inpainted(networks):
    with pytest.raises(UserError, match="source of Inpainted is of the class int"):
        Inpainted(source=1)
    with pytest.raises(UserError, match="source of Inpainted is a PromptDropout"):
        Inpainted(source=PromptDropout(Sampled()))
    with pytest.raises(UserError, match="2 segments"):
        SOURCE.check(dataclasses.replace(SETTINGS, segments=2), networks["teacher"])
    oblong = tiny_showo(image_tokens=15)
    with pytest.raises(UserError, match="square of tokens, but an image has 15"):
        SOURCE.check(SETTINGS, oblong)


def test_a_box_may_be_kept_and_all_around_it_generated(networks, prompts):
    source = dataclasses.replace(SOURCE, around=0.5)
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    kept = [uniform(seed, stream="around") < 0.5 for seed in seeds]
    assert len(set(kept)) == 2
    records = source.draw(Collecting(networks, SETTINGS), prompts, seeds)
    for seed, record, is_kept in zip(seeds, records, kept, strict=True):
        box = random_box(4, stateless_seed(seed, stream="box"))
        assert torch.equal(record.masked(0), ~box if is_kept else box)


def test_what_is_known_may_be_of_another_prompt(networks, prompts):
    """It is drawn for the likest of the others, and what is masked for the image's own."""
    source = dataclasses.replace(SOURCE, of_others=0.5)
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    collecting = Collecting(networks, SETTINGS, prompts=prompts)
    of_others = [uniform(seed, stream="other") < 0.5 for seed in seeds]
    assert len(set(of_others)) == 2
    shown = [
        likest_prompt(prompts, prompt, seed) if is_other else prompt
        for prompt, seed, is_other in zip(prompts, seeds, of_others, strict=True)
    ]
    images = SOURCE.source.draw(collecting, shown, seeds)
    records = source.draw(collecting, prompts, seeds)
    for prompt, image, record in zip(prompts, images, records, strict=True):
        assert record.prompt_ids.tolist() == list(prompt.ids)
        assert torch.equal(image.codes[~record.masked(0)], record.codes[~record.masked(0)])


def test_of_the_other_prompts_the_likest_is_taken():
    said = [(1, 2, 3, 4), (1, 2, 3, 5), (6, 7, 8, 9), (4, 3, 2, 1)]
    prompts = [ImagePrompt(str(place), "", ids) for place, ids in enumerate(said)]
    taken = {likest_prompt(prompts, prompts[0], seed).key for seed in range(20)}
    assert taken == {"1"}  # neither the same ids in another order nor those of which none is shared
    assert likest_prompt(prompts[:1], prompts[0], 0) == prompts[0]


def test_later_options_are_no_part_of_the_identity_unless_they_are_used():
    """Stores from before them are continued."""
    described = json.loads(Inpainted().identity())
    assert described.keys() == {"class", "network", "sampling", "source"}
    assert json.loads(Inpainted(around=0.5).identity())["around"] == 0.5
    assert Inpainted(of_others=0.5).identity() != Inpainted().identity()


def test_of_a_collection_without_prompts_none_is_another_s(networks, prompts):
    source = dataclasses.replace(SOURCE, of_others=1.0)
    found = source.draw(Collecting(networks, SETTINGS), prompts[:2], [0, 1])
    expected = SOURCE.draw(Collecting(networks, SETTINGS), prompts[:2], [0, 1])
    assert all(torch.equal(a.codes, b.codes) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["around", "of_others"])
def test_shares_out_of_range_are_named(name):
    with pytest.raises(UserError, match=f"^{name} of Inpainted is 1.5"):
        Inpainted(**{name: 1.5})
