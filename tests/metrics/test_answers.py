import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from showo_turbo.errors import UserError
from showo_turbo.metrics.answer_files import read_mme, read_mmmu, read_pope
from showo_turbo.metrics.answers import MME, MMMU, POPE, chosen_letter, matches_open, yes_or_no


def test_yes_or_no():
    for text in ("Yes", "yes, there is.", "I think yes, not no"):
        assert yes_or_no(text) == "yes"
    for text in ("No.", "There is not a dog", "no yes"):
        assert yes_or_no(text) == "no"
    assert yes_or_no("nothing") == "other"


def test_pope_by_hand():
    """3 right yes, 1 wrong yes, 2 right no, 2 wrong no; one of the yes is only implied."""
    said = ["yes", "Yes.", "a dog", "yes", "no", "no", "No", "not at all"]
    labels = ["yes", "yes", "yes", "no", "no", "no", "yes", "yes"]
    metric = POPE()
    metric.update(said[:3], [{"label": label} for label in labels[:3]])
    metric.update(said[3:], [{"label": label} for label in labels[3:]])
    assert float(metric.compute()) == 5 / 8
    found = metric.figures()
    assert found["precision"] == 3 / 4 and found["recall"] == 3 / 5
    assert found["f1"] == pytest.approx(2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5))
    assert found["yes"] == 4 / 8


def test_mme_by_hand():
    """Existence: 3 of 4 answers, 1 of 2 images; OCR: all; a category of cognition: nothing."""
    rows = [
        ("existence", "a", "Yes", "yes"),
        ("existence", "a", "No", "no"),
        ("existence", "b", "Yes", "yes"),
        ("existence", "b", "No", "yes"),
        ("OCR", "a", "Yes", "Yes"),
        ("OCR", "a", "No", "No, it is not"),
        ("code_reasoning", "a", "Yes", "perhaps"),
        ("code_reasoning", "a", "No", "perhaps"),
    ]
    records = [{"category": c, "image": i, "answer": a} for c, i, a, _ in rows]
    values = {}
    for part in ("perception", "cognition", "all"):
        metric = MME(part)
        metric.update([row[3] for row in rows], records)
        values[part] = float(metric.compute())
    assert values == {"perception": 75 + 50 + 200, "cognition": 0, "all": 325}
    with pytest.raises(UserError, match="choose perception"):
        MME("reasoning")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(C)", "C"),
        ("The answer is A.", "A"),
        ("Not (A) but (B)", "B"),
        ("I would say that it is the second world war", "C"),
        ("a dog", None),
        ("Apples", None),
    ],
)
def test_the_choice_in_an_answer(text, letter):
    assert chosen_letter(text, ["the first", "peace", "the second world war"]) == letter


def test_open_answers():
    assert matches_open("It is 1,234.50 dollars.", "1234.5")
    assert matches_open("the Mitral Valve", ["aorta", "mitral valve"])
    assert not matches_open("about 12", "1")
    assert not matches_open("unknown", ["aorta"])


def test_mmmu_counts_both_kinds():
    metric = MMMU()
    choice = {"question_type": "multiple-choice", "options": ["x", "y"], "answer": "B"}
    open_one = {"question_type": "open", "options": [], "answer": "7"}
    metric.update(["B", "A", "7.00", "8"], [choice, choice, open_one, open_one])
    assert float(metric.compute()) == 0.5
    with pytest.raises(UserError, match="has no 'options'"):
        metric.update(["B"], [{"question_type": "open", "answer": "7"}])


def test_pope_file(tmp_path):
    path = tmp_path / "coco_pope_random.json"
    entry = {"question_id": 1, "image": "a.jpg", "text": "Is there a dog?", "label": "Yes"}
    path.write_text(json.dumps(entry) + "\n\n")
    assert read_pope(path) == [{"image": "a.jpg", "question": "Is there a dog?", "label": "yes"}]
    path.write_text(json.dumps(entry) + '\n{"image": 1}\n')
    with pytest.raises(UserError, match="line 2 of"):
        read_pope(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_pope(tmp_path / "none.json")


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
    path.write_bytes(b"no parquet")
    with pytest.raises(UserError, match="no Parquet file"):
        list(read_mmmu(path))
