"""Stories, clips and shards of pictures, given to a training."""

import io
import tarfile

import pytest
from PIL import Image

from showo_turbo.data.clip_writing import write_clip

from .bench import Case, caption_files, source, table

pytestmark = pytest.mark.bad_input

SEGMENT = {"text": "a red circle", "image": "0.png"}
SAMPLE = "or leave out such samples, with max_bad_samples"


def training(bench, stream, option, value):
    """A configuration of Show-o with one stream."""
    sizes = {"image": 0, "text": 0, "language": 0, stream: 1}
    return ["fit", "-c", bench.language_model(**{option: value, "batch_sizes": sizes})]


def stories(content):
    def prepare(bench):
        file = bench.write("stories.json", content)
        files = source("StoryFiles", images=bench.good.images, annotations=file)
        return training(bench, "story", "stories", files)

    return prepare


def tar(members, cut=None):
    """Train on a tar file with these members."""

    def prepare(bench):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        file = bench.write("a.tar", buffer.getvalue()[:cut])
        shards = {"class_path": "ImageTextShards", "init_args": {"files": [str(file)]}}
        return training(bench, "image", "captions", shards)

    return prepare


def clip(spoil):
    """Train a tokenizer of clips on a clip that `spoil` writes."""

    def prepare(bench):
        spoil(bench.folder / "clips")
        coco = {
            "images": [{"id": 1, "file_name": "a.gif"}],
            "annotations": [{"image_id": 1, "caption": "a clip"}],
        }
        files = caption_files(bench.folder / "clips", bench.write("coco.json", coco))
        files["init_args"]["frames"] = 5
        return training(bench, "image", "captions", files)

    return prepare


def frames(count, size=(16, 16)):
    return [Image.new("RGB", size, (40 * number, 0, 0)) for number in range(count)]


def gif(count):
    return clip(lambda folder: write_clip(folder / "a.gif", frames(count)))


def broken(folder):
    folder.mkdir()
    (folder / "a.gif").write_bytes(b"GIF89a, but cut")


def growing(folder):
    (folder / "a.gif").mkdir(parents=True)
    for number, frame in enumerate([*frames(4), *frames(1, (20, 16))]):
        frame.save(folder / "a.gif" / f"{number}.png")


PICTURE = [("a.png", b"picture"), ("a.txt", b"a caption")]

CASES = [
    Case(
        "a story without text",
        stories([{"segments": [SEGMENT, {"image": "1.png"}]}]),
        "segment 1 of story 0",
        "nothing for 'text'; expected a text",
        "correct or remove it",
    ),
    Case(
        "a story with an empty text",
        stories([{"segments": [SEGMENT | {"text": " "}]}]),
        "segment 0 of story 0",
        "empty text for 'text'",
        "fill it in or remove",
    ),
    Case("no stories", stories([]), "stories.json holds no story", "expected some", "name another"),
    Case(
        "a tar without captions",
        tar(PICTURE[:1]),
        "a.tar has the sample 'a' with .png",
        "expected an image",
        "write it again or remove it",
    ),
    Case(
        "a mixed tar",
        tar([*PICTURE, ("b.png", b""), ("b.txt", b"b"), ("a.json", b"{}")]),
        "a.tar has the sample 'a' with .json",
        "expected an image",
        "write it again or remove it",
    ),
    Case(
        "a cut tar",
        tar(PICTURE, cut=1100),
        "a.tar cannot be read as a tar file",
        "expected one without compression",
        "restore or remove it",
    ),
    Case("four frames", gif(4), "a.gif has 4 frames", "expected 5", SAMPLE),
    Case("six frames", gif(6), "a.gif has more than 5 frames", "expected 5", SAMPLE),
    Case(
        "a broken clip",
        clip(broken),
        "a.gif cannot be read as a clip",
        "expected .gif, .webp",
        SAMPLE,
    ),
    Case(
        "frames of changing size",
        clip(growing),
        "a.gif changes from 16 x 16 to 20 x 16 pixels at frame 4",
        "expected one size",
        SAMPLE,
    ),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)
