import json
from pathlib import Path
from typing import Any

import pytest

from showo_turbo.data import LLaVAInstructions
from showo_turbo.errors import UserError

QUESTION = {"from": "human", "value": "What?"}
ANSWER = {"from": "gpt", "value": "That."}


def test_every_turn_is_a_sample(photographs: Any) -> None:
    dataset = LLaVAInstructions(photographs.root, photographs.instructions, 256)

    assert len(dataset) == 2 * 6
    assert dataset.num_text_only == 1
    first, second = dataset[2], dataset[3]
    assert first["question"] == "What is this?"
    assert first["answer"] == "a tabby cat"
    assert second["question"] == "Is it a photograph?" and second["answer"] == "Yes."
    assert first["id"] == second["id"] == "photograph-1"
    assert first["pixels"].shape == (3, 256, 256)


def test_requests_name_image_and_question(photographs: Any) -> None:
    requests = LLaVAInstructions(photographs.root, photographs.instructions, 8).requests()
    assert requests[2] == (photographs.root / "train2017/chelsea.jpg", "What is this?")
    assert all(path.is_file() for path, _ in requests)


@pytest.mark.parametrize(
    "value", ["<image>\nWhat?", "What?\n<image>", "<image> What?", "\nWhat?\n"]
)
def test_the_image_mark_is_taken_out(tmp_path: Path, value: str) -> None:
    record = {"image": "a.png", "conversations": [{"from": "human", "value": value}, ANSWER]}
    dataset = open_records(tmp_path, [record])
    assert dataset.requests()[0][1] == "What?"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({}, "is not a list of records"),
        ([], "holds no record with an image"),
        ([{"conversations": [QUESTION, ANSWER]}], r"no record with an image \(1 without\)"),
        (["a"], "record 0 .* expected an object"),
        (
            [{"image": ["a.png"], "conversations": [QUESTION, ANSWER]}],
            r"\['a.png'\] for 'image'; expected a text",
        ),
        ([{"image": "a.png"}], "None for 'conversations'; expected questions and answers"),
        ([{"image": "a.png", "conversations": [QUESTION]}], "1 messages for 'conversations'"),
        ([{"image": "a.png", "conversations": [ANSWER, QUESTION]}], "one from 'human' is due"),
        (
            [{"image": "a.png", "conversations": [QUESTION, {"from": "gpt", "value": 3}]}],
            "3 for 'value'",
        ),
        ([{"image": "../a.png", "conversations": [QUESTION, ANSWER]}], "expected a relative path"),
    ],
)
def test_a_malformed_file_is_explained_in_one_line(
    tmp_path: Path, records: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        open_records(tmp_path, records)
    assert "\n" not in str(error.value)


def open_records(folder: Path, records: Any) -> LLaVAInstructions:
    path = folder / "llava.json"
    path.write_text(json.dumps(records))
    return LLaVAInstructions(folder, path, 8)
