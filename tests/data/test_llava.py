import json
from pathlib import Path
from typing import Any

import pytest

from showo_turbo.data import InstructionFiles, LLaVAInstructions
from showo_turbo.errors import UserError
from showo_turbo.models.questions import FollowUp

QUESTION = {"from": "human", "value": "What?"}
ANSWER = {"from": "gpt", "value": "That."}


def test_every_turn_is_a_sample(photographs: Any) -> None:
    dataset = LLaVAInstructions(photographs.root, photographs.instructions, 256)

    assert len(dataset) == 2 * 6
    assert dataset.num_text_only == 1
    first, second = dataset[2], dataset[3]
    assert first["question"] == "What is this?"
    assert first["answer"] == "a tabby cat"
    assert second["question"] == FollowUp("Is it a photograph?", [("What is this?", "a tabby cat")])
    assert str(second["question"]) == "Is it a photograph?" and second["answer"] == "Yes."
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


SYSTEM = {"from": "system", "value": "Be brief."}
AGAIN = {"from": "human", "value": "And <image> now?"}
OTHER = {"from": "gpt", "value": "This."}


@pytest.mark.parametrize(
    ("messages", "openings", "unanswered"),
    [
        ([SYSTEM, QUESTION, ANSWER, AGAIN, OTHER], 1, 0),
        ([OTHER, QUESTION, ANSWER, AGAIN, OTHER], 1, 0),
        ([SYSTEM, OTHER, QUESTION, ANSWER, AGAIN, OTHER], 2, 0),
        ([QUESTION, ANSWER, AGAIN, OTHER, QUESTION], 0, 1),
    ],
)
def test_conversations_that_begin_or_end_otherwise(
    tmp_path: Path, messages: Any, openings: int, unanswered: int
) -> None:
    dataset = open_records(tmp_path, [{"image": "a.png", "conversations": messages}])
    assert (dataset.num_openings, dataset.num_unanswered) == (openings, unanswered)
    follow_up = FollowUp("And  now?", [("What?", "That.")])
    assert dataset.requests() == [(tmp_path / "a.png", q) for q in ("What?", follow_up)]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.png", "a.png"),
        ("coco/train2017/000000033471.jpg", "coco/train2017/000000033471.jpg"),
        ("./a.png", "a.png"),
        ("b//c d/./e.png", "b/c d/e.png"),
        ("é/a_b-c.d.png", "é/a_b-c.d.png"),
        ("a./b", "a./b"),
    ],
)
def test_paths_of_images(tmp_path: Path, name: str, kept: str) -> None:
    dataset = open_records(tmp_path, [{"image": name, "conversations": [QUESTION, ANSWER]}])
    assert dataset.requests()[0][0] == tmp_path / kept


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["../a", "a/../b", "/a", "..", ".", "a/..", "a\0b"])
def test_paths_out_of_the_folder(tmp_path: Path, name: str) -> None:
    record = {"image": name, "conversations": [QUESTION, ANSWER]}
    with pytest.raises(UserError, match="expected a relative path"):
        open_records(tmp_path, [record])


def test_questions_may_stand_alone(tmp_path: Path) -> None:
    record = {"image": "a.png", "conversations": [QUESTION, ANSWER, AGAIN, OTHER]}
    questions = [q for _, q in open_records(tmp_path, [record], history=False).requests()]
    assert questions == ["What?", "And  now?"]


def test_a_list_of_one_image(tmp_path: Path) -> None:
    turns = [QUESTION, ANSWER]
    records = [{"image": image, "conversations": turns} for image in (["a.png"], "b.png", [], None)]
    dataset = open_records(tmp_path, records)
    assert [path.name for path, _ in dataset.requests()] == ["a.png", "b.png"]
    assert dataset.num_text_only == 2


def test_records_of_another_editor(tmp_path: Path) -> None:
    path = tmp_path / "llava.json"
    record = {"image": "a.png", "conversations": [QUESTION, ANSWER]}
    path.write_text(json.dumps([record]), encoding="utf-8-sig")
    assert len(LLaVAInstructions(tmp_path, path, 24)) == 1


def test_what_is_left_out_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = [
        {"image": "a.png", "conversations": [SYSTEM, QUESTION, ANSWER, AGAIN]},
        {"conversations": [QUESTION, ANSWER]},
    ]
    open_records(tmp_path, records)
    with caplog.at_level("INFO"):
        InstructionFiles(tmp_path, tmp_path / "llava.json").requests()
    assert caplog.messages == [
        f"{tmp_path / 'llava.json'}: left out 1 records without an image, 1 messages before a "
        "first question, 1 questions without an answer, 1 questions remain"
    ]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({}, "is not a list of records"),
        ([], "holds no record with an image"),
        ([{"conversations": [QUESTION, ANSWER]}], r"no record with an image \(1 without\)"),
        (["a"], "record 0 .* expected an object"),
        (
            [{"image": ["a.png", "b.png"], "conversations": [QUESTION, ANSWER]}],
            "2 images for 'image'; expected a single one",
        ),
        ([{"image": [3], "conversations": [QUESTION, ANSWER]}], "3 for 'image'; expected a text"),
        ([{"image": "a.png"}], "None for 'conversations'; expected questions and answers"),
        ([{"image": "a.png", "conversations": [QUESTION]}], "1 messages for 'conversations'"),
        ([{"image": "a.png", "conversations": [ANSWER, QUESTION]}], "2 messages for 'conv"),
        ([{"image": "a.png", "conversations": [ANSWER, ANSWER, OTHER]}], "from 'human' is due"),
        ([{"image": "a.png", "conversations": [QUESTION, ANSWER, OTHER]}], "from 'human' is due"),
        ([{"image": "a.png", "conversations": [QUESTION, QUESTION]}], "from 'gpt' is due"),
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


def open_records(folder: Path, records: Any, **options: Any) -> LLaVAInstructions:
    path = folder / "llava.json"
    path.write_text(json.dumps(records))
    return LLaVAInstructions(folder, path, 8, **options)
