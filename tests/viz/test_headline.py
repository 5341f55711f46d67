"""The result of a run in one sentence, on scores made by hand."""

from dataclasses import replace

from showo_turbo.viz.page.headline import headline

from ..evaluation.worlds import score


def timed(model, steps, good, seconds, guidance=0.0):
    return replace(score(model, steps, guidance, good), seconds=seconds * 6 * good[1])


TEACHER = [timed("teacher", 16, (10, 10), 0.08, 2.0), timed("teacher", 4, (2, 10), 0.02, 2.0)]


def test_the_fewest_steps_that_keep_enough():
    students = [
        timed("student", 8, (10, 10), 0.04),
        timed("student", 4, (98, 100), 0.016),
        timed("student", 2, (94, 100), 0.008),
    ]
    expected = "4 steps: 98% of the teacher's quality in 16, 5 times as fast."
    assert headline([*TEACHER, *students], []) == expected


def test_the_best_where_nothing_keeps_enough():
    students = [timed("student", 4, (7, 10), 0.016), timed("student", 1, (5, 10), 0.004)]
    expected = "4 steps: 70% of the teacher's quality in 16, 5 times as fast."
    assert headline([*TEACHER, *students], []) == expected


def test_one_step():
    students = [timed("student", 1, (10, 10), 0.004)]
    expected = "1 step: 100% of the teacher's quality in 16, 20 times as fast."
    assert headline([*TEACHER, *students], []) == expected


def test_a_metric():
    def measured(row, value):
        return replace(row, satisfied=(), metrics={"FID": value})

    rows = [
        measured(TEACHER[0], 20.0),
        measured(timed("student", 4, (1, 10), 0.02), 21.5),
        measured(timed("student", 2, (1, 10), 0.01), 30.0),
    ]
    expected = "4 steps: FID 21.5 where the teacher has 20 in 16, 4 times as fast."
    assert headline(rows, []) == expected
    assert headline(rows[1:2], []) == "4 steps: FID 21.5."


def test_speed_alone():
    rows = [replace(row, satisfied=()) for row in TEACHER]
    rows += [replace(timed("student", n, (1, 10), 0.002 * n), satisfied=()) for n in (8, 4, 2)]
    assert headline(rows, []) == "4 steps, 10 times as fast."


def test_without_a_teacher():
    assert headline([score("student", 4, 0.0, (7, 10))], []) == (
        "4 steps: 70% of the prompts satisfied."
    )


def test_answers():
    def answers(model, decoding, speed, tokens):
        common = {"model": model, "decoding": decoding, "tokens_per_second": speed}
        return common | {"tokens_per_forward": tokens}

    rows = [
        answers("teacher", "ar", 100, 1.0),
        answers("student", "ar", 80, 1.0),
        answers("student", "jacobi", 150, 2.6),
        answers("student", "jacobi", 170, 2.84),
    ]
    assert headline([], rows) == "Answers 1.7 times as fast, 2.8 tokens a forward pass."
    assert headline([], rows[:2]) == headline([], []) == ""
    denoised = [
        answers("teacher", "block_diffusion", 50, 1.0),
        answers("student", "block_diffusion", 200, 4.0),
    ]
    assert headline([], denoised) == "Answers 4.0 times as fast, 4.0 tokens a forward pass."
    assert headline([], denoised[1:]) == ""
