import pytest

from showo_turbo.errors import UserError
from showo_turbo.metrics.answers import MME, MMMU, POPE


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
    assert metric.figures() == {"perception": 325, "cognition": 0}
    with pytest.raises(UserError, match="choose perception"):
        MME("reasoning")


def test_mmmu_counts_both_kinds():
    metric = MMMU()
    choice = {"question_type": "multiple-choice", "options": ["x", "y"], "answer": "B"}
    open_one = {"question_type": "open", "options": [], "answer": "7"}
    metric.update(["B", "A", "7.00", "8"], [choice, choice, open_one, open_one])
    assert float(metric.compute()) == 0.5
    with pytest.raises(UserError, match="has no 'options'"):
        metric.update(["B"], [{"question_type": "open", "answer": "7"}])


def test_each_benchmark_reads_answers_by_its_own_rule():
    """The values of `test_answer_rules`: one answer, read in two ways; a letter drawn."""
    pope, mme, mmmu = POPE(), MME(), MMMU()
    said = ["NO", "I say no, sir"]
    pope.update(said, [{"label": "no"}] * 2)
    assert float(pope.compute()) == 0.5
    mme.update(said, [{"category": "scene", "image": "a", "answer": "No"}] * 2)
    assert float(mme.compute()) == 50
    choice = {"question_type": "multiple-choice", "options": ["x", "y"]}
    mmmu.update(["neither"] * 2, [choice | {"answer": letter} for letter in "AB"])
    assert float(mmmu.compute()) == 0.5
