"""The page of the demo. As a Space of the hub, this very file is its `app.py`.

What it shows is then named by the variables `SHOWO_TURBO_TEACHER` and `SHOWO_TURBO_STUDENT`.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is sent anywhere

import gradio as gr
from PIL import Image

from showo_turbo.demo.asking import ask, iterates_as_html
from showo_turbo.demo.drawing import Frame, drawing_frames, enlarged, frame_at
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline

SHOWN_SECONDS = 2.5
"""Seconds that generation is shown for at least; faster ones are slowed down, both alike."""

TICK_SECONDS = 0.06
FEW_STEPS = 4

CSS = """
.pixels img { image-rendering: pixelated; }
.settling { overflow-x: auto; margin-bottom: .8rem; }
.settling table { font: 12px/1.4 ui-monospace, monospace; border-collapse: collapse; }
.settling td, .settling th { padding: .1rem .3rem; border: 2px solid transparent; white-space: pre;
  color: #202020; }
.settling th { color: inherit; text-align: left; }
.settling td.settled { background: #bfe5c5; font-weight: 700; }
.settling td.open { background: #f4d6c2; }
"""

EXAMPLES = ["a photo of a red circle", "a photo of a blue square and a yellow triangle"]
EXAMPLES += ["a photo of three squares"]
QUESTION = "Describe the image in detail."


def build_app(teacher: ShowoPipeline, student: ShowoPipeline | None = None) -> gr.Blocks:
    """Build the page.

    Args:
        teacher: The model on the left.
        student: The one on the right; the teacher in few steps by default, to be compared with.

    Raises:
        UserError: If one generates clips.
    """
    if any(model.clip_frames for model in (teacher, student) if model is not None):
        raise UserError(
            "the model generates clips, which the demo does not show; use showo-turbo "
            "generate-video, or name a model of images"
        )
    names = ("Teacher", "Student" if student is not None else "Teacher, few steps")
    right = student or teacher
    few = min(FEW_STEPS, right.sampling.sampling_steps)

    def draw(
        prompt: str, seed: float, steps: float, guidance: float, own_steps: float
    ) -> Iterator[tuple[Any, ...]]:
        ways = (
            replace(teacher.sampling, sampling_steps=int(steps), guidance_scale=guidance),
            replace(right.sampling, sampling_steps=int(own_steps), guidance_scale=0.0),
        )
        models = (teacher, right)
        runs = [
            drawing_frames(model, prompt, way, int(seed))
            for model, way in zip(models, ways, strict=True)
        ]
        yield from _raced(runs, names)

    def asked(image: Image.Image | None, question: str) -> Iterator[tuple[str, ...]]:
        if image is None:
            raise UserError("there is no image; generate one, or choose a file")
        told = [ask(model, image, question) for model in (teacher, right)]
        iterates = [sum(len(block.rows) for block in answer.blocks) for answer in told]
        for shown in range(1, max([1, *iterates]) + 1):
            yield tuple(iterates_as_html(answer.blocks, shown) for answer in told) + tuple(
                f"**{name}**: {answer.text}\n\n*{answer.summary()}*"
                if shown >= count
                else f"**{name}** ..."
                for name, answer, count in zip(names, told, iterates, strict=True)
            )
            time.sleep(2 * TICK_SECONDS)

    def inpainted(editor: dict[str, Any] | None, prompt: str, seed: float) -> tuple[Any, ...]:
        image, mask = _painted(editor)
        images, labels = [], []
        ways = (teacher.sampling, replace(right.sampling, sampling_steps=few, guidance_scale=0.0))
        for name, model, way in zip(names, (teacher, right), ways, strict=True):
            found = model.inpaint(image, mask, prompt, way, seeds=int(seed), paste=True)
            images.append(enlarged(found.images[0]))
            milliseconds = 1000 * found.statistics.seconds
            labels.append(f"**{name}**: {way.sampling_steps} steps, {milliseconds:.0f} ms")
        return *images, *labels

    app: gr.Blocks = gr.Blocks(title="showo-turbo", analytics_enabled=False)
    with app:
        gr.Markdown("# showo-turbo\nOne prompt, one seed, two models. Times are of this machine.")
        with gr.Tab("Generate"):
            prompt = gr.Textbox(EXAMPLES[0], label="Prompt", elem_id="prompt")
            with gr.Row():
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                many, scale = teacher.sampling.sampling_steps, teacher.sampling.guidance_scale
                steps = gr.Slider(1, max(32, many), many, step=1, label="Steps, left")
                guidance = gr.Slider(0, max(15, scale), scale, step=0.25, label="Guidance, left")
                own_steps = gr.Slider(1, max(16, few), few, step=1, label="Steps, right")
            start = gr.Button("Generate", variant="primary", elem_id="draw")
            images, labels = _side_by_side(names, "time")
            gr.Examples([[text] for text in EXAMPLES], [prompt])
            start.click(
                told_errors(draw),
                [prompt, seed, steps, guidance, own_steps],
                [*images, *labels],
            )
        with gr.Tab("Ask"):
            with gr.Row():
                image = gr.Image(
                    type="pil",
                    label="Image",
                    sources=["upload", "clipboard"],
                    elem_classes="pixels",
                    height=320,
                )
                with gr.Column():
                    question = gr.Textbox(QUESTION, label="Question", elem_id="question")
                    take = gr.Button("Use the generated image", elem_id="take")
                    ask_them = gr.Button("Ask", variant="primary", elem_id="ask")
            gr.Markdown(
                "A row is a Jacobi iteration or a denoising step; green, bold tokens are final."
            )
            texts, tables = [], []
            with gr.Row():
                for side in ("left", "right"):
                    with gr.Column(min_width=340):
                        texts.append(gr.Markdown(elem_id=f"answer-{side}"))
                        tables.append(gr.HTML(elem_id=f"settling-{side}"))
            take.click(lambda image: image, [images[0]], [image])
            ask_them.click(told_errors(asked), [image, question], [*tables, *texts])
        with gr.Tab("Inpaint"):
            gr.Markdown("Paint over what is to be regenerated.")
            editor = gr.ImageEditor(
                type="pil",
                label="Image and mask",
                elem_id="editor",
                sources=["upload", "clipboard"],
                brush=gr.Brush(colors=["#ffffff"], default_size=24, color_mode="fixed"),
                transforms=(),
                layers=False,
                canvas_size=(320, 320),
            )
            take_too = gr.Button("Use the generated image", elem_id="take-too")
            with gr.Row():
                new_prompt = gr.Textbox(EXAMPLES[1], label="What the whole image is to show")
                new_seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            redraw = gr.Button("Regenerate", variant="primary", elem_id="redraw")
            redrawn, times = _side_by_side(names, "redrawn")
            take_too.click(lambda image: image, [images[0]], [editor])
            redraw.click(told_errors(inpainted), [editor, new_prompt, new_seed], [*redrawn, *times])
    app.queue(default_concurrency_limit=1)
    return app


def serve(app: gr.Blocks, host: str, port: int, block: bool = True) -> None:
    """Serve the page.

    Args:
        app: The page.
        host: Where: `127.0.0.1` is this machine alone, `0.0.0.0` any that reaches it.
        port: On which port.
        block: Whether to wait until it is interrupted.
    """
    fonts = ["system-ui", "sans-serif"]  # those of the machine: nothing is fetched
    theme = gr.themes.Base(font=fonts, font_mono=["ui-monospace", "monospace"])
    app.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=not block,
        theme=theme,
        css=CSS,
        quiet=not block,
        share=False,
        ssr_mode=False,
        footer_links=[],
    )


def told_errors(work: Callable[..., Any]) -> Callable[..., Any]:
    """Show a user's mistake on the page, in its one line."""

    @wraps(work)
    def steps(*arguments: Any) -> Iterator[Any]:
        try:
            found = work(*arguments)
            if isinstance(found, Iterator):
                yield from found
            else:
                yield found
        except UserError as error:
            raise gr.Error(str(error), duration=None) from None

    return steps


def _raced(runs: list[list[Frame]], names: tuple[str, str]) -> Iterator[tuple[Any, ...]]:
    """Both images on one clock; those that would be finished at once in slow motion."""
    longest = max(frames[-1].milliseconds for frames in runs)
    slower = max(1.0, 1000 * SHOWN_SECONDS / longest)
    began, before = time.perf_counter(), [-1, -1]
    while True:
        clock = min(longest, 1000 * (time.perf_counter() - began) / slower)
        now = [frame_at(frames, clock) for frames in runs]
        fresh = [
            frame.picture if frame.step != step else gr.skip()
            for frame, step in zip(now, before, strict=True)
        ]
        before = [frame.step for frame in now]
        labels = [
            f"**{name}**: step {frame.step} of {frames[-1].step}, "
            f"{min(clock, frames[-1].milliseconds):.0f} ms"
            for name, frame, frames in zip(names, now, runs, strict=True)
        ]
        if clock >= longest:
            faster = runs[0][-1].milliseconds / runs[1][-1].milliseconds
            labels[1] += f": {faster:.1f} times as fast"
        if slower > 1:
            labels[0] += f", shown {slower:.0f} times slower"
        yield *fresh, *labels
        if clock >= longest:
            return
        time.sleep(TICK_SECONDS)


def _painted(editor: dict[str, Any] | None) -> tuple[Image.Image, Image.Image]:
    """The image of an editor, and white where it was painted.

    Raises:
        UserError: If there is no image or nothing was painted.
    """
    background = editor and editor.get("background")
    if not isinstance(background, Image.Image):
        raise UserError("there is no image; use the generated one, or choose a file")
    mask = Image.new("L", background.size, 0)
    for layer in (editor or {}).get("layers", ()):
        mask.paste(255, mask=layer.convert("RGBA").getchannel("A").resize(mask.size))
    if mask.getbbox() is None:
        raise UserError("nothing is painted; paint over what is to be regenerated")
    return background.convert("RGB"), mask.point(lambda value: 255 if value >= 128 else 0)


def _side_by_side(names: tuple[str, str], what: str) -> tuple[list[gr.Image], list[gr.Markdown]]:
    """An image for each model, with a line under it that is called `<what>-left` or `-right`."""
    images, lines = [], []
    with gr.Row():
        for name, side in zip(names, ("left", "right"), strict=True):
            with gr.Column(min_width=320):
                images.append(
                    gr.Image(
                        label=name,
                        type="pil",
                        format="png",
                        interactive=False,
                        elem_classes="pixels",
                        height=340,
                        buttons=["download"],
                    )
                )
                lines.append(gr.Markdown(elem_id=f"{what}-{side}"))
    return images, lines


if __name__ == "__main__":
    own, family = os.environ.get("SHOWO_TURBO_STUDENT"), os.environ.get("SHOWO_TURBO_FAMILY")
    teacher = os.environ.get("SHOWO_TURBO_TEACHER", "shapes")
    serve(
        build_app(
            ShowoPipeline.from_pretrained(teacher, family=family),
            None if own is None else ShowoPipeline.from_pretrained(own, family=family),
        ),
        "0.0.0.0",
        int(os.environ.get("PORT", "7860")),
    )
