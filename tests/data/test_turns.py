"""Turns that are kept in a file, against those that are read from the annotations."""

import json
import os
import pickle

import pytest

from showo_turbo.data import (
    DistillationDataModule,
    InstructionFiles,
    LLaVAInstructions,
    llava,
    turns,
)
from showo_turbo.data.bad_samples import BadSamples
from showo_turbo.errors import BadSample, UserError
from showo_turbo.models.questions import FollowUp
from showo_turbo.utils.remembered import CACHE_VARIABLE


def conversation(*texts):
    speakers = ("human", "gpt")
    return [{"from": speakers[i % 2], "value": text} for i, text in enumerate(texts)]


RECORDS = [
    {"id": 1, "image": "a.png", "conversations": conversation("What?", "A.", "And?", "B.")},
    {"id": 2, "image": "b.png", "conversations": conversation("What?", "A.", "And?", "B.")},
    {"id": 3, "conversations": conversation("No image?", "None.")},
    {"id": 4, "image": "./a.png", "conversations": conversation("What?", "C.", "And?", "B.")},
    {"id": 5, "image": "a.png", "conversations": conversation("What?", "A.", "And?", "D.")},
]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """All files count as large; their turns are kept in this folder."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(turns, "LARGE", 0)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def annotations(tmp_path):
    path = tmp_path / "llava.json"
    path.write_text(json.dumps(RECORDS))
    return path


def opened(annotations, **options):
    return LLaVAInstructions(annotations.parent, annotations, 8, **options)


def rows(dataset):
    return [dataset.requests().turn(index) for index in range(len(dataset))]


def test_a_large_file_is_read_once(cache, annotations, monkeypatch):
    plain = turns.LARGE
    monkeypatch.setattr(turns, "LARGE", 2**30)
    expected = rows(opened(annotations))
    assert not cache.exists() and len(expected) == 8
    monkeypatch.setattr(turns, "LARGE", plain)
    assert rows(opened(annotations)) == expected
    assert len(list(cache.glob("*.arrow"))) == 1
    monkeypatch.setattr(llava, "read_json_list", None)  # would fail
    again = opened(annotations)
    assert rows(again) == expected and again.num_text_only == 1
    # What is handed to another process maps the file, and takes no copy of it along.
    assert len(pickle.dumps(again)) < 1000 and rows(pickle.loads(pickle.dumps(again))) == expected


def test_another_file_or_way_of_reading_is_read_again(cache, annotations):
    first = rows(opened(annotations))
    alone = rows(opened(annotations, history=False))
    assert [type(turn.question) for turn in first[:2]] == [str, FollowUp]
    assert {type(turn.question) for turn in alone} == {str}
    annotations.write_text(json.dumps(RECORDS[:1]))
    os.utime(annotations, ns=(1, 1))
    assert rows(opened(annotations)) == first[:2]
    assert len(list(cache.glob("*.arrow"))) == 1, "those of the old file are gone"


@pytest.mark.parametrize("history", [True, False])
def test_distinct_requests_are_those_of_a_dict(annotations, history):
    requests = opened(annotations, history=history).requests()
    found = requests.distinct()
    assert list(found) == list(dict.fromkeys(requests))
    assert len(found) == (5 if history else 4)
    assert found[1:3] == list(found)[1:3]


def test_distillation_asks_each_once(annotations):
    files = InstructionFiles(annotations.parent, annotations)
    data = DistillationDataModule(resolution=8, instructions=files)
    asked = data.text_requests()
    assert sorted(map(str, asked)) == sorted(map(str, dict.fromkeys(files.requests())))
    assert data.text_requests(2) == asked[:2]


@pytest.mark.bad_input
def test_bad_records_are_reported_whenever_the_file_is_opened(cache, annotations, tmp_path):
    annotations.write_text(json.dumps([*RECORDS, "none", {"image": "../c.png"}]))
    for run in ("first", "second"):
        bad = BadSamples(2, tmp_path / run)
        assert len(opened(annotations, skip=bad.skip)) == 8
        assert len(bad.reasons) == 2 and any("record 5 of" in reason for reason in bad.reasons)
    with pytest.raises(BadSample, match=r"record 5 of .* expected an object"):
        opened(annotations)


@pytest.mark.bad_input
def test_a_folder_that_cannot_be_written_to(annotations, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(turns, "LARGE", 0)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    assert len(opened(annotations)) == 8
    with pytest.raises(UserError, match="does not exist"):
        opened(tmp_path / "none.json")
