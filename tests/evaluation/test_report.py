import csv
import json
from dataclasses import replace
from io import StringIO

from rich.console import Console

from showo_turbo.evaluation import (
    Report,
    Variety,
    image_figures,
    make_console,
    report_figures,
    report_markdown,
    text_figures,
    to_rich,
    write_scores_csv,
)
from showo_turbo.evaluation.comparisons import compare
from showo_turbo.evaluation.report import CSV_COLUMNS
from showo_turbo.sampling.image_sampling import ImageSampling

from .worlds import score, text_score

VARIETY = Variety("right scenes", 8, (2, 3, 4, 1), (0.5, 0.75, 1.0, 0.25))


def make_report():
    report = Report(
        images=[
            score("teacher", 16, 0.0, (5, 10)),
            score("teacher", 16, 1.5, (9, 10)),
            score("teacher", 4, 0.0, (3, 10)),
            score("teacher", 4, 0.5, (6, 10)),
            score("stage1", 4, 0.0, (7, 10)),
            score("student", 16, 0.0, (8, 10)),
            score("student", 4, 0.0, (8, 10)),
        ],
        text=[text_score(), text_score("student", "ar"), text_score("student")],
        unseen_combinations=[score("student", 4, 0.0, (4, 10), split="unseen_combination")],
        teacher_sampling={
            16: ImageSampling(16, 1.5, token_temperature=0.5),
            4: ImageSampling(4, 0.5),
        },
        validation=[score("teacher", 16, 1.5, (9, 10), split="validation")],
        seconds={"data": 1.0, "collect": [2.0], "fit": [3.0], "validate": 4.0},
        hardware="a processor, 2 cores",
        commit="abc",
    )
    report.comparisons = compare(report)
    return report


def rendered(figures):
    console = Console(file=StringIO(), width=200)
    console.print(to_rich(figures))
    return console.file.getvalue()


def test_json(tmp_path):
    make_report().write(tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    assert {"images", "text", "seconds", "hardware", "commit"} <= set(found)
    assert found["images"][1]["model"] == "teacher"
    assert found["images"][1]["score"] == 0.9
    assert found["unseen_combinations"][0]["split"] == "unseen_combination"
    assert found["guidance"] == {"16": 1.5, "4": 0.5}
    assert found["teacher_sampling"]["16"]["token_temperature"] == 0.5
    assert found["seconds"]["collect"] == [2.0]


def test_comparisons_are_with_the_same_steps():
    found = {
        (entry.get("other"), entry.get("steps")): entry
        for entry in compare(make_report())
        if "other" in entry
    }
    assert set(found) == {("teacher", 16), ("teacher", 4), ("stage1", 4)}
    assert found["teacher", 16]["other_guidance"] == 1.5
    assert found["stage1", 4]["difference"] == 0.1
    assert found["stage1", 4]["ci95"][0] < 0.1 < found["stage1", 4]["ci95"][1]


def test_csv(tmp_path):
    report = make_report()
    write_scores_csv(tmp_path / "report.csv", report.images, report.text)
    with open(tmp_path / "report.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    scores = [row for row in rows if row["figure"] == "score"]
    assert len(scores) == len(report.images)
    assert float(scores[1]["value"]) == 0.9
    assert scores[1]["guidance"] == "1.5" and scores[1]["n"] == "60"
    assert sum(row["figure"].startswith("score/") for row in rows) == 6 * len(report.images)
    speeds = [row for row in rows if row["figure"] == "iterations_per_block"]
    assert [row["model"] for row in speeds] == ["teacher", "student"], "none of autoregression"


def test_image_table():
    figures = image_figures(make_report().images)
    assert figures.header == ["model", "guidance", "16 steps", "4 steps"]
    rows = {tuple(row[:2]): row[2:] for row in figures.rows}
    assert (
        rows["teacher", "best"][0].startswith("0.900 [") and "w=1.5" in rows["teacher", "best"][0]
    )
    assert rows["teacher", "best"][1].endswith("w=0.5")
    assert rows["stage1", "none"][0] == ""
    assert "n = 60" in figures.title


def test_image_table_of_a_grid_of_guidance():
    scores = [score("student", 4, g) for g in (0.0, 1.0, 2.0)]
    labels = [row[1] for row in image_figures(scores).rows]
    assert labels == ["none", "1", "2"]


def test_tables_in_a_log_are_not_folded(capsys):
    make_console().print(to_rich([text_figures([row.to_dict() for row in make_report().text])]))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) > 80
    assert any("tokens/s (batch 1)" in line for line in lines)


def test_tables_hold_every_figure():
    report = make_report()
    shown = rendered(report_figures(report))
    for part in ("teacher", "stage1", "student", "unseen combination", "Jacobi", "0.900", "3.00"):
        assert part in shown
    assert "5.00" in rendered([text_figures([row.to_dict() for row in report.text])])


def test_markdown():
    text = report_markdown(make_report())
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("| model | guidance"))
    columns = header.count("|")
    start = lines.index(header)
    assert all(line.count("|") == columns for line in lines[start : start + 6])
    assert "on 60 separate prompts: 1.5 at 16, 0.5 at 4 steps" in text
    assert "a processor, 2 cores" in text


def test_variety_is_in_all_outputs(tmp_path):
    """Where it was measured: in JSON, CSV, tables and metrics."""
    rows = [replace(score("student", 4), variety=VARIETY), score("student", 2)]
    report = Report(images=rows)
    report.write(tmp_path)
    measured, other = json.loads((tmp_path / "report.json").read_text())["images"]
    assert measured["variety"]["distinct"] == 2.5 and measured["variety"]["n"] == 4
    assert measured["variety"]["code_entropy"] == 0.625 and "variety" not in other
    with open(tmp_path / "report.csv", newline="", encoding="utf-8") as file:
        lines = {line["figure"]: line for line in csv.DictReader(file) if line["steps"] == "4"}
    assert (lines["distinct"]["value"], lines["distinct"]["n"]) == ("2.5", "4")
    assert float(lines["code_entropy"]["low"]) < 0.625 < float(lines["code_entropy"]["high"])
    tables = {table.title: table for table in report_figures(report)}
    distinct = tables["Distinct right scenes among 8 images of a prompt (test, n = 4)"]
    assert distinct.header == ["model", "guidance", "4 steps"]
    assert distinct.rows[0][2].startswith("2.500 [")
    entropy = tables["Entropy of the codes over 8 images of a prompt (test, n = 4), nats"]
    assert entropy.rows[0][2].startswith("0.625 [")
    scalars = report.scalars("val")
    assert scalars["val/test/distinct/4_steps_guidance_0"] == 2.5
    assert scalars["val/test/code_entropy/4_steps_guidance_0"] == 0.625
    assert "val/test/distinct/2_steps_guidance_0" not in scalars


def test_an_empty_report(tmp_path):
    report = Report()
    report.write(tmp_path)
    assert report_figures(report) == []
    assert "95% intervals" in report_markdown(report)
