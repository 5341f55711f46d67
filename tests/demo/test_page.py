"""The demo's page, in a browser where there is one."""

import socket
from itertools import pairwise

import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the extra demo is not installed")

from showo_turbo.cli.demo import expect_free
from showo_turbo.cli.main import main
from showo_turbo.demo.app import _painted, _raced, build_app, serve, told_errors
from showo_turbo.demo.drawing import Frame
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline

from ..clips import clip_networks
from ..support.browser import WIDTHS, needs_browser, open_page, opened_browser, overflow
from ..tiny import tiny_networks


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def frames(*milliseconds):
    return [Frame(n, time, Image.new("RGB", (2, 2))) for n, time in enumerate(milliseconds)]


def test_both_run_on_one_clock(monkeypatch):
    """The faster one is done while the other is on its way, and what is fast is slowed down."""
    now = iter(x / 10 for x in range(100))
    monkeypatch.setattr("showo_turbo.demo.app.time.perf_counter", lambda: next(now))
    monkeypatch.setattr("showo_turbo.demo.app.time.sleep", lambda seconds: None)
    shown = list(_raced([frames(0, 40, 80), frames(0, 20)], ("Teacher", "Student")))
    labels = [state[2:] for state in shown]
    times = [float(left.split(", ")[1].split()[0]) for left, _ in labels]
    assert times == sorted(times) and times[-1] == 80
    assert "step 2 of 2, 80 ms" in labels[-1][0] and "shown 31 times slower" in labels[-1][0]
    assert "step 1 of 1, 20 ms: 4.0 times as fast" in labels[-1][1]
    done = next(n for n, (_, right) in enumerate(labels) if "step 1 of 1" in right)
    assert "step 0 of 2" in labels[done][0]
    sent = [sum(isinstance(part, Image.Image) for part in state[:2]) for state in shown]
    assert sum(sent) == 5, "a picture is sent once a step"
    assert all(before <= after for before, after in pairwise(times))


def test_the_mask_is_what_was_painted():
    layer = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    layer.paste((255, 255, 255, 255), (0, 0, 4, 8))
    background = Image.new("RGBA", (8, 8), "red")
    image, mask = _painted({"background": background, "layers": [layer], "composite": None})
    assert image.mode == "RGB" and image.size == mask.size
    assert set(mask.getcolors()) == {(32, 0), (32, 255)} and mask.getpixel((0, 0)) == 255


@pytest.mark.bad_input
def test_models_of_clips():
    clips, images = ShowoPipeline(*clip_networks()), ShowoPipeline(*tiny_networks())
    for models in ((clips,), (images, clips)):
        with pytest.raises(UserError, match="generates clips, which the demo does not show"):
            build_app(*models)


@pytest.mark.bad_input
def test_mistakes_in_the_editor():
    empty = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    with pytest.raises(UserError, match="there is no image"):
        _painted(None)
    with pytest.raises(UserError, match="nothing is painted"):
        _painted({"background": Image.new("RGB", (8, 8)), "layers": [empty]})


@pytest.mark.bad_input
def test_a_mistake_is_one_line_on_the_page():
    import gradio

    def mistaken():
        raise UserError("steps is 0; expected at least 1")

    with pytest.raises(gradio.Error, match="steps is 0"):
        list(told_errors(mistaken)())


@pytest.mark.bad_input
def test_a_used_port(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["demo", "--port", str(port)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 cannot be served on" in error and "--port" in error
    assert len(error.strip().splitlines()) == 1
    with pytest.raises(UserError, match="port 70000"):
        expect_free("127.0.0.1", 70000)


@pytest.fixture(scope="module")
def address():
    """The page over the shapes model, served."""
    app = build_app(ShowoPipeline.from_pretrained("shapes"))
    port = free_port()
    serve(app, "127.0.0.1", port, block=False)
    yield f"http://127.0.0.1:{port}"
    app.close()


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_draws_asks_and_inpaints(address, width, tmp_path):
    with opened_browser() as browser:
        page = open_page(browser, width)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.click("#draw button, button#draw")
        page.wait_for_function(
            "document.querySelector('#time-right')?.innerText.includes('times as fast')"
        )
        page.screenshot(path=tmp_path / f"draw-{width}.png", full_page=True)
        pictures = page.locator(".pixels img")
        assert pictures.count() >= 2
        assert pictures.first.evaluate("image => image.naturalWidth") == 288
        assert overflow(page) <= 0
        assert "step 16 of 16" in page.inner_text("#time-left")

        page.get_by_role("tab", name="Ask").click()
        page.click("#take button, button#take")
        page.wait_for_selector(".pixels img:visible")
        page.click("#ask button, button#ask")
        page.wait_for_function(
            "document.querySelector('#answer-left')?.innerText.includes('forward passes')"
        )
        assert page.locator("#settling-left td.settled").count() > 3
        page.screenshot(path=tmp_path / f"ask-{width}.png", full_page=True)
        assert overflow(page) <= 0

        page.get_by_role("tab", name="Inpaint").click()
        page.click("#redraw button, button#redraw")
        page.wait_for_selector("text=there is no image")
        page.click("#take-too button, button#take-too")
        canvas = page.locator("#editor canvas").first
        canvas.wait_for()
        page.wait_for_timeout(1500)
        box = canvas.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x - 60, y)
        page.mouse.down()
        page.mouse.move(x + 60, y, steps=8)
        page.mouse.up()
        page.wait_for_timeout(500)
        page.click("#redraw button, button#redraw")
        page.wait_for_function("document.querySelector('#redrawn-right')?.innerText.includes('ms')")
        page.screenshot(path=tmp_path / f"inpaint-{width}.png", full_page=True)
        assert overflow(page) <= 0
        page.close()
    # A frame's script is looked for elsewhere by gradio itself; nothing of ours is.
    outside = {url for url in asked if url.startswith("http") and not url.startswith(address)}
    assert all("iframe-resizer" in url for url in outside), outside
