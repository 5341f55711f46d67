"""From captions and questions to stores: what does not fit is left out, and it is said."""

from pathlib import Path

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.showo.sequences import format_question
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.trajectories import (
    ImageCollection,
    ImageTrajectoryDataset,
    TextCollection,
    TrajectoryCollector,
    TrajectoryStore,
    fingerprint_module,
)

from ..tiny import tiny_networks

IMAGES = ImageCollection(ImageSampling(2), segments=1, topk_targets=2)
LONG = "a red circle " * 30


@pytest.fixture(scope="module")
def networks():
    return tiny_networks()


@pytest.fixture
def said():
    return []


@pytest.fixture
def collector(networks, said, tmp_path):
    teacher, _, text_tokenizer = networks
    fingerprint = fingerprint_module(teacher)
    return TrajectoryCollector(teacher, fingerprint, text_tokenizer, tmp_path, said.append)


def encode(paths):
    """Another code for every image."""
    return {path: torch.full((16,), index) for index, path in enumerate(paths)}


def test_captions_that_are_too_long_are_counted(collector, said, tmp_path):
    store = collector.images(["a red circle", LONG, "two blue squares"], IMAGES)
    assert store.folder == tmp_path / "images"
    dataset = ImageTrajectoryDataset(store)
    found = [dataset[index] for index in range(len(dataset))]
    assert [(entry.key, entry.prompt) for entry in found] == [
        ("0", "a red circle"),
        ("2", "two blue squares"),
    ]
    assert said == ["left out 1 of 3 captions, which have more than 30 tokens"]


def test_nothing_is_said_when_all_fit(collector, said):
    collector.images(["a red circle"], IMAGES)
    assert said == []


def test_questions_that_leave_no_room_are_counted(collector, networks, said, tmp_path):
    teacher, _, text_tokenizer = networks
    room = teacher.config.text_room
    assert len(text_tokenizer.encode(format_question(LONG * 4))) >= room
    questions = [(Path("a.png"), "What?"), (Path("b.png"), LONG * 4), (Path("a.png"), "Where?")]
    store = collector.texts(questions, encode, TextCollection(TextDecoding(max_new_tokens=8)))
    assert store.folder == tmp_path / "texts"
    assert store.identity.num_prompts == 2
    assert said == [f"left out 1 of 3 questions, which have {room} tokens or more"]


def test_the_same_collection_is_not_made_again(collector, monkeypatch):
    first = collector.images(["a red circle"], IMAGES)
    monkeypatch.setattr(TrajectoryStore, "write_shard", None)
    assert collector.images(["a red circle"], IMAGES).fingerprint == first.fingerprint


@pytest.mark.bad_input
def test_nothing_is_written_when_nothing_fits(collector, tmp_path):
    with pytest.raises(UserError, match="all 2 captions have more than 30 tokens, the longest"):
        collector.images([LONG, LONG], IMAGES)
    with pytest.raises(UserError, match=r"all 1 questions have \d+ tokens or more"):
        collector.texts([(Path("a.png"), LONG * 4)], encode, TextCollection())
    with pytest.raises(UserError, match="steps is 17"):
        collector.images(["a red circle"], ImageCollection(ImageSampling(17), segments=1))
    assert list(tmp_path.iterdir()) == []
