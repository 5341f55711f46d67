"""Figures of trajectories: an image emerging from the mask, and a text settling."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..trajectories.record import DenoisedText, ImageTrajectory, TextTrajectory
from ..utils.files import write_atomically
from ..utils.images import to_bytes

MASKED_GRAY = 0.0
FRAME_SIDE = 128
MARGIN = 6
FONT_SIZE = 13
INK = "#202020"
OUTLINE = "#c0c0c0"
SETTLED = "#bfe5c5"
UNSETTLED = "#f4d6c2"


def draw_film_strip(
    record: ImageTrajectory,
    decode: Callable[[Tensor], Tensor],
    path: Path,
    max_states: int = 9,
) -> None:
    """Draw the states of an image trajectory side by side as a PNG.

    A state is drawn as the final image with its masked patches gray, since a half-masked image has
    no decoding of its own.

    Args:
        record: The trajectory.
        decode: Turns codes `(1, M)` into pixels `(1, 3, height, width)` in `[-1, 1]`.
        path: Where to write it.
        max_states: States to draw at most, at least 2: the first and the last are among them.
    """
    image = decode(record.codes.long()[None])[0]
    masks = [record.masked(state) for state in range(record.steps + 1)]
    draw_states(record.prompt, image, masks, path, max_states)


def draw_states(
    prompt: str, image: Tensor, masks: Sequence[Tensor], path: Path, max_states: int = 9
) -> None:
    """Draw the states of an image side by side as a PNG, see `draw_film_strip`.

    Args:
        prompt: What the image shows.
        image: `(3, height, width)` in `[-1, 1]`.
        masks: `(M,)` boolean of every state, its masked tokens.
        path: Where to write it.
        max_states: States to draw at most.
    """
    image = image.detach().float().cpu().clamp(-1, 1)
    states = evenly_chosen(len(masks), max_states)
    frames = [_enlarged(hide_masked(image, masks[state])) for state in states]
    labels = [f"step {state}: {int((~masks[state]).sum())} known" for state in states]
    frame_width, frame_height = frames[0].size
    strip = Image.new(
        "RGB",
        (
            MARGIN + len(frames) * (frame_width + MARGIN),
            frame_height + 2 * (FONT_SIZE + 3 * MARGIN),
        ),
        "white",
    )
    draw, font = ImageDraw.Draw(strip), label_font()
    draw.text((MARGIN, MARGIN), _shortened(prompt, strip.width, font), INK, font)
    top = FONT_SIZE + 3 * MARGIN
    for column, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        left = MARGIN + column * (frame_width + MARGIN)
        # An outline, without which a white image would have no end.
        draw.rectangle((left - 1, top - 1, left + frame_width, top + frame_height), OUTLINE)
        strip.paste(frame, (left, top))
        draw.text((left, top + frame_height + MARGIN), label, INK, font)
    save_strip(strip, path)


def draw_text_strip(
    trajectory: TextTrajectory | DenoisedText, decode: Callable[[list[int]], str], path: Path
) -> None:
    """Draw the Jacobi iterates of a text as a PNG, or the states of one that was denoised.

    A row is an iterate or a state, a column a token. Tokens that have settled are green: they and
    all before them in the block are those of the fixed point; of a text that was denoised, they are
    not masked. What follows the end of the answer is left out.

    Args:
        trajectory: The trajectory of one answer.
        decode: Turns token ids into text.
        path: Where to write it.
    """
    font = label_font()
    tables = [settling_table(trajectory, index, decode) for index in range(len(trajectory.blocks))]
    cells = [cell or "" for rows, _ in tables for row in rows for cell in row]
    cell_width = int(max(font.getlength(cell) for cell in cells)) + 2 * MARGIN
    cell_height = FONT_SIZE + 2 * MARGIN
    label_width = int(font.getlength("block 99, start")) + MARGIN
    columns = max(len(rows[0]) for rows, _ in tables)
    height = sum((len(rows) * cell_height) + 2 * MARGIN for rows, _ in tables)
    strip = Image.new(
        "RGB",
        (label_width + columns * cell_width + 2 * MARGIN, height + cell_height + MARGIN),
        "white",
    )
    draw = ImageDraw.Draw(strip)
    draw.text((MARGIN, MARGIN), _shortened(trajectory.text, strip.width, font), INK, font)
    top = cell_height + MARGIN
    for block, (rows, settled) in enumerate(tables):
        for row, texts in enumerate(rows):
            name = f"block {block + 1}, start" if row == 0 else str(row)
            draw.text((MARGIN, top + MARGIN // 2), name, INK, font)
            for column, text in enumerate(texts):
                left = label_width + MARGIN + column * cell_width
                box = (left, top, left + cell_width - 2, top + cell_height - 2)
                is_settled = text is not None and column < settled[row]
                draw.rectangle(box, SETTLED if is_settled else UNSETTLED)
                draw.text((left + MARGIN - 1, top + MARGIN // 2), text or "", INK, font)
            top += cell_height
        top += 2 * MARGIN
    save_strip(strip, path)


def settling_table(
    trajectory: TextTrajectory | DenoisedText, index: int, decode: Callable[[list[int]], str]
) -> tuple[list[list[str | None]], list[int]]:
    """Show how a block of a text settled.

    Args:
        trajectory: The trajectory of one answer.
        index: Which of its blocks.
        decode: Turns token ids into text.

    Returns:
        The block's tokens as visible text, a row an iterate or a state, without what follows the
        end of the answer, and None where masked; and how many of them are final in each row, those
        that are masked included.
    """
    valid = trajectory.valid_length(index)
    if isinstance(trajectory, DenoisedText):
        block = trajectory.blocks[index]
        final = [_visible(decode([token])) for token in block.codes[:valid].tolist()]
        known = [(~block.masked(k))[:valid].tolist() for k in range(block.steps + 1)]
        states = [
            [text if is_known else None for text, is_known in zip(final, row, strict=True)]
            for row in known
        ]
        return states, [valid] * len(states)
    return settling_rows(trajectory.blocks[index][:, :valid], decode)


def settling_rows(
    iterates: Tensor, decode: Callable[[list[int]], str]
) -> tuple[list[list[str | None]], list[int]]:
    """Show how a block settled by Jacobi iteration.

    Args:
        iterates: `(iterations + 1, tokens)`, the fixed point last.
        decode: Turns token ids into text.

    Returns:
        See `settling_table`.
    """
    rows: list[list[str | None]] = [
        [_visible(decode([token])) for token in row] for row in iterates.tolist()
    ]
    agrees = (iterates == iterates[-1]).long()
    return rows, agrees.cumprod(dim=1).sum(dim=1).tolist()


def hide_masked(image: Tensor, masked: Tensor) -> Tensor:
    """Return an image with its masked patches gray.

    Args:
        image: `(3, height, width)` in `[-1, 1]`.
        masked: `(M,)` boolean, the patches row by row; all are squares of one size.

    Raises:
        ValueError: If `M` square patches do not tile the image.
    """
    _, height, width = image.shape
    side = round((height * width / masked.numel()) ** 0.5)
    if side * side * masked.numel() != height * width or height % side or width % side:
        raise ValueError(
            f"{masked.numel()} square patches do not tile an image of {height} x {width} pixels"
        )
    rows = masked.view(height // side, width // side)
    pixels = rows.repeat_interleave(side, dim=0).repeat_interleave(side, dim=1)
    return torch.where(pixels, MASKED_GRAY, image)


def evenly_chosen(count: int, most: int) -> list[int]:
    """Return at most `most` of `0 .. count - 1`, evenly spread, the first and the last included.

    Raises:
        ValueError: If `most` leaves no room for the two ends.
    """
    if most < 2:
        raise ValueError(f"at most {most} states are to be drawn; expected at least 2")
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _visible(text: str) -> str:
    """Show what would be invisible, and characters that the font lacks as escapes."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    if not shown.strip():
        return "_" * len(shown) or "(none)"
    return shown.encode("latin-1", "backslashreplace").decode("latin-1")


def _shortened(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Cut a title to the strip's width, visibly."""
    text = _visible(" ".join(text.split()))
    if font.getlength(text) <= width - 2 * MARGIN:
        return text
    while text and font.getlength(text + "...") > width - 2 * MARGIN:
        text = text[:-1]
    return text + "..."


def _enlarged(image: Tensor) -> Image.Image:
    """Turn pixels in `[-1, 1]` into an image of about `FRAME_SIDE`, enlarged without blurring."""
    frame = Image.fromarray(to_bytes(image[None])[0])
    scale = max(1, round(FRAME_SIDE / max(frame.size)))
    return frame.resize((frame.width * scale, frame.height * scale), Image.Resampling.NEAREST)


def label_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of the labels."""
    return ImageFont.load_default(FONT_SIZE)


def save_strip(strip: Image.Image, path: Path) -> None:
    """Write a strip as a PNG, atomically."""
    with write_atomically(Path(path)) as temporary:
        strip.save(temporary, format="PNG")
