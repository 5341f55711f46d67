"""Clips that are read: video files, animated images, and folders of frames."""

import re
import warnings
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import BadSample, UserError
from .images import (
    FORMATS,
    MAX_PIXELS,
    MIN_SIDE,
    cut_square,
    image_endings,
    load_image,
    read_image,
)
from .transparency import BACKGROUND, to_rgb

MOVING = (".gif", ".webp", ".png", ".apng")
"""How the names of animated images end, which Pillow reads."""

VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
"""How the names of videos end, which PyAV reads (extra `[video]`)."""

ClipSource = str | Path | Sequence[Image.Image]
"""A file, a folder of frames, or the frames."""

_SHORTEST_TIME = 10
"""Milliseconds: the unit of GIF, in which a frame lasts at least as long."""

FRAMES_PER_SECOND = 8.0
"""As Show-o's clips have (arXiv 2408.12528)."""

_MOST_FRAMES = 4096

_ALLOWED = {"format_whitelist": "mov,matroska,avi", "protocol_whitelist": "file"}
"""What FFmpeg may open: a playlist in a file with the name of a video leads it nowhere else."""


def load_clip(
    source: ClipSource | Image.Image,
    frames: int,
    resolution: int,
    background: str = BACKGROUND,
) -> Tensor:
    """Read a clip as squares.

    Args:
        source: A file that ends as those of `MOVING` or `VIDEOS`, a folder of frames in the order
            of their names, or Pillow images. Frames that an animated image holds once because they
            are alike come as often as their time says.
        frames: How many it must have.
        resolution: Side length in pixels.
        background: Color that shows through transparent parts.

    Returns:
        `(3, frames, resolution, resolution)`, float32 in `[-1, 1]`.

    Raises:
        BadSample: If it cannot be read, has another number of frames, or they change their size.
    """
    if isinstance(source, str | Path):
        name, images = str(source), read_frames(Path(source), background, frames)
    elif isinstance(source, Image.Image):
        raise BadSample(
            f"a single image is given for a clip; expected a file, a folder or a list of {frames} "
            "frames, give one"
        )
    else:
        name, images = "the clip", [to_rgb(frame, background) for frame in source]
    if len(images) != frames:
        more = "more than " if len(images) > frames else ""
        raise BadSample(
            f"{name} has {more}{min(len(images), frames)} frames; expected {frames}, cut or "
            "lengthen it, or remove it"
        )
    for number, (before, after) in enumerate(pairwise(images)):
        if before.size != after.size:
            raise BadSample(
                f"{name} changes from {before.width} x {before.height} to {after.width} x "
                f"{after.height} pixels at frame {number + 1}; expected one size, correct or "
                "remove it"
            )
    width, height = images[0].size
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        raise BadSample(
            f"{name} has frames of {width} x {height} pixels; expected at least {MIN_SIDE} a side "
            f"and at most {MAX_PIXELS:,}, replace or remove it"
        )
    squares = torch.stack([cut_square(frame, resolution) for frame in images], dim=1)
    return squares / 127.5 - 1.0


def check_frames(frames: int | None) -> None:
    """Raise if clips are to have no frame; None stands for images.

    Raises:
        UserError: Naming the value.
    """
    if frames is not None and frames < 1:
        raise UserError(f"frames is {frames}; it must be at least 1")


def load_pixels(
    path: Path, frames: int | None, resolution: int, background: str = BACKGROUND
) -> Tensor:
    """Read an image, or a clip where a number of frames is given; see `load_image`, `load_clip`."""
    if frames is None:
        return load_image(path, resolution, background)
    return load_clip(path, frames, resolution, background)


def read_frames(
    path: Path, background: str = BACKGROUND, wanted: int | None = None
) -> list[Image.Image]:
    """Read the frames of a file or a folder as RGB; see `load_clip`.

    Args:
        path: The file or folder.
        background: Color that shows through transparent parts.
        wanted: How many are expected. It tells how often an animated image shows a frame that it
            holds once, and reading ends one frame after it.

    Raises:
        BadSample: If it cannot be read.
    """
    most = _MOST_FRAMES if wanted is None else wanted + 1
    ending = path.suffix.lower()
    try:
        if path.is_dir():
            return _of_folder(path, background, most)
        if not path.is_file():  # what never ends, such as a pipe, is not opened
            fault = "is not a file" if path.exists() else "does not exist"
            raise BadSample(f"{path} {fault}; expected a clip, check its folder")
        if ending in MOVING:
            return _of_animation(path, background, most, wanted)
        if ending in VIDEOS:
            return _of_video(path, most)
    except UserError:
        raise
    # Decoders raise errors of many kinds on damaged files.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadSample(
            f"{path} cannot be read as a clip ({reason}); expected {', '.join((*MOVING, *VIDEOS))} "
            "or a folder of frames, replace or remove it"
        ) from None
    raise BadSample(
        f"{path} is of another kind; expected {', '.join((*MOVING, *VIDEOS))} or a folder of "
        "frames, convert or remove it"
    )


def is_clip_file(path: Path) -> bool:
    """Whether a file is a clip by its ending or, where images end likewise, by what it holds."""
    ending = path.suffix.lower()
    if ending in (".gif", ".apng", *VIDEOS):
        return True
    if ending not in MOVING or not path.is_file():
        return False
    try:
        with Image.open(path, formats=FORMATS) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # decoders raise errors of many kinds; it is reported when it is read
        return False


def import_av() -> Any:
    """PyAV.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import av
    except ImportError:
        raise UserError(
            "videos need PyAV, which is not installed; install showo-turbo[video], or use .gif, "
            ".webp or folders of frames"
        ) from None
    return av


def _of_folder(path: Path, background: str, most: int) -> list[Image.Image]:
    endings = image_endings()
    files = sorted(
        (
            entry
            for entry in path.iterdir()
            if entry.suffix.lower() in endings and not entry.name.startswith(".")
        ),
        key=_natural_order,
    )
    if not files:
        raise BadSample(f"{path} holds no frames ({', '.join(FORMATS)}); add some or remove it")
    return [read_image(file, background) for file in files[:most]]


def _natural_order(file: Path) -> tuple[list[str | int], str]:
    """`frame2` before `frame10`: numbers in a name are compared as numbers."""
    parts = re.split(r"([0-9]+)", file.name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], file.name


def _of_animation(path: Path, background: str, most: int, wanted: int | None) -> list[Image.Image]:
    """Frames of an animated image, as often as their times say."""
    with warnings.catch_warnings():
        # As for images: the limit here is stricter, and damaged metadata can be done without.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(path, formats=FORMATS)
        except UnidentifiedImageError:
            raise ValueError("it is not an image") from None
        with image:
            _check_pixels(*image.size)
            held: list[tuple[Image.Image, float]] = []
            for number in range(min(getattr(image, "n_frames", 1), most)):
                image.seek(number)
                image.load()
                frame = to_rgb(image, background, str(path))
                held.append((frame, image.info.get("duration", 0)))
    frames: list[Image.Image] = []
    for (frame, _), times in zip(held, _counts([time for _, time in held], wanted), strict=True):
        frames += [frame] * min(times, most - len(frames))
    return frames


def _counts(times: Sequence[float], wanted: int | None) -> list[int]:
    """How many frames each one stands for that an animated image shows for so long.

    A frame takes the time of the whole by the number of frames that are wanted or, where that does
    not come out even or would be less than the unit of GIF, the shortest of the times.
    """
    shortest = min((time for time in times if time > 0), default=0.0)
    if not shortest:
        return [1] * len(times)
    if wanted is not None and sum(times) >= wanted * _SHORTEST_TIME:
        counts = [max(1, round(time * wanted / sum(times))) for time in times]
        if sum(counts) == wanted:
            return counts
    return [max(1, round(time / shortest)) for time in times]


def _of_video(path: Path, most: int) -> list[Image.Image]:
    av = import_av()
    with av.open(str(path.absolute()), container_options=_ALLOWED) as container:
        if not container.streams.video:
            raise ValueError("it holds no video")
        codec = container.streams.video[0].codec_context
        _check_pixels(codec.width, codec.height)
        return [frame.to_image() for frame in islice(container.decode(video=0), most)]


def _check_pixels(width: int, height: int) -> None:
    """Raise if frames are too large, before one is decoded."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MAX_PIXELS:,}")
