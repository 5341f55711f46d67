import pytest

from showo_turbo.evaluation import Report
from showo_turbo.sampling.image_sampling import ImageSampling

from ..support.loading import load_script
from .worlds import score, text_score

targets_script = load_script("benchmarks/targets.py")
Target = targets_script.Target
GUIDANCE = {16: 1.0, 8: 1.0, 4: 0.5, 2: 0.0}


def distillation_targets(images, text):
    chosen = {steps: ImageSampling(steps, scale) for steps, scale in GUIDANCE.items()}
    report = Report(images=images, text=text, teacher_sampling=chosen if images else {})
    return targets_script.distillation_targets(report.to_dict())


def figures(student4=9, student2=8):
    return [
        score("teacher", 16, 0.0, (5, 10)),
        score("teacher", 16, 1.0, (9, 10)),
        score("teacher", 8, 1.0, (8, 10)),
        score("teacher", 4, 0.5, (7, 10)),
        score("stage1", 2, 0.0, (8, 10)),
        score("student", 4, 0.0, (student4, 10)),
        score("student", 2, 0.0, (student2, 10)),
    ]


def by_name(targets, beginning):
    (found,) = [target for target in targets if target.figure.startswith(beginning)]
    return found


def test_a_good_student():
    texts = [text_score(), text_score("student", matched=8, iterations=(4, 5))]
    targets = distillation_targets(figures(), texts)
    teacher = by_name(targets, "teacher, 16")
    assert (teacher.value, teacher.reached(teacher.must)) == (0.9, True)
    assert teacher.reached(teacher.aim) is False
    four = by_name(targets, "student, 4 steps")
    assert four.must == pytest.approx(0.93 * 0.9), "more than the teacher's 0.8 at 8 steps"
    assert four.reached(four.must) and four.reached(four.aim)
    two = by_name(targets, "student, 2 steps without guidance (must")
    assert two.must == pytest.approx(0.7)
    assert two.reached(two.must) is True
    assert two.reached(two.aim) is False, "0.8 is less than 92% of 0.9"
    better = by_name(targets, "student, 2 steps without guidance (aim: better than stage1")
    assert better.reached(better.must) is None
    assert better.reached(better.aim) is False, "equal is not better"
    iterations = by_name(targets, "student, Jacobi")
    assert iterations.value == 4.5 and iterations.reached(iterations.aim) is True
    exact = by_name(targets, "student, exact match")
    assert exact.reached(exact.aim) is True


def test_a_bad_student():
    texts = [text_score(), text_score("student", matched=6, iterations=(12, 16))]
    targets = distillation_targets(figures(student4=7, student2=9), texts)
    verdicts = {target.figure: target.reached(target.must) for target in targets}
    assert by_name(targets, "student, 4 steps").reached(0.837) is False
    assert by_name(targets, "student, 2 steps without guidance (aim").reached(0.8) is True
    assert sum(verdict is False for verdict in verdicts.values()) == 3


def test_what_was_not_measured_is_neither_reached_nor_missed():
    for target in distillation_targets([], []):
        assert target.reached(target.must) is None
    assert "not measured" in str(targets_script.target_figures([Target("", None, 1.0, None)]))


def test_bounds_that_are_met_exactly():
    assert Target("", 0.1 + 0.2, 0.3, None).reached(0.3) is True
    assert Target("", 10.0, 10.0, None, at_most=True).reached(10.0) is True
    assert Target("", 0.3, None, 0.3, above=True).reached(0.3) is False
