"""Answers, and what the published scripts make of them.

The expected values were recorded by applying the scripts' own rules to these answers: `evaluate.py`
of AoiDragon/POPE at f3ec604, `calculation.py` of MME's evaluation tool, and `eval/eval_utils.py` of
MMMU-Benchmark/MMMU at 44b45b5.
"""

import pytest

from showo_turbo.metrics.answer_rules import chosen_letter, matches_open, mme_answer, pope_answer

OPTIONS = ["the first", "peace", "the second world war"]


@pytest.mark.parametrize(
    ("text", "pope", "mme"),
    [
        ("Yes", "yes", "yes"),
        ("yes, there is.", "yes", "yes"),
        ("No.", "no", "no"),
        ("No, there is not.", "no", "no"),
        ("There is not a dog", "no", "other"),
        ("Yes. But no cat.", "yes", "yes"),  # POPE: the first sentence only
        ("I say no, sir", "no", "other"),
        ("not", "no", "no"),
        ("NO", "yes", "no"),  # POPE: three spellings only
        ("No!", "yes", "no"),  # POPE: words end at spaces
        ("no\n", "yes", "no"),
        ("Well,no", "yes", "other"),
        ("Nope", "yes", "no"),
        ("know", "yes", "no"),  # MME: within the first four characters
        ("yno", "yes", "no"),
        (" Yes", "yes", "yes"),
        ("  yes", "yes", "other"),
        ("The answer is yes", "yes", "other"),
        ("a dog", "yes", "other"),
        ("", "yes", "other"),
    ],
)
def test_yes_and_no(text, pope, mme):
    assert (pope_answer(text), mme_answer(text)) == (pope, mme)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(C)", "C"),
        ("C.", "C"),
        ("The answer is A.", "A"),
        ("Answer: B", "B"),
        ("A.,", "A"),
        ("Not (A) but (B)", "B"),
        ("(A) and C", "A"),
        ("B or A ", "A"),
        ("I would say that it is the second world war", "C"),
        ("It was peace, not the first", "A"),
        ("I would say that PEACE came after the first", "A"),
    ],
)
def test_the_choice_in_an_answer(text, letter):
    assert chosen_letter(text, OPTIONS) == letter


@pytest.mark.parametrize("text", ["b", "A,.", "A, I think", "Apples", "the second world war", ""])
def test_without_a_choice_a_letter_is_drawn_once_and_for_all(text):
    """The script finds none in these, and draws one."""
    drawn = chosen_letter("a dog", OPTIONS)
    assert drawn in ("A", "B", "C")
    assert chosen_letter(text, OPTIONS) == drawn


def test_drawn_letters_are_spread():
    drawn = [chosen_letter("a dog", [f"one {index}", "two", "three"]) for index in range(300)]
    assert all(drawn.count(letter) > 70 for letter in "ABC")


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("7", "7", True),
        ("7.001", "7", True),
        ("The answer is 7.", "7", True),
        ("It costs $5", "5", True),
        ("12.5%", "12.5", True),
        ("x = 12.5", "12.5", True),
        ("1.2e3 m", "1200", True),
        ("It is 1,234 dollars", "1234", True),
        ("1,234.50", "1234.5", True),
        ("It is 1,234.50 dollars", "1234.5", False),  # read as 1,234 and 234.5
        ("about 12", "1", False),
        ("-3", "3", False),
        ("seven", "7", False),
        ("seven", ["7", "seven"], True),
        ("the Mitral Valve", "mitral valve", True),
        ("aorta", "mitral valve", False),
        ("unknown", ["aorta", "known"], True),
        ("vitamin", "v", False),
        ("vitamin V", "v", True),
        ("v", "v", True),
        ("The aorta is red", "aorta", False),  # only what comes after "is"
        ("It is red\nso the aorta", "aorta", True),
        ("", "a", False),
    ],
)
def test_open_answers(text, answer, right):
    assert matches_open(text, answer) == right
