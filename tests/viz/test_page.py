"""The page of a run, opened in a browser where there is one."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml
from torch.utils.tensorboard import SummaryWriter

from showo_turbo.errors import UserError
from showo_turbo.evaluation import ImageScore, Report
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.viz.page import read_run, read_runs, render_page
from showo_turbo.viz.page.curves import Curves, loss_figure, read_curves
from showo_turbo.viz.page.logs import find_logs
from showo_turbo.viz.pictures import draw_image_grid
from showo_turbo.viz.strips import draw_answer_strip, draw_sampling_strips

from ..evaluation.test_report import VARIETY, make_report
from ..evaluation.worlds import records, score, shapes_bundle
from ..support.browser import WIDTHS, needs_browser, open_page, opened_browser, overflow
from .test_pictures import BLUE, RED, column


def write_run(folder, rate=0.1):
    """A folder as a run leaves it: two stages of three epochs and one."""
    make_report().write(folder)
    columns = [column([RED, BLUE], [True, False]), column([BLUE, RED])]
    draw_image_grid(["a <b>red</b> circle", "two shapes"], columns, folder / "grid.png")
    strips = folder / "film_strips"
    draw_sampling_strips(
        shapes_bundle(),
        ["a red circle"],
        ImageSampling(4),
        [strips / "teacher-image-1.png"],
    )
    for seed in range(20):  # a random network may never end its answer
        path = strips / "student-answer.png"
        decoding = TextDecoding(max_new_tokens=40)
        if draw_answer_strip(shapes_bundle(seed), records(1)[0], path, decoding=decoding):
            break
    logs = folder / "logs" / "version_0"
    with SummaryWriter(logs) as writer:
        for step in range(8):
            writer.add_scalar("epoch", step // 2, step)
            writer.add_scalar("train/loss", 8 - step, step)
            writer.add_scalar("train/language", step, step)
            writer.add_scalar("train/language/segment_0", 5, step)
    stages = [{"epochs": 3, "steps": 16}, {"epochs": 1, "steps": 8}]
    config = {
        "trainer": {"callbacks": [{"class_path": "Curriculum", "init_args": {"stages": stages}}]},
        "model": {"rate": rate},
    }
    (logs / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "first")


class References(HTMLParser):
    """Gathers whatever a page would fetch."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset")]


def test_a_score_survives_the_report():
    before = replace(score("student", 4, 0.0, (7, 10)), variety=VARIETY)
    after = ImageScore.from_dict(before.to_dict())
    assert after.variety == before.variety
    assert after.counts == before.counts and after.ci95 == before.ci95


def test_stages_begin_where_their_epochs_do(run):
    read = read_run(run, "first")
    assert read.curves.stage_starts == [0, 6]
    assert read.curves.points["loss"] == [(step, 8.0 - step) for step in range(8)]
    assert set(read.curves.points) == {"loss", "language"}


def test_of_two_logs_the_later_one_counts(tmp_path):
    for version, value in ((0, 1.0), (1, 2.0)):
        with SummaryWriter(tmp_path / f"version_{version}") as writer:
            for step in range(version * 2, version * 2 + 3):
                writer.add_scalar("train/loss", value, step, walltime=10.0 + version)
    curves = read_curves([tmp_path / "version_1", tmp_path / "version_0"])
    assert curves.points["loss"] == [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0), (4, 2.0)]


def test_curves_of_other_loggers(tmp_path):
    """The same values by Lightning's CSV logger and by MLflow's files."""
    table = tmp_path / "csv" / "version_0"
    table.mkdir(parents=True)
    rows = "epoch,step,train/loss,val/score\n0,0,2.0,\n0,1,1.5,\n0,1,,0.5\n1,2,1.0,\n"
    (table / "metrics.csv").write_text(rows)
    run = tmp_path / "mlflow" / "0" / "abc"
    for tag, lines in (
        ("train/loss", "9 2.0 0\n10 7.0 1\n11 1.5 1\n12 1.0 2\n"),
        ("epoch", "9 0 0\n"),
    ):
        (run / "metrics" / tag).parent.mkdir(parents=True, exist_ok=True)
        (run / "metrics" / tag).write_text(lines)
    (run / "meta.yaml").write_text("run_id: abc\n")
    for kind in ("csv", "mlflow"):
        (folder,) = find_logs(tmp_path / kind)
        assert read_curves([folder]).points == {"loss": [(0, 2.0), (1, 1.5), (2, 1.0)]}
    assert read_curves([table], stage_epochs=[1, 1]).stage_starts == [0, 2]
    assert find_logs(tmp_path) == [table, run]


@pytest.mark.bad_input
def test_logs_that_are_damaged_or_elsewhere(tmp_path, run):
    (tmp_path / "metrics.csv").write_text("step,train/loss\n0,much\n")
    with pytest.raises(
        UserError, match=r"metrics\.csv is not a file of metrics .*restore or remove"
    ):
        read_run(tmp_path, "damaged")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no logs"):
        read_runs([run], [tmp_path / "empty"])
    with pytest.raises(UserError, match="logs are named for 2 runs"):
        read_runs([run, tmp_path], [tmp_path])


def test_logs_that_lie_elsewhere(tmp_path):
    make_report().write(tmp_path / "run")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "metrics.csv").write_text("step,train/loss\n0,2.0\n1,1.0\n")
    (found,) = read_runs([tmp_path / "run"], [tmp_path / "logs"])
    assert found.curves.points == {"loss": [(0, 2.0), (1, 1.0)]}
    assert "Losses by stage" in render_page([found]) and "No curves" not in render_page([found])


def test_runs_of_one_teacher_show_it_once(run, tmp_path):
    shutil.copytree(run, tmp_path / "second")
    strips = tmp_path / "second" / "film_strips"
    draw_sampling_strips(
        shapes_bundle(1), ["a blue square"], ImageSampling(4), [strips / "student-image-1.png"]
    )
    html = render_page(read_runs([run, tmp_path / "second"]))
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert "teacher" in cells and "first: teacher" not in cells
    assert {"first: student", "second: student"} <= set(cells)
    assert html.count('alt="teacher image 1"') == 1 and html.count('alt="student image 1"') == 1
    other = json.loads((run / "report.json").read_text())
    other["images"][0]["by_category"]["counting"] = 0.1
    (tmp_path / "second" / "report.json").write_text(json.dumps(other))
    html = render_page(read_runs([run, tmp_path / "second"]))
    assert {"first: teacher", "second: teacher"} <= set(re.findall(r"<td>(.*?)</td>", html))


def test_the_result_comes_first(run, tmp_path):
    html = render_page([read_run(run, "first")])
    (found,) = re.findall(r'<p class="result">(.*?)</p>', html)
    assert found.startswith("4 steps: 89% of the teacher&#39;s quality in 16")
    assert html.index("result") < html.index("<h2>")
    shutil.copytree(run, tmp_path / "second")
    html = render_page(read_runs([run, tmp_path / "second"]))
    for number, name in ((1, "first"), (2, "second")):
        assert html.count(f'<li><a href="#run-{number}">{name}</a>: 4 steps: 89%') == 1


def test_no_diagram_is_empty():
    points = [(0, 2.0), (1, 1.0)]
    for count in (1, 3, 5):
        figure = loss_figure(Curves({f"term_{n}": points for n in range(count)}))
        seen = [axes for axes in figure.axes if axes.get_visible()]
        assert [axes.get_title() for axes in seen] == [f"term {n}" for n in range(count)]
        assert all(axes.lines for axes in seen)


def test_the_page_needs_no_other_file(run):
    html = render_page(read_runs([run]))
    references = References(html).found
    assert len(references) >= 4
    assert all(address.startswith(("data:image/", "#")) for address in references)
    assert "url(" not in html and "@import" not in html


def test_what_is_missing_is_said(run, tmp_path):
    whole = render_page(read_runs([run]))
    assert "no report.json" not in whole and "No curves" not in whole
    (tmp_path / "unlogged").mkdir()
    shutil.copy(run / "report.json", tmp_path / "unlogged")
    assert "No curves: the folder has no logs with losses" in render_page(
        read_runs([tmp_path / "unlogged"])
    )
    shutil.copytree(run / "logs", tmp_path / "unmeasured" / "logs")
    assert "Not measured: the folder has neither report.json nor" in render_page(
        read_runs([tmp_path / "unmeasured"])
    )


def test_what_validate_measured(run, tmp_path):
    """Of a run without a report of its own, such as one on photographs."""
    row = score("student", 4, 0.0, (7, 10))
    text = {"model": "student", "decoding": "jacobi", "n": 9, "benchmark": "POPE"}
    speed = {"tokens_per_forward": 3.25, "tokens_per_second": 41.2}
    found = {
        "images": [row.to_dict() | {"metrics": {"CLIPScore": 0.2876}}],
        "top_k": [row.to_dict() | {"top_k": 5}],
        "text": [text | speed | {"metrics": {"accuracy": 0.8125}}],
    }
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation/validate.json").write_text(json.dumps(found))
    html = render_page(read_runs([tmp_path]))
    assert "Measured by <code>showo-turbo validate</code>" in html
    assert "Not measured" not in html
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert cells.count("0.700 [0.58, 0.78]") == 2
    assert {"0.2876", "5", "0.812", "3.25", "41"} <= set(cells)
    assert "4 steps: 70% of the prompts satisfied" in html
    assert "POPE (n = 9)" in html
    assert html.count("data:image/svg+xml") == 1


def test_what_runs_differ_in(run, tmp_path):
    other = write_run(tmp_path / "second", rate="<0.2>")
    html = render_page(read_runs([run, other]))
    (section,) = re.findall(r"Configuration differences.*?</table>", html, flags=re.DOTALL)
    assert re.findall(r"<td>(.*?)</td>", section) == ["model.rate", "0.1", "&lt;0.2&gt;"]
    assert "second: student" in html


def test_a_folder_that_is_no_run(tmp_path, run):
    with pytest.raises(UserError, match=r"neither report\.json nor logs"):
        read_run(tmp_path, "empty")
    with pytest.raises(UserError, match="named twice"):
        read_runs([run, run])
    (tmp_path / "report.json").write_text(json.dumps({"images": [{"model": "teacher"}]}))
    with pytest.raises(UserError, match=r"was not measured by showo-turbo"):
        read_run(tmp_path, "damaged")
    for content in ({"format": "1"}, {"format": None}, {"format": 0}, {"text": [{}]}, {"text": 3}):
        (tmp_path / "report.json").write_text(json.dumps({"images": [], **content}))
        with pytest.raises(UserError, match=r"was not measured by showo-turbo"):
            read_run(tmp_path, "of another form")
    (tmp_path / "report.json").write_text(json.dumps({"format": 99, "images": []}))
    with pytest.raises(UserError, match="format 99 of a newer showo-turbo"):
        read_run(tmp_path, "newer")


def test_a_report_of_metrics_alone(tmp_path):
    clip = replace(score("student", 4), satisfied=(), metrics={"CLIPScore": 0.3125})
    Report(images=[clip], unseen_combinations=[replace(clip, split="own")]).write(tmp_path)
    html = render_page([read_run(tmp_path, "own")])
    assert "CLIPScore (test, n = 60)" in html and "CLIPScore (own, n = 60)" in html
    assert "Prompts satisfied" not in html


def test_variety_has_a_picture_and_tables(tmp_path):
    Report(images=[replace(score("student", 4), variety=VARIETY)]).write(tmp_path)
    assert "from several seeds" not in render_page([read_run(tmp_path, "own")])
    draw_image_grid(["a red circle"], [column([RED])] * 8, tmp_path / "variety.png")
    html = render_page([read_run(tmp_path, "own")])
    assert "Distinct right scenes among 8 images of a prompt (test, n = 4)" in html
    assert "from several seeds" in html and "data:image/png" in html


def test_runs_of_one_name_are_told_apart(run, tmp_path):
    shutil.copytree(run, tmp_path / "first")
    first, second = read_runs([run, tmp_path / "first"])
    assert first.name.endswith("/first") and first.name != second.name


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_it(run, tmp_path, width):
    other = tmp_path / "second"
    shutil.copytree(run, other)
    html = render_page(read_runs([run, other]))
    page_file = tmp_path / "report.html"
    page_file.write_text(html, encoding="utf-8")
    with opened_browser() as browser:
        page = open_page(browser, width)
        page.goto(page_file.as_uri())
        images = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
        assert len(images) >= 4 and all(images)
        assert overflow(page) <= 0, "the page scrolls sideways"
        settled = page.locator("td.settled").first
        style = (
            "cell => [getComputedStyle(cell).backgroundColor, getComputedStyle(cell).fontWeight]"
        )
        assert settled.evaluate(style) == ["rgb(191, 229, 197)", "700"]
        assert page.locator(".result").bounding_box()["y"] < 300, "the result is what comes first"
        page.screenshot(path=tmp_path / f"report-{width}.png", full_page=True)
