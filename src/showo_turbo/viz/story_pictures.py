"""Figures of stories: the texts and keyframes of teacher and student below each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..data.stories import StorySource, load_pictures
from ..evaluation.plan import EvaluationPlan
from ..inference.loaded_model import LoadedModel
from ..models.protocols import ImageModel
from ..models.registry import text_model
from ..sampling.image_sampling import ImageSampling
from ..sampling.stories import check_room, tell_stories, tokens_of_image
from ..sampling.text_decoding import TextDecoding
from ..text_tokenizer import TextTokenizer
from ..utils.random import stateless_seed
from .film_strip import FONT_SIZE, INK, MARGIN, label_font, save_strip
from .pictures import GridColumn, column_title, mosaic
from .strips import write_told

_LINE = FONT_SIZE + MARGIN // 2
_EMPTY = 0.5
"""Gray in [-1, 1] of a keyframe that was asked for and not told."""


@dataclass(frozen=True, eq=False)
class AskedStory:
    """A story that models are to tell.

    Attributes:
        texts: The request, and the text of each step that should follow.
        pixels: The first keyframe, `(3, height, width)` in [-1, 1].
    """

    texts: tuple[str, ...]
    pixels: Tensor


@dataclass(frozen=True, eq=False)
class _Cell:
    """A step as it was told: its text, its keyframe, and whether it is right."""

    text: str
    pixels: Tensor
    right: bool | None = None


def asked_stories(source: StorySource, count: int, resolution: int) -> list[AskedStory]:
    """The first stories of a source, with their first keyframes.

    Args:
        source: Held-out stories.
        count: How many at most.
        resolution: Side length of the keyframes in pixels.

    Raises:
        UserError: If there are none, or they cannot be read.
    """
    found = source.stories()[:count]
    firsts = [load_pictures(s.pictures[:1], resolution, source.background)[0] for s in found]
    return [AskedStory(s.texts, pixels) for s, pixels in zip(found, firsts, strict=True)]


def check_stories(
    model: ImageModel,
    tokenizer: TextTokenizer,
    stories: Sequence[AskedStory],
    decoding: TextDecoding,
) -> None:
    """Raise if a model cannot tell a step of each of some stories.

    Args:
        model: The network.
        tokenizer: Its text tokenizer.
        stories: What is asked for.
        decoding: How texts are written.

    Raises:
        UserError: Naming the reason.
    """
    writer = text_model(model, "telling a story")
    longest = max(len(writer.story_prompt([tokenizer.encode(s.texts[0])], [])) for s in stories)
    check_room(writer, longest + tokens_of_image(writer), decoding, image_first=False)


class StoryPictures:
    """A figure for each story: its request, and in a row for each model what it told.

    A story that does not end in time has one step more than asked for, which is wrong, as is a step
    that is missing. Where the checker of the plan cannot judge a story, nothing is marked.

    Args:
        stories: What is asked for; without any there are no figures.
        plan: Its checker, its way of writing texts and its seed.
    """

    def __init__(self, stories: Sequence[AskedStory], plan: EvaluationPlan) -> None:
        self._stories = stories
        self._plan = plan
        self._told: list[list[tuple[str, list[_Cell]]]] = [[] for _ in stories]

    def add(self, name: str, bundle: LoadedModel, settings: Sequence[ImageSampling]) -> None:
        """Have the stories told by a model.

        Args:
            name: What the model is called.
            bundle: The model, in eval mode.
            settings: How its keyframes are sampled, each a row.

        Raises:
            UserError: If it tells no stories.
        """
        for sampling in settings if self._stories else ():
            title = ", ".join(column_title(name, sampling).splitlines())
            for rows, cells in zip(self._told, self._tell(bundle, sampling), strict=True):
                rows.append((title, cells))

    def write(self, folder: Path) -> list[Path]:
        """Write `story-<number>.png` of each, and as JSON what it shows; see `write_told`."""
        written = []
        for number, (story, rows) in enumerate(zip(self._stories, self._told, strict=True), 1):
            path = folder / f"story-{number}.png"
            _draw(story, rows, path)
            told = [(name, [(cell.text, cell.right) for cell in cells]) for name, cells in rows]
            write_told(story.texts[0], told, path.with_suffix(".json"))
            written.append(path)
        return written

    def _tell(self, bundle: LoadedModel, sampling: ImageSampling) -> list[list[_Cell]]:
        """The steps of each story, as a model tells them."""
        model, tokenizer = bundle.writer("telling a story")
        firsts = torch.stack([story.pixels for story in self._stories]).to(bundle.device)
        codes = bundle.image_tokenizer.encode(firsts).tolist()
        requests = [tokenizer.encode(story.texts[0]) for story in self._stories]
        told = tell_stories(
            model,
            [model.story_prompt([ids], [row]) for ids, row in zip(requests, codes, strict=True)],
            sampling,
            self._plan.answering,
            max_steps=max(len(story.texts) for story in self._stories),
            seeds=[
                stateless_seed(self._plan.seed, index, stream="stories")
                for index in range(len(self._stories))
            ],
        )
        found = []
        for story, own in zip(self._stories, told, strict=True):
            texts = [tokenizer.decode(text).strip() for text in own.texts]
            keyframes = story.pixels.new_empty(0, *story.pixels.shape)
            if own.images:
                grids = bundle.as_grids(torch.stack(own.images).to(bundle.device))
                keyframes = bundle.decode_images(grids).cpu()
            found.append(self._judged(story, texts, keyframes))
        return found

    def _judged(self, story: AskedStory, texts: Sequence[str], keyframes: Tensor) -> list[_Cell]:
        """The steps of a story, with marks if the checker can judge it."""
        cells = [_Cell(text, image) for text, image in zip(texts, keyframes, strict=False)]
        cells = cells[: len(story.texts)]  # one more than is asked, as the request is among them
        asked, checker = len(story.texts) - 1, self._plan.checker
        marks = None
        if checker is not None:
            marks = checker.judge_story(story.texts, story.pixels, texts, keyframes)
        if marks is None:
            return cells
        nothing = _Cell("(not told)", torch.full_like(story.pixels, _EMPTY))
        cells += [nothing] * (asked - len(cells))
        every = [*marks, *([False] * (len(cells) - asked))]
        return [_Cell(c.text, c.pixels, mark) for c, mark in zip(cells, every, strict=True)]


def _draw(story: AskedStory, rows: Sequence[tuple[str, Sequence[_Cell]]], path: Path) -> None:
    """Write a story as a PNG: a row of keyframes for each model, their texts below them."""
    given, font = _Cell("given", story.pixels), label_font()
    every = [[given, *cells] for _, cells in rows]
    strips = [Image.fromarray(mosaic([_column(cell) for cell in cells])) for cells in every]
    side = strips[0].width // len(every[0])
    texts = [[_lines(cell.text, side - MARGIN) for cell in cells] for cells in every]
    width = max(*(strip.width for strip in strips), 3 * side)
    title = _lines(story.texts[0], width)
    heights = [2 * _LINE + strip.height for strip in strips]
    heights = [own + _LINE * max(map(len, t)) for own, t in zip(heights, texts, strict=True)]
    size = (width + 2 * MARGIN, sum(heights) + _LINE * len(title) + 2 * MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text((MARGIN, MARGIN), "\n".join(title), INK, font)
    top = MARGIN + _LINE * (len(title) + 1)
    for (name, _), strip, own, height in zip(rows, strips, texts, heights, strict=True):
        draw.text((MARGIN, top), name, INK, font)
        sheet.paste(strip, (MARGIN, top + _LINE))
        for place, lines in enumerate(own):
            for number, line in enumerate(lines):
                corner = (2 * MARGIN + place * side, top + strip.height + _LINE * (number + 1))
                draw.text(corner, line, INK, font)
        top += height
    save_strip(sheet, path)


def _column(cell: _Cell) -> GridColumn:
    return GridColumn("", cell.pixels[None], None if cell.right is None else [cell.right])


def _lines(text: str, width: int) -> list[str]:
    """A text in lines of so many pixels; a longer word has a line of its own."""
    font, lines = label_font(), [""]
    for word in text.encode("latin-1", "backslashreplace").decode("latin-1").split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
