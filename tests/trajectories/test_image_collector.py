import dataclasses

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling import parallel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.trajectories import (
    ImageCollection,
    ImageTrajectoryDataset,
    Processes,
    TrajectoryStore,
    collect_images,
    fingerprint_module,
    image_collector,
    image_identity,
)
from showo_turbo.trajectories.image_collector import record_images
from showo_turbo.trajectories.store import no_barrier
from showo_turbo.utils.random import stateless_seed

from ..tiny import tiny_showo
from .conftest import content, in_two_processes


def begin(folder, teacher, prompts, settings, **options):
    identity = image_identity(fingerprint_module(teacher), prompts, settings)
    return TrajectoryStore.create_or_continue(folder, identity, **options)


def collect(folder, teacher, prompts, settings, rank=0, world_size=1, barrier=no_barrier):
    store = begin(folder, teacher, prompts, settings, rank=rank, barrier=barrier)
    processes = Processes(rank, world_size, barrier)
    return collect_images(teacher, prompts, settings, store, processes, progress=False)


def test_noise_on_the_order_is_the_same_for_every_prompt(teacher, prompts):
    def reveal_steps(batch, **changes):
        options = {"confidence_temperature": 5.0, "shared_noise_seed": 0} | changes
        settings = ImageCollection(ImageSampling(8, **options), topk_targets=1)
        return [record.reveal_step.tolist() for record in record_images(teacher, batch, settings)]

    together = reveal_steps(prompts[:3])
    assert together == [reveal_steps([prompt])[0] for prompt in prompts[:3]]
    assert together != reveal_steps(prompts[:3], shared_noise_seed=1)
    greedy = ImageCollection(ImageSampling(8), topk_targets=1)
    assert together[0] != record_images(teacher, prompts[:1], greedy)[0].reveal_step.tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"token_temperature": 1.0, "top_k": 4},
        {"confidence_temperature": 3.0},
        {"guidance_scale": 2.0, "guidance_end": 0.0},
    ],
)
def test_any_sampling_is_recorded_whatever_the_batches(tmp_path, teacher, prompts, options):
    sampling = ImageSampling(8, **options)
    settings = ImageCollection(sampling, topk_targets=2, seed=6, batch_size=4, shard_size=4)
    found = ImageTrajectoryDataset(collect(tmp_path / "fours", teacher, prompts, settings))
    alone = dataclasses.replace(settings, batch_size=1)
    again = ImageTrajectoryDataset(collect(tmp_path / "ones", teacher, prompts, alone))
    seeds = [stateless_seed(6, index, stream="image") for index in range(len(prompts))]
    codes = parallel.decode_image_codes(teacher, [p.ids for p in prompts], sampling, seeds)
    for index, record in enumerate(found):
        assert torch.equal(record.codes.long(), codes[index])
        assert torch.equal(record.reveal_step, again[index].reveal_step)
    assert found.store.identity.settings["sampling.sampling_steps"] == 8
    assert {f"sampling.{f.name}" for f in dataclasses.fields(sampling)} <= set(
        found.store.identity.settings
    )


def test_prompts_of_about_equal_length_are_drawn_together(tmp_path, teacher, prompts, monkeypatch):
    together = []

    def noted(teacher, batch, *given):
        together.append([len(prompt.ids) for prompt in batch])
        return record_images(teacher, batch, *given)

    monkeypatch.setattr(image_collector, "record_images", noted)
    settings = ImageCollection(ImageSampling(2), segments=1, batch_size=3, shard_size=11)
    store = collect(tmp_path / "store", teacher, prompts, settings)
    lengths = sorted(len(prompt.ids) for prompt in prompts)
    assert together == [lengths[begin : begin + 3] for begin in range(0, 11, 3)]
    assert [record.key for record in ImageTrajectoryDataset(store)] == [p.key for p in prompts]


@pytest.mark.parametrize("segments", [1, 2, 4, 8])
def test_records_hold_the_states_and_the_guided_distributions(teacher, prompts, segments):
    settings = ImageCollection(ImageSampling(8, 1.5), segments=segments, topk_targets=5)
    batch = prompts[:4]
    steps = list(
        parallel.denoise_images(teacher, [prompt.ids for prompt in batch], settings.sampling)
    )
    records = record_images(teacher, batch, settings)
    for sample, record in enumerate(records):
        assert record.prompt == batch[sample].text
        assert record.prompt_ids.tolist() == list(batch[sample].ids)
        assert record.reveal_step.min() == 1
        assert record.reveal_step.max() == 8
        for k, step in enumerate(steps, start=1):
            assert torch.equal(record.state(k, 24), step.codes[sample])
        for k in range(8):
            ids, log_probs = record.distribution(k, segments)
            for position in record.masked(k).nonzero()[:, 0].tolist():
                # At the reveal or from the segment's end, whichever comes first; the forward from
                # state t is step t + 1.
                end = (k * segments // 8 + 1) * 8 // segments
                last = min(int(record.reveal_step[position]), min(end, 7) + 1)
                exact = steps[last - 1].logits[sample, position].log_softmax(-1)
                assert set(ids[position].tolist()) == set(exact.topk(5).indices.tolist())
                torch.testing.assert_close(
                    log_probs[position], exact[ids[position]], rtol=1e-3, atol=1e-3
                )
            if k:
                assert (ids[record.masked(k), 0] < 24).all()
        # Greedy: what is revealed is the most probable code.
        assert torch.equal(record.codes.long(), record.top_ids[:, 0].long())


def test_a_store_gives_back_what_was_recorded(tmp_path, teacher, prompts, image_settings):
    store = collect(tmp_path / "s", teacher, prompts, image_settings)
    dataset = ImageTrajectoryDataset(store)
    assert len(dataset) == len(prompts) == store.num_samples
    assert [dataset[i].key for i in range(len(dataset))] == [p.key for p in prompts]
    shards = [range(0, 3), range(3, 4), range(4, 7), range(7, 8), range(8, 11)]
    expected = [
        record
        for indices in shards
        for record in record_images(
            teacher,
            [prompts[i] for i in indices],
            image_settings,
            [stateless_seed(image_settings.seed, i, stream="image") for i in indices],
        )
    ]
    for got, want in zip((dataset[i] for i in range(len(dataset))), expected, strict=True):
        for name, value in vars(want).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(getattr(got, name), value), name
                assert getattr(got, name).dtype == value.dtype, name
            else:
                assert getattr(got, name) == value
    mass = torch.cat([record.kept_mass for record in expected]).mean().item()
    assert store.mean_kept_mass == pytest.approx(mass, abs=1e-5)
    assert 0 < mass < 1


def test_all_codes_kept_is_all_the_mass(tmp_path, teacher, prompts):
    settings = ImageCollection(ImageSampling(4), segments=2, topk_targets=100)
    store = collect(tmp_path / "s", teacher, prompts, settings)
    assert store.mean_kept_mass == pytest.approx(1, abs=1e-3)
    assert ImageTrajectoryDataset(store)[0].top_ids.shape == (16, 24)


def test_neither_interruption_nor_processes_change_a_byte(
    tmp_path, teacher, prompts, image_settings, monkeypatch
):
    whole = content(collect(tmp_path / "whole", teacher, prompts, image_settings).folder)
    assert len(whole) == 4  # three shards and the manifest

    calls = []

    def interrupted(*args, **options):
        calls.append(args)
        if len(calls) == 4:  # in the second batch of the second shard
            raise KeyboardInterrupt
        return parallel.denoise_images(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(image_collector, "denoise_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collect(tmp_path / "parts", teacher, prompts, image_settings)
    kept = (tmp_path / "parts" / "images-00000.safetensors").stat()
    continued = collect(tmp_path / "parts", teacher, prompts, image_settings)
    assert content(continued.folder) == whole
    assert (tmp_path / "parts" / "images-00000.safetensors").stat().st_mtime_ns == kept.st_mtime_ns

    in_two_processes(
        lambda **options: collect(tmp_path / "two", teacher, prompts, image_settings, **options)
    )
    assert content(tmp_path / "two") == whole


def test_a_finished_store_is_not_collected_again(
    tmp_path, teacher, prompts, image_settings, monkeypatch
):
    collect(tmp_path / "s", teacher, prompts, image_settings)

    def never(*_args, **_options):
        raise AssertionError("decoded again")

    monkeypatch.setattr(image_collector, "denoise_images", never)
    assert collect(tmp_path / "s", teacher, prompts, image_settings).complete


def test_top_k_by_steps_is_noted_as_the_one_that_counts(prompts, image_settings):
    def identity(top_k):
        sampling = dataclasses.replace(image_settings.sampling, token_temperature=1.0, top_k=top_k)
        return image_identity("t", prompts, dataclasses.replace(image_settings, sampling=sampling))

    assert identity({4: 3, 8: 9}).settings["sampling.top_k"] == 9
    assert identity({4: 3, 8: 9}) == identity(9)
    assert identity({4: 3}) == identity(None)
    assert all(type(v) in (str, int, float, type(None)) for v in identity({8: 9}).settings.values())


def test_batch_size_changes_at_most_the_rounding(tmp_path, teacher, prompts, image_settings):
    # It is not part of the identity, so a store may be continued with another.
    other = dataclasses.replace(image_settings, batch_size=1)
    print_ = fingerprint_module(teacher)
    assert image_identity(print_, prompts, other) == image_identity(print_, prompts, image_settings)
    first = ImageTrajectoryDataset(collect(tmp_path / "a", teacher, prompts, image_settings))
    second = ImageTrajectoryDataset(collect(tmp_path / "b", teacher, prompts, other))
    for index in range(len(first)):
        assert torch.equal(first[index].codes, second[index].codes)
        assert torch.equal(first[index].reveal_step, second[index].reveal_step)
        torch.testing.assert_close(
            first[index].top_log_probs, second[index].top_log_probs, atol=1e-2, rtol=1e-2
        )


@pytest.mark.bad_input
def test_another_teacher_prompt_or_setting_is_refused(tmp_path, teacher, prompts, image_settings):
    collect(tmp_path / "s", teacher, prompts, image_settings)
    with pytest.raises(UserError, match=r"teacher is .* there but .* is asked for"):
        begin(tmp_path / "s", tiny_showo(seed=1), prompts, image_settings)
    with pytest.raises(UserError, match="prompts is"):
        begin(tmp_path / "s", teacher, [*prompts[:-1], prompts[0]], image_settings)
    with pytest.raises(UserError, match=r"settings\.segments is 4 there but 2 is asked for"):
        begin(
            tmp_path / "s",
            teacher,
            prompts,
            dataclasses.replace(image_settings, segments=2),
        )


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": 5}, "5 segments do not divide 16 steps"),
        ({"topk_targets": 0}, "topk_targets is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"shard_size": -1}, "shard_size is -1"),
        ({"seed": 2**70}, f"seed {2**70} is out of range"),
        ({"seed": -1}, "seed -1 is out of range"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        ImageCollection(**changes)


@pytest.mark.bad_input
def test_no_prompts_and_other_prompts_than_the_store_s_are_refused(
    tmp_path, teacher, prompts, image_settings
):
    store = begin(tmp_path / "s", teacher, prompts, image_settings)
    with pytest.raises(UserError, match="there are no prompts"):
        collect_images(teacher, [], image_settings, store)
    with pytest.raises(UserError, match="begun for 11 prompts for images, 4 to a shard, but 2"):
        collect_images(teacher, prompts[:2], image_settings, store)


def test_the_teacher_s_mode_is_restored_and_no_gradient_kept(tmp_path, prompts, image_settings):
    teacher = tiny_showo().train()
    collect(tmp_path / "s", teacher, prompts[:2], image_settings)
    assert teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_under_autocast_collects_what_is_decoded_under_it(tmp_path, teacher, prompts):
    settings = ImageCollection(ImageSampling(8), segments=2)
    with torch.autocast("cpu", torch.bfloat16):
        collected = ImageTrajectoryDataset(collect(tmp_path, teacher, prompts, settings))
        ids = [prompt.ids for prompt in prompts]
        codes = parallel.decode_image_codes(teacher, ids, settings.sampling)
    assert torch.equal(torch.stack([record.codes.long() for record in collected]), codes)
    assert collected[0].top_log_probs.dtype == torch.float16
