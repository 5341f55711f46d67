"""Write the README's figures, the only ones in it, from the report of the quickstart.

python docs/tools/readme_figures.py            # after benchmarks/results/quickstart has changed
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "benchmarks" / "results" / "quickstart" / "report.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"


def figures(report: dict[str, Any]) -> str:
    """A paragraph and a table in Markdown.

    Args:
        report: What `report.json` holds.
    """
    teacher, student = (best_by_steps(report["images"], name) for name in ("teacher", "student"))
    base = teacher[max(teacher)]
    few = [student[steps] for steps in (4, 2, 1)]
    kept = [f"{row['score'] / base['score']:.0%}" for row in few]
    faster = [f"{base['seconds_per_image'] / row['seconds_per_image']:.2g}" for row in few]
    unseen, unseen_base = (
        best_by_steps(report["unseen_combinations"], name) for name in ("student", "teacher")
    )
    (plain, jacobi) = answers(report["text"])
    lost = " and ".join(f"{unseen[n]['score']:.0%} in {n} steps" for n in sorted(unseen)[::-1])
    hardest = unseen_base[max(unseen_base)]
    text = (
        f"On the shapes world, where the teacher satisfies {base['score']:.0%} of the prompts in "
        f"{base['steps']} guided steps, the student keeps {kept[0]} of that in 4 steps without "
        f"guidance, **{faster[0]} times faster**; {kept[1]} in 2 steps, **{faster[1]} times**; and "
        f"{kept[2]} in a single step, **{faster[2]} times**. Its answers take "
        f"{jacobi['tokens_per_forward']:.1f} tokens a forward pass instead of one, "
        f"**{jacobi['tokens_per_second'] / plain['tokens_per_second']:.1f} times faster**, and are "
        f"exact in {jacobi['exact_match']:.1%} (the teacher's in "
        f"{teacher_exact(report['text']):.1%}). It is weaker on combinations that do not occur in "
        f"its training data: {lost}, where the teacher satisfies {hardest['score']:.0%} in "
        f"{hardest['steps']}."
    )
    steps = sorted(set(teacher) & set(student), reverse=True)
    names = [f"{count} step{'s' if count > 1 else ''}" for count in steps]
    rows = [
        ["teacher, guided: prompts satisfied", *(share(teacher[count]) for count in steps)],
        ["student, no guidance: prompts satisfied", *(share(student[count]) for count in steps)],
        ["teacher: milliseconds an image", *(milliseconds(teacher[count]) for count in steps)],
        ["student: milliseconds an image", *(milliseconds(student[count]) for count in steps)],
    ]
    table = [["", *names], ["---"] * (len(steps) + 1), *rows]
    lines = ["| " + " | ".join(row) + " |" for row in table]
    note = f"*{base['n']} held-out prompts, one seed trained. {report['hardware']}, no GPU.*"
    return "\n".join([text, "", *lines, "", note]) + "\n"


def best_by_steps(rows: list[dict[str, Any]], model: str) -> dict[int, dict[str, Any]]:
    """The best score of a model at each number of steps."""
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        if row["model"] != model or "score" not in row:
            continue
        if row["steps"] not in found or row["score"] > found[row["steps"]]["score"]:
            found[row["steps"]] = row
    return found


def answers(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The student's autoregressive answers, and its fastest by Jacobi decoding."""
    own = [row for row in rows if row["model"] == "student"]
    (plain,) = (row for row in own if row["decoding"] == "ar")
    jacobi = [row for row in own if row["decoding"] == "jacobi"]
    return plain, max(jacobi, key=lambda row: row["tokens_per_second"])


def teacher_exact(rows: list[dict[str, Any]]) -> float:
    """The share of the teacher's answers that are exact."""
    return next(float(row["exact_match"]) for row in rows if row["model"] == "teacher")


def share(row: dict[str, Any]) -> str:
    """A score with its 95% interval."""
    low, high = row["ci95"]
    return f"{row['score']:.2f} [{low:.2f}, {high:.2f}]"


def milliseconds(row: dict[str, Any]) -> str:
    """The time of an image."""
    return f"{1000 * row['seconds_per_image']:.1f}"


def with_figures(readme: str, written: str) -> str:
    """The README with these figures between its two marks."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + written + END + after


def main() -> None:
    """Write them."""
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    README.write_text(with_figures(README.read_text("utf-8"), figures(report)), encoding="utf-8")
    print(f"written: {README}")


if __name__ == "__main__":
    main()
