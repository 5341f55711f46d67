"""COCO captions, and images that they name."""

import pytest

from .bench import Case, table

pytestmark = pytest.mark.bad_input

IMAGE = {"id": 1, "file_name": "1.png"}
CAPTION = {"image_id": 1, "caption": "a red circle"}


def captions(content):
    """Collect images for captions of this content; None stands for no file."""

    def prepare(bench):
        path = bench.folder / "coco.json"
        if content is not None:
            bench.write(path.name, content)
        files = ["--captions.images", bench.good.images, "--captions.annotations", path]
        return [
            "collect",
            "out",
            *files,
            "--model",
            bench.good.model,
            "--images.sampling.sampling_steps",
            "4",
        ]

    return prepare


def with_image(**image):
    return captions({"images": [IMAGE | image], "annotations": [CAPTION]})


def with_caption(**caption):
    return captions({"images": [IMAGE], "annotations": [CAPTION, CAPTION | caption]})


def with_spoiled_image(spoil):
    """Train an image tokenizer on two images, one of which `spoil` got hold of."""

    def prepare(bench):
        images = bench.folder / "images"
        images.mkdir()
        for number in range(2):
            (images / f"{number}.png").write_bytes(bench.good.image(0).read_bytes())
        spoil(images / "1.png")
        coco = bench.good.coco()
        coco = {"images": coco["images"][:2], "annotations": coco["annotations"][:2]}
        return ["fit", "-c", bench.pretraining(bench.write("coco.json", coco), images)]

    return prepare


FIELD = "correct or remove it"
SAMPLE = "or leave out such samples, with max_bad_samples"

CASES = [
    Case("no file", captions(None), "coco.json does not exist", "a JSON file", "correct the name"),
    Case("no bytes", captions(""), "coco.json", "is not valid JSON", "correct or restore"),
    Case("no JSON", captions("images:"), "coco.json", "is not valid JSON", "correct or restore"),
    Case("cut", captions('{"images": [{"id'), "coco.json", "is not valid JSON", "restore it"),
    Case("no UTF-8", captions(b"\xff\xfe{}"), "coco.json cannot be", "expected JSON", "restore it"),
    Case("nested", captions("[" * 99_999), "coco.json", "is not valid JSON", "restore it"),
    Case("digits", captions("1" * 9999), "coco.json", "is not valid JSON", "restore it"),
    Case("a list", captions([]), "coco.json has no list 'images'", "COCO captions", "name another"),
    Case(
        "no annotations",
        captions({"images": [IMAGE]}),
        "no list 'annotations'",
        "expected COCO captions",
        "name another",
    ),
    Case(
        "annotations as a mapping",
        captions({"images": [IMAGE], "annotations": {"1": CAPTION}}),
        "no list 'annotations'",
        "expected COCO captions",
        "name another",
    ),
    Case(
        "no caption",
        captions({"images": [IMAGE], "annotations": []}),
        "coco.json holds no caption",
        "expected COCO captions",
        "name another",
    ),
    Case("image without id", with_image(id=None), "nothing for 'id'", "an integer", FIELD),
    Case("id as text", with_image(id="1"), "'1' for 'id'", "expected an integer", FIELD),
    Case("id as truth", with_image(id=True), "True for 'id'", "expected an integer", FIELD),
    Case("id as fraction", with_image(id=1.0), "1.0 for 'id'", "expected an integer", SAMPLE),
    Case("id as list", with_image(id=[[]] * 99), "[[], [],", "expected an integer", FIELD),
    Case(
        "the same id twice",
        captions({"images": [IMAGE, IMAGE], "annotations": [CAPTION]}),
        "has the id 1 of another image",
        "expected ids of their own",
        FIELD,
    ),
    Case("image as text", captions({"images": ["1.png"], "annotations": []}), "'id'", "int", FIELD),
    Case("no name", with_image(file_name=None), "nothing for 'file_name'", "a text", FIELD),
    Case("name as number", with_image(file_name=1), "1 for 'file_name'", "a text", FIELD),
    Case("empty name", with_image(file_name=""), "empty text for 'file_name'", "fill it", "remove"),
    Case("a dot", with_image(file_name="."), "the image '.'", "a relative path inside", FIELD),
    Case("absolute", with_image(file_name="/etc/motd"), "'/etc/motd'", "relative path", FIELD),
    Case("upwards", with_image(file_name="../1.png"), "'../1.png'", "relative path", FIELD),
    Case("null byte", with_image(file_name="1\0.png"), r"'1\x00.png'", "relative path", FIELD),
    Case("no image id", with_caption(image_id=None), "nothing for 'image_id'", "integer", FIELD),
    Case("unknown image", with_caption(image_id=7), "image_id 7", "no entry of 'images'", "add"),
    Case("caption as number", with_caption(caption=7), "7 for 'caption'", "a text", FIELD),
    Case("missing caption", with_caption(caption=None), "nothing for 'caption'", "a text", FIELD),
    Case(
        "empty caption", with_caption(caption=""), "empty text for 'caption'", "fill it", "remove"
    ),
    Case("blank caption", with_caption(caption=" \n"), "empty text for", "fill it in", "remove"),
    Case(
        "surrogate",
        with_caption(caption="a \udc00"),
        r"'\udc00' in 'caption'",
        "Unicode",
        "rewrite",
    ),
    Case(
        "all captions too long",
        captions({"images": [IMAGE], "annotations": [CAPTION | {"caption": "circle " * 99}]}),
        "all 1 captions have more than 30 tokens",
        "longest prompt",
        "give shorter ones",
    ),
    Case(
        "a missing image",
        with_spoiled_image(lambda path: path.unlink()),
        "images/1.png does not exist",
        "expected an image",
        SAMPLE,
    ),
    Case(
        "a damaged image",
        with_spoiled_image(lambda path: path.write_bytes(path.read_bytes()[:40])),
        "images/1.png cannot be read as an image",
        "expected JPEG, PNG",
        SAMPLE,
    ),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)


def test_good_captions_are_not(bench):
    ended = bench.run(*captions(bench.good.coco())(bench))
    assert ended.status == 0, ended.errors
    ended = bench.run(*with_spoiled_image(lambda path: None)(bench))
    assert ended.status == 0, ended.errors
