"""A report as tables, for the terminal and in Markdown."""

from .figures import evaluation_figures, sampling_figures, time_figures
from .report import Report
from .tables import Figures, to_markdown


def report_figures(report: Report) -> list[Figures]:
    """All tables of a report."""
    text = [row.to_dict() for row in report.text]
    abilities = [row.to_dict() for row in report.abilities]
    figures = evaluation_figures(report.images, report.top_k, text, abilities)
    if report.images:
        figures += [time_figures(report.images), sampling_figures(report.images)]
    if report.unseen_combinations:
        figures += evaluation_figures(report.unseen_combinations, [], [])
    return figures


def report_markdown(report: Report) -> str:
    """The report's tables in Markdown, with a line on how it was measured."""
    parts = [to_markdown(report_figures(report))]
    if report.guidance:
        scales = ", ".join(f"{scale:g} at {steps}" for steps, scale in report.guidance.items())
        chosen = "as it was given"
        if report.validation:
            prompts = report.validation[0].n
            chosen = f"chosen with its way of sampling on {prompts} separate prompts"
        parts.append(f"Guidance of the teacher, {chosen}: {scales} steps.")
    parts.append(
        "Brackets: 95% intervals (Wilson; over categories combined by squared distances; of "
        "variety, bootstrap over prompts). "
        "Iterations per block count one that only repeats the fixed point."
    )
    if report.hardware:
        parts.append(f"Measured on {report.hardware}.")
    return "\n".join(parts) + "\n"
