import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from showo_turbo.data.question_files import read_mme, read_mmmu, read_pope
from showo_turbo.errors import UserError


def test_pope_file(tmp_path):
    path = tmp_path / "coco_pope_random.json"
    entry = {"question_id": 1, "image": "a.jpg", "text": "Is there a dog?", "label": "Yes"}
    path.write_text(json.dumps(entry) + "\n\n")
    assert read_pope(path) == [{"image": "a.jpg", "question": "Is there a dog?", "label": "yes"}]
    path.write_text(json.dumps(entry) + '\n{"image": 1}\n')
    with pytest.raises(UserError, match="line 2 of"):
        read_pope(path)
    path.write_text(json.dumps(entry) + "\n{")
    with pytest.raises(UserError, match=r"line 2 of .* is not valid JSON"):
        read_pope(path)
    with pytest.raises(UserError, match="does not exist"):
        read_pope(tmp_path / "none.json")


def test_pope_file_of_another_editor(tmp_path):
    entry = {"image": "a.jpg", "text": "Is there\u2028a dog?", "label": "no"}
    path = tmp_path / "coco_pope_random.json"
    path.write_text(json.dumps(entry, ensure_ascii=False) + "\n", encoding="utf-8-sig")
    assert read_pope(path) == [
        {"image": "a.jpg", "question": "Is there\u2028a dog?", "label": "no"}
    ]


def test_mme_folder(tmp_path):
    beside = tmp_path / "existence"
    apart = tmp_path / "artwork"
    for folder in (beside, apart / "images", apart / "questions_answers_YN"):
        folder.mkdir(parents=True)
    (beside / "000.jpg").touch()
    (beside / "000.txt").write_text("Is it a dog?\tYes\nIs it a cat?\tNo\n")
    (apart / "images" / "1.png").touch()
    (apart / "questions_answers_YN" / "1.txt").write_text("Is it by Monet?\tNo\n")
    records = read_mme(tmp_path)
    assert [(r["category"], r["question"], r["answer"]) for r in records] == [
        ("existence", "Is it a dog?", "Yes"),
        ("existence", "Is it a cat?", "No"),
        ("artwork", "Is it by Monet?", "No"),
    ]
    assert records[2]["image"].endswith("artwork/images/1.png")
    text = "Is it\x85a dog?\tYes\r\nIs it a cat?\tNo\r\n"
    (beside / "000.txt").write_bytes(text.encode("utf-8-sig"))
    assert [(r["question"], r["answer"]) for r in read_mme(tmp_path)[:2]] == [
        ("Is it\x85a dog?", "Yes"),
        ("Is it a cat?", "No"),
    ]
    (beside / "000.txt").write_text("Is it a dog? Yes\n")
    with pytest.raises(UserError, match="expected a question, a tab"):
        read_mme(tmp_path)


def test_mmmu_file(tmp_path):
    rows = [
        {
            "id": "validation_Art_1",
            "question": "<image 1> Which?",
            "options": "['a', \"b's\"]",
            "answer": "B",
            "question_type": "multiple-choice",
            "image_1": {"bytes": b"png", "path": "1.png"},
            "image_2": None,
        },
        {
            "id": "validation_Art_2",
            "question": "How many?",
            "options": "[]",
            "answer": "['7', 'seven']",
            "question_type": "open",
            "image_1": None,
            "image_2": None,
        },
    ]
    path = tmp_path / "validation.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    first, second = read_mmmu(path)
    assert first["options"] == ["a", "b's"] and first["images"] == [b"png"]
    assert second["answer"] == ["7", "seven"] and second["images"] == []
    table = pa.Table.from_pylist(rows)
    answers = table["answer"].dictionary_encode()
    table = table.set_column(table.schema.get_field_index("answer"), "answer", answers)
    question = table["question"].cast(pa.string_view())
    table = table.set_column(table.schema.get_field_index("question"), "question", question)
    parquet.write_table(table, path)
    assert list(read_mmmu(path)) == [first, second]
    for damage in ({"options": "[]"}, {"answer": None}):
        parquet.write_table(pa.Table.from_pylist([rows[0] | damage]), path)
        with pytest.raises(UserError, match=r"a row of .* is damaged"):
            list(read_mmmu(path))
    path.write_bytes(b"no parquet")
    with pytest.raises(UserError, match="not a Parquet file"):
        list(read_mmmu(path))
