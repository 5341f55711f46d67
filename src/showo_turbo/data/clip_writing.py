"""Clips that are written: GIF, WebP and MP4."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import UserError
from ..utils.files import write_atomically
from .clips import FRAMES_PER_SECOND, import_av


def write_clip(
    path: Path, frames: Sequence[Image.Image], frames_per_second: float = FRAMES_PER_SECOND
) -> None:
    """Write a clip as GIF, WebP (lossless) or MP4, atomically.

    Args:
        path: Its ending says which.
        frames: RGB, all of one size.
        frames_per_second: How fast they follow each other.

    Raises:
        UserError: If it is to be another kind of file, or PyAV is missing for a video.
    """
    ending = path.suffix.lower()
    if ending not in (".gif", ".webp", ".mp4"):
        raise UserError(f"{path} is to be a {ending} file; expected .gif, .webp or .mp4, rename it")
    with write_atomically(path) as temporary:
        if ending == ".mp4":
            _write_video(temporary, frames, frames_per_second)
            return
        first, *others = frames
        if ending == ".webp" and others and all(frame == first for frame in others):
            temporary.write_bytes(_still_webp(first, round(1000 * len(frames) / frames_per_second)))
            return
        options: dict[str, Any] = {"lossless": True} if ending == ".webp" else {"optimize": False}
        # GIF counts in hundredths of a second; rounded here, n equal frames take n times as long.
        unit = 10 if ending == ".gif" else 1
        first.save(
            temporary,
            format=ending[1:].upper(),
            save_all=True,
            append_images=others,
            duration=unit * round(1000 / unit / frames_per_second),
            loop=0,
            **options,
        )


def _still_webp(frame: Image.Image, milliseconds: int) -> bytes:
    """An animated WebP of one frame; Pillow would write an image, which has no duration."""
    buffer = io.BytesIO()
    frame.save(buffer, format="WEBP", lossless=True, icc_profile=b"", exif=b"", xmp=b"")
    width, height = (side - 1 for side in frame.size)

    def numbers(*values: int) -> bytes:
        return b"".join(value.to_bytes(3, "little") for value in values)

    chunks = b"".join(
        name + len(content).to_bytes(4, "little") + content
        for name, content in (
            (b"VP8X", bytes([2, 0, 0, 0]) + numbers(width, height)),  # 2: it is animated
            (b"ANIM", bytes(6)),
            # At 0, 0; the last byte has no flags. The chunk of the image follows the header of 12.
            (
                b"ANMF",
                numbers(0, 0, width, height, milliseconds) + bytes(1) + buffer.getvalue()[12:],
            ),
        )
    )
    return b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WEBP" + chunks


def _write_video(path: Path, frames: Sequence[Image.Image], frames_per_second: float) -> None:
    av = import_av()
    with av.open(str(path), "w", format="mp4") as container:
        rate = Fraction(frames_per_second).limit_denominator(1000)
        stream = container.add_stream("h264", rate=rate)
        # Frames with an odd side cannot be stored at half the resolution of colors.
        width, height = (side + side % 2 for side in frames[0].size)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            if frame.size != (width, height):
                frame = frame.resize((width, height), Image.Resampling.NEAREST)
            for packet in stream.encode(av.VideoFrame.from_image(frame)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
