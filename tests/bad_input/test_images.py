"""Image files, asked about one by one."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .bench import Case, table

pytestmark = pytest.mark.bad_input

NAMES = "expected JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM"
REPLACE = "replace or remove it"


def encoded(mode="RGB", size=(24, 24), kind="PNG", frames=1, **options):
    """The bytes of an image file."""
    pictures = [Image.new(mode, size, number) for number in range(frames)]
    file = io.BytesIO()
    if frames > 1:
        options |= {"save_all": True, "append_images": pictures[1:]}
    pictures[0].save(file, kind, **options)
    return file.getvalue()


def answer(name, content):
    """Ask about an image of this content; None stands for no file."""

    def prepare(bench):
        if content is not None:
            bench.write(name, content)
        return ["answer", name, "--question", "What?", "--output", "out", *model(bench)]

    return prepare


def model(bench):
    return ["--model", bench.good.model, "--max_new_tokens", "8"]


def declared(width, height):
    """A PNG of a few bytes that says it is this large."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def deep_gray():
    file = io.BytesIO()
    Image.fromarray(np.full((24, 24), 40_000, np.uint16)).save(file, "PNG")
    return file.getvalue()


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def folder(bench):
    bench.write("folder/notes.txt", "no image")
    return ["answer", "folder", "--question", "What?", *model(bench)]


def dangling_link(bench):
    (bench.folder / "a.png").symlink_to(bench.folder / "gone.png")
    return ["answer", "a.png", "--question", "What?", *model(bench)]


def folder_with(make):
    """Ask about a folder with one entry, `a.png`."""

    def prepare(bench):
        (bench.folder / "folder").mkdir()
        make(bench.folder / "folder" / "a.png")
        return ["answer", "folder", "--question", "What?", "--output", "out", *model(bench)]

    return prepare


def folder_of(name, content):
    """Ask about a folder with one file."""

    def prepare(bench):
        bench.write(f"folder/{name}", content)
        return ["answer", "folder", "--question", "What?", "--output", "out", *model(bench)]

    return prepare


def second_of_two(bench):
    """The first has an answer by the time the second would be read."""
    bench.write("folder/a.png", PNG)
    return [*folder_of("b.png", "no image")(bench), "--batch_size", "1"]


def no_image(bench):
    return ["answer", "--question", "What?", *model(bench)]


PNG = encoded()
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
NOISY = io.BytesIO()
Image.fromarray(NOISE).save(NOISY, "JPEG")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\nshowpage\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"/>'

CASES = [
    Case("none", no_image, "there are no images", "name image files", "a folder of them"),
    Case("missing", answer("a.png", None), "a.png does not exist", "image files", "name"),
    Case("folder without images", folder, "folder holds no images", "image files", "name"),
    Case("dangling link", dangling_link, "a.png does not exist", "image files", "name"),
    Case(
        "link to a device",
        folder_with(lambda path: path.symlink_to("/dev/zero")),
        "a.png is not a file",
        "expected an image",
        "remove it",
    ),
    Case("pipe", folder_with(os.mkfifo), "folder holds no images", "JPEG, PNG", "name image files"),
    Case(
        "link to itself",
        folder_with(lambda path: path.symlink_to("a.png")),
        "a.png",
        "expected",
        "remove it",
    ),
    Case(
        "folder for an image",
        folder_with(Path.mkdir),
        "folder holds no images",
        "JPEG, PNG",
        "name image files",
    ),
    Case("only hidden", folder_of("._a.png", PNG), "holds no images", "JPEG, PNG", "name image"),
    Case("only a PDF", folder_of("a.pdf", PNG), "holds no images", "JPEG, PNG", "name image files"),
    Case(
        "the second of two",
        second_of_two,
        "b.png cannot be read",
        NAMES,
        REPLACE,
    ),
    Case(
        "a name that is not UTF-8",
        folder_of("\udcff.png", PNG),
        r"\udcff.png has a name that is not UTF-8",
        "expected text",
        "rename it",
    ),
    Case("zero bytes", answer("a.png", b""), "a.png cannot be read", NAMES, REPLACE),
    Case("text", answer("a.jpg", "a photo"), "a.jpg cannot be read", NAMES, REPLACE),
    Case("signature only", answer("a.png", PNG[:8]), "a.png cannot be read", NAMES, REPLACE),
    Case("header only", answer("a.png", PNG[:33]), "a.png cannot be read", NAMES, REPLACE),
    Case("cut PNG", answer("a.png", PNG[:-30]), "a.png cannot be read", NAMES, REPLACE),
    Case("cut JPEG", answer("a.jpg", NOISY.getvalue()[:999]), "a.jpg cannot", NAMES, REPLACE),
    Case("cut WebP", answer("a.webp", encoded(kind="WEBP")[:40]), "a.webp cannot", NAMES, REPLACE),
    Case("cut GIF", answer("a.gif", encoded("L", kind="GIF")[:20]), "a.gif cannot", NAMES, REPLACE),
    Case("cut TIFF", answer("a.tiff", encoded(kind="TIFF")[:99]), "a.tiff cannot", NAMES, REPLACE),
    Case("wrong checksum", answer("a.png", flipped(PNG, 20)), "a.png cannot", NAMES, REPLACE),
    Case("EPS, a program", answer("a.eps", EPS), "a.eps cannot be read", NAMES, REPLACE),
    Case("EPS under another name", answer("a.png", EPS), "a.png cannot", NAMES, REPLACE),
    Case("SVG", answer("a.png", SVG), "a.png cannot be read", NAMES, REPLACE),
    Case("icon", answer("a.png", encoded(kind="ICO")), "a.png cannot be read", NAMES, REPLACE),
    Case(
        "CMYK", answer("a.jpg", encoded("CMYK", kind="JPEG")), "kind CMYK", "RGB or gray", "convert"
    ),
    Case("16 bits", answer("a.png", deep_gray()), "kind I;16", "gray with 8 bits", "convert it"),
    Case("32 bits", answer("a.tiff", encoded("F", kind="TIFF")), "kind F", "8 bits", "convert it"),
    Case("Lab", answer("a.tiff", encoded("LAB", kind="TIFF")), "kind LAB", "RGB", "convert it"),
    Case(
        "animated GIF",
        answer("a.gif", encoded("L", kind="GIF", frames=3)),
        "a.gif has several frames",
        "expected a single one",
        "save one of them",
    ),
    Case(
        "animated PNG", answer("a.png", encoded("L", frames=2)), "several frames", "single", "save"
    ),
    Case(
        "animated WebP",
        answer("a.webp", encoded("RGB", kind="WEBP", frames=2, lossless=True)),
        "several frames",
        "expected a single one",
        "save one of them or remove it",
    ),
    Case(
        "many pages",
        answer("a.tiff", encoded("L", kind="TIFF", frames=2)),
        "several frames",
        "expected a single one",
        "save one",
    ),
    Case(
        "1 x 1", answer("a.png", encoded(size=(1, 1))), "1 x 1 pixels", "at least 8", "replace it"
    ),
    Case("7 x 99", answer("a.png", encoded(size=(7, 99))), "7 x 99", "at least 8 a", "replace it"),
    Case("a strip", answer("a.png", encoded(size=(8, 999))), "8 x 999", "32-fold", "crop it"),
    Case(
        "20,000 x 20,000",
        answer("a.png", declared(20_000, 20_000)),
        "a.png has far too many pixels",
        "expected at most 64,000,000",
        "make it smaller",
    ),
    Case(
        "10,000 x 10,000",
        answer("a.png", declared(10_000, 10_000)),
        "a.png has 10000 x 10000 pixels",
        "expected at most 64,000,000",
        "make it smaller",
    ),
    Case("no pixels", answer("a.png", declared(0, 24)), "a.png", "expected", "remove it"),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)


@pytest.mark.parametrize(
    "content",
    [
        encoded("L"),
        encoded("1"),
        encoded("P"),
        encoded("RGBA"),
        encoded("LA"),
        encoded(kind="JPEG"),
        encoded(kind="WEBP"),
        encoded("L", kind="GIF"),
        encoded(kind="TIFF"),
        encoded(kind="BMP"),
        encoded(kind="PPM"),
        encoded(kind="MPO", frames=2),  # a camera's JPEG with a preview
    ],
)
def test_a_good_image_is_not(content, bench):
    ended = bench.run(*answer("a.png", content)(bench))
    assert ended.status == 0, ended.errors
