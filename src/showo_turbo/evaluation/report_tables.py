"""A report as tables, for the terminal and in Markdown."""

from collections.abc import Sequence

from .figures import image_figures, sampling_figures, text_figures, time_figures
from .report import Report
from .tables import Figures, number, to_markdown
from .targets import Target


def target_figures(targets: Sequence[Target]) -> Figures:
    """Each target with its value and whether it was reached."""
    return Figures(
        "Targets",
        ["figure", "value", "must", "aim"],
        [
            [
                target.figure,
                number(target.value, 3),
                _verdict(target, target.must),
                _verdict(target, target.aim),
            ]
            for target in targets
        ],
    )


def report_figures(report: Report) -> list[Figures]:
    """All tables of a report."""
    figures = []
    if report.images:
        figures += [image_figures(report.images), time_figures(report.images)]
        figures.append(sampling_figures(report.images))
    if report.unseen_combinations:
        figures.append(image_figures(report.unseen_combinations))
    if report.text:
        figures.append(text_figures([row.to_dict() for row in report.text]))
    return figures


def report_markdown(report: Report) -> str:
    """The report's tables in Markdown, with a line on how it was measured."""
    parts = [to_markdown([*report_figures(report), target_figures(report.targets)])]
    if report.guidance:
        scales = ", ".join(f"{scale:g} at {steps}" for steps, scale in report.guidance.items())
        prompts = report.validation[0].n if report.validation else 0
        parts.append(
            f"Guidance of the teacher, chosen with its way of sampling on {prompts} separate "
            f"prompts: {scales} steps."
        )
    parts.append(
        "Brackets: 95% intervals (Wilson; over categories combined by squared distances). "
        "Iterations per block count one that only repeats the fixed point."
    )
    if report.hardware:
        parts.append(f"Measured on {report.hardware}.")
    return "\n".join(parts) + "\n"


def _verdict(target: Target, bound: float | None) -> str:
    if bound is None:
        return ""
    reached = {True: "yes", False: "no", None: "not measured"}[target.reached(bound)]
    sign = "<=" if target.at_most else ">" if target.above else ">="
    return f"{reached} ({sign} {bound:.3f})"
