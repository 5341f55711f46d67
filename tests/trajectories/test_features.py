"""Trajectories of texts about images that are read as continuous features."""

from pathlib import Path

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.image_input import ImageInput
from showo_turbo.models.protocols import FIXED_POINT
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.trajectories import (
    ModelIdentity,
    StoredTrajectories,
    TextRequest,
    TextTrajectoryDataset,
    TrajectoryStore,
    collate_text_trajectories,
    collect_texts,
    fingerprint_module,
    text_identity,
)
from showo_turbo.trajectories.batch_file import load_batch, save_batch
from showo_turbo.trajectories.requests import text_requests
from showo_turbo.trajectories.stored import Training

from .. import naive
from ..continuous import feature_prompt, feature_showo
from .conftest import content


@pytest.fixture(scope="module")
def requests():
    generator, model = torch.Generator().manual_seed(2), feature_showo()
    return [
        TextRequest(
            f"r{i}",
            torch.randn(16, 8, generator=generator).half(),
            feature_prompt(model, torch.randint(0, 29, (i % 4,), generator=generator).tolist()),
            f"what is in image {i}?",
        )
        for i in range(20)
    ]


@pytest.fixture(scope="module")
def teacher(requests):
    """A random network that ends some of its answers, and not others."""
    for seed in range(20):
        teacher = feature_showo(seed)
        for _ in range(4):
            with torch.no_grad():
                teacher.showo.lm_head.bias[teacher.eot_id] += 0.5
            results = jacobi_decode(
                teacher,
                torch.stack([request.image for request in requests]),
                [request.ids for request in requests],
                max_new_tokens=40,
                block_size=8,
            )
            lengths = [len(result.tokens) for result in results if result.finished]
            if 5 < len(lengths) < len(requests) and max(lengths) > 8:
                return teacher
    raise AssertionError("no random teacher ends some of its answers and not others")


def collect(folder, teacher, requests, settings):
    identity = text_identity(fingerprint_module(teacher), requests, settings)
    store = TrajectoryStore.create_or_continue(folder, identity)
    return collect_texts(teacher, requests, settings, store, progress=False)


def test_records_hold_the_features_that_the_teacher_saw(tmp_path, teacher, requests, text_settings):
    store = collect(tmp_path / "a", teacher, requests, text_settings)
    dataset = TextTrajectoryDataset(TrajectoryStore.open(tmp_path / "a", kind="texts"))
    by_key = {request.key: request for request in requests}
    assert 3 < len(dataset) == store.num_samples
    for record in map(dataset.__getitem__, range(len(dataset))):
        request = by_key[record.key]
        assert record.image.dtype == torch.float16
        assert torch.equal(record.image, request.image)
        assert record.prompt_ids.tolist() == request.ids
        expected = naive.decode_features(teacher, record.image.float(), request.ids, 40)
        assert record.answer_ids.tolist() == expected
    again = collect(tmp_path / "b", teacher, requests, text_settings)
    assert content(again.folder) == content(store.folder)


def test_a_batch_trains_on_them(tmp_path, teacher, requests, text_settings):
    collect(tmp_path / "a", teacher, requests, text_settings)
    dataset = TextTrajectoryDataset(TrajectoryStore.open(tmp_path / "a", kind="texts"))
    records = [dataset[index] for index in range(3)]
    steps = [[0] * len(record.blocks) for record in records]
    batch = collate_text_trajectories(records, steps, segments=1)
    assert torch.equal(batch.images, torch.stack([record.image for record in records]))
    save_batch(tmp_path / "batch.safetensors", batch)
    assert torch.equal(load_batch(tmp_path / "batch.safetensors").images, batch.images)
    # The teacher's greedy answer is what it predicts from it.
    logits = teacher.answer_logits(batch, {}, fixed_point=True)[FIXED_POINT]
    assert torch.equal(logits.argmax(-1)[batch.valid], batch.fixed_point[batch.valid])


def test_full_precision_is_recorded_in_half(tmp_path, teacher, requests, text_settings):
    """As what is recorded is what the teacher saw, both are the same store."""
    precise = [request._replace(image=request.image.float()) for request in requests]
    identity = text_identity("t", requests, text_settings)
    assert not identity.differences(text_identity("t", precise, text_settings))
    one = collect(tmp_path / "a", teacher, requests, text_settings)
    other = collect(tmp_path / "b", teacher, precise, text_settings)
    assert content(one.folder) == content(other.folder)


def test_requests_encode_each_image_once(teacher):
    teacher = feature_showo(text_vocabulary_size=640, eos_id=0)
    asked = []

    def encode(paths):
        asked.extend(paths)
        return {path: torch.full((16, 8), 1 / 3) for path in paths}

    questions = [(Path("a.png"), "What?"), (Path("b.png"), "What?"), (Path("a.png"), "Where?")]
    tokenizer = TextTokenizer.from_pretrained("shapes")
    found, left_out = text_requests(questions, encode, teacher, tokenizer, 8)
    assert asked == [Path("a.png"), Path("b.png")] and left_out == 0
    assert [request.image.dtype for request in found] == [torch.float16] * 3
    assert teacher.vocabulary.soi_id in found[0].ids


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(16).long(), r"codes of shape \(16,\); expected features of shape \(16, 8\)"),
        (torch.zeros(9, 8), r"features of shape \(9, 8\); expected features of shape \(16, 8\)"),
    ],
)
def test_images_that_the_teacher_cannot_read(
    tmp_path, teacher, requests, text_settings, image, message
):
    wrong = [requests[0], requests[1]._replace(image=image)]
    with pytest.raises(UserError, match=f"image of request 'r1' is given as {message}"):
        collect(tmp_path / "s", teacher, wrong, text_settings)


@pytest.mark.bad_input
def test_other_features_are_another_store(requests, text_settings):
    identity = text_identity("t", requests, text_settings)
    other = [requests[0]._replace(image=requests[1].image), *requests[1:]]
    assert identity.differences(text_identity("t", other, text_settings))


@pytest.mark.bad_input
def test_a_store_of_features_for_a_model_that_reads_codes(
    tmp_path, teacher, requests, text_settings
):
    collect(tmp_path / "a", teacher, requests, text_settings)
    given = StoredTrajectories(texts=tmp_path / "a", on_mismatch="warn")

    def open_for(image_input):
        training = Training(ModelIdentity(), None, ImageSampling(), 1, image_input)
        return given.open("texts", training, print)

    assert open_for(teacher.image_input).num_samples
    message = r"holds images as features of shape \(16, 8\); expected codes; collect with this"
    with pytest.raises(UserError, match=message):
        open_for(ImageInput("codes", 16, 24))
