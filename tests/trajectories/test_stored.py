"""Whether stores that were collected before fit what a training asks of them."""

import json
from dataclasses import replace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.image_input import ImageInput
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.trajectories import (
    ImageCollection,
    ImagePrompt,
    ModelIdentity,
    StoredTrajectories,
    TrajectoryStore,
    image_identity,
)
from showo_turbo.trajectories.stored import Training

MODEL = ModelIdentity("showo", 16, 24, 30, "text", "images")
SAMPLING = ImageSampling(sampling_steps=4, guidance_scale=0.5)
TRAINING = Training(MODEL, "t" * 64, SAMPLING, 2, ImageInput("codes", 16, 24))


@pytest.fixture
def folder(tmp_path):
    """A finished store of three shards; what they hold is looked at later."""
    prompts = [ImagePrompt(f"p{i}", f"prompt {i}", [i]) for i in range(5)]
    settings = ImageCollection(SAMPLING, segments=2, topk_targets=3, shard_size=2)
    store = TrajectoryStore.create_or_continue(
        tmp_path / "images", image_identity("t" * 64, prompts, settings, MODEL)
    )
    for index in store.pending():
        samples = len(store.identity.shard_prompts(index))
        codes = {"codes": torch.full((samples, 16), index)}
        store.write_shard(index, codes, samples=samples, filtered={}, totals={})
    store.finish()
    return store.folder


def rewrite(folder, change):
    """Change the JSON value of a store's manifest."""
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def open_for(folder, kind="images", on_mismatch="raise", **changes):
    """The store for a training with other values, and what is warned of."""
    warnings = []
    given = StoredTrajectories(**{kind: folder}, on_mismatch=on_mismatch)
    return given.open(kind, replace(TRAINING, **changes), warnings.append), warnings


@pytest.mark.parametrize("segments", [1, 2])
def test_it_fits_a_training_of_the_same_settings(folder, segments):
    store, warnings = open_for(folder, image_segments=segments)
    assert store.num_samples == 5 and not warnings


def test_another_number_of_kept_codes_by_steps_may_mean_the_same(folder):
    assert not open_for(folder, sampling=replace(SAMPLING, top_k={8: 9}))[1]


def test_any_teacher_does_while_it_is_not_known(folder):
    assert not open_for(folder, teacher=None)[1]


def test_a_store_from_before_an_option_was_made_with_its_default(folder):
    rewrite(folder, lambda value: value["identity"]["settings"].pop("sampling.schedule_base"))
    assert not open_for(folder)[1]
    with pytest.raises(UserError, match="with schedule_base image, but the stage says unknown"):
        open_for(folder, sampling=replace(SAMPLING, schedule_base="unknown"))


MISMATCHES = [
    ({"teacher": "u" * 64}, "was made by teacher tttttttttttt..., but the teacher is uuu"),
    (
        {"model": replace(MODEL, text_tokenizer="other")},
        "was collected with text tokenizer text..., but the text tokenizer is other...",
    ),
    (
        {"model": replace(MODEL, image_tokenizer="other")},
        "was collected with image tokenizer images..., but the image tokenizer is other...",
    ),
    (
        {"sampling": replace(SAMPLING, guidance_scale=2.0)},
        "was collected with guidance_scale 0.5, but the stage says 2.0",
    ),
    (
        {"sampling": replace(SAMPLING, top_k={4: 9})},
        "was collected with top_k None, but the stage says 9",
    ),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("changes", "message"), MISMATCHES)
def test_what_may_be_accepted(folder, changes, message):
    with pytest.raises(UserError) as caught:
        open_for(folder, **changes)
    assert f"{folder} {message}" in str(caught.value)
    assert str(caught.value).endswith("name another store, or accept it with on_mismatch: warn")
    (warning,) = open_for(folder, on_mismatch="warn", **changes)[1]
    assert f"{folder} {message}" in warning and warning.endswith("trained on nevertheless")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": replace(MODEL, family="other")},
            "was collected with family showo, but the model's is other; collect with this model",
        ),
        (
            {"model": replace(MODEL, codebook_size=64)},
            "was collected with codebook_size 24, but the model's is 64; collect with this model",
        ),
        (
            {"sampling": replace(SAMPLING, sampling_steps=8)},
            "was collected with sampling_steps 4, but the stage says 8; set sampling_steps to 4",
        ),
        ({"image_segments": 4}, "recorded for 2; expected one of 1, 2, since the teacher's"),
    ],
)
def test_what_never_fits(folder, changes, message):
    for on_mismatch in ("raise", "warn"):
        with pytest.raises(UserError) as caught:
            open_for(folder, on_mismatch=on_mismatch, **changes)
        assert message in str(caught.value)


@pytest.mark.bad_input
def test_one_of_another_kind(folder):
    with pytest.raises(UserError, match="holds trajectories of images"):
        open_for(folder, "texts")


@pytest.mark.bad_input
def test_an_unfinished_one(folder):
    rewrite(folder, lambda value: value["shards"].pop())
    with pytest.raises(UserError, match=r"is unfinished \(2 of 3 shards\)"):
        open_for(folder)


@pytest.mark.bad_input
def test_one_of_another_version(folder):
    rewrite(folder, lambda value: value.update(version=1))
    with pytest.raises(UserError, match="has format version 1"):
        open_for(folder)


@pytest.mark.bad_input
def test_no_store_is_named():
    with pytest.raises(UserError, match="trajectories name no store"):
        StoredTrajectories(on_mismatch="warn")
