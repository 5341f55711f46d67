"""Which of two models is better: paired differences on the same prompts and questions."""

from typing import Any

from .plan import STUDENT, TEACHER
from .report import Report
from .text_scores import TextScore, agreement, exact_match_difference


def compare(report: Report) -> list[dict[str, Any]]:
    """Paired differences on the same prompts and questions.

    The student is compared with every model between and with the teacher's best, at each number of
    steps, and in the exact match of its answers.
    """
    rows = {(row.model, row.steps, row.guidance): row for row in report.images if row.judged}
    comparisons = []
    for (name, steps, guidance), row in rows.items():
        if name == STUDENT or guidance != (report.guidance.get(steps) if name == TEACHER else 0.0):
            continue
        student = rows.get((STUDENT, steps, 0.0))
        if student is not None:
            comparisons.append(
                {
                    "figure": "image score, the student's without guidance minus the other's",
                    "steps": steps,
                    "other": name,
                    "other_guidance": guidance,
                    **student.minus(row).to_dict(),
                }
            )
    texts: dict[str, TextScore] = {}
    for text in report.text:  # of each model the way that is its own: the first
        if not text.benchmark and (text.driver == "block" or text.decoding == "block_diffusion"):
            texts.setdefault(text.model, text)
    if TEACHER in texts and STUDENT in texts:
        student_text, teacher_text = texts[STUDENT], texts[TEACHER]
        for long, what in ((False, "all answers"), (True, "answers of at least one block")):
            if long and not any(student_text.long):
                continue
            difference = exact_match_difference(student_text, teacher_text, long=long)
            comparisons.append(
                {
                    "figure": f"exact match, the student's minus the teacher's, {what}",
                    **difference.to_dict(),
                }
            )
        comparisons.append(
            {
                "figure": "answers that student and teacher give alike",
                **agreement(student_text, teacher_text),
            }
        )
    return comparisons
