import pytest
from PIL import Image

from showo_turbo.data import CaptionQuestions, ClassFolders
from showo_turbo.data.class_folders import read_class_names
from showo_turbo.errors import BadSample, UserError
from showo_turbo.shapes.checker import read_image
from showo_turbo.shapes.classes import ShapesClasses
from showo_turbo.shapes.combinations import shows_held_out


@pytest.fixture
def folder(tmp_path):
    """Three classes, out of order, one with a picture in a folder of its own."""
    for name, count in (("n02", 2), ("n01_a", 1), ("n03", 1)):
        for number in range(count):
            path = tmp_path / "train" / name / ("more" if number else "") / f"{number}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 16), (60 * count, 0, 0)).save(path)
    (tmp_path / "train" / "n03" / "notes.txt").write_text("no picture")
    (tmp_path / "names.txt").write_text("0: tench\n2: 'a hen, or a chick',\n1: goldfish\n")
    return tmp_path


def test_the_name_is_the_caption(folder):
    source = ClassFolders(folder / "train", folder / "names.txt")
    names = ["tench", "goldfish", "goldfish", "a hen, or a chick"]
    assert source.captions() == names
    stream = source.open(8)
    samples = [stream.draw(index, 3) for index in range(len(stream))]
    assert [sample["caption"] for sample in samples] == names
    assert [sample["image_id"] for sample in samples] == [0, 1, 2, 3]
    assert all(sample["pixels"].shape == (3, 8, 8) for sample in samples)
    reds = [round(float((sample["pixels"][0].mean() + 1) * 127.5) / 60) for sample in samples]
    assert reds == [1, 2, 2, 1]


def test_folders_have_names_of_their_own(folder):
    assert ClassFolders(folder / "train").captions() == ["n01 a", "n02", "n02", "n03"]


def test_names_as_a_dictionary_is_written(tmp_path):
    """As the released file of ImageNet's classes has them."""
    (tmp_path / "n").write_text("{0: 'tench, Tinca tinca',\n 1: \"jack-o'-lantern\",\n 2: 'hen'}\n")
    assert read_class_names(tmp_path / "n") == ["tench, Tinca tinca", "jack-o'-lantern", "hen"]


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("0: a\nb\n", "line 2 of .* is 'b'; expected a number and a name such as"),
            ("0: a\n1:\n", "line 2 of .* is '1:'; expected a number and a name"),
            ("0: a\n0: b\n", "line 2 of .* names class 0 again; expected each once"),
            ("0: a\n2: b\n", "names 2 classes, but not class 1; expected those from 0 on"),
            ("", "names 0 classes, but not class 0"),
            ("0: a\n1: b\n", "names 2 classes, but .* has 3 folders; expected a name for each"),
        ],
    )
    def test_names(self, folder, content, message):
        (folder / "names.txt").write_text(content)
        with pytest.raises(UserError, match=message):
            ClassFolders(folder / "train", folder / "names.txt").captions()

    def test_folders(self, folder):
        with pytest.raises(UserError, match="is not a folder"):
            ClassFolders(folder / "none").open(8)
        with pytest.raises(UserError, match="holds no folders"):
            ClassFolders(folder / "train" / "n03").open(8)
        (folder / "train" / "n03" / "0.JPEG").unlink()
        with pytest.raises(UserError, match="n03 holds no images"):
            ClassFolders(folder / "train").open(8)

    def test_a_damaged_picture(self, folder):
        (folder / "train" / "n01_a" / "0.JPEG").write_bytes(b"no picture")
        with pytest.raises(BadSample, match=r"0\.JPEG cannot be read as an image"):
            ClassFolders(folder / "train").open(8).draw(0, 0)


def test_classes_of_the_shapes_world(tmp_path):
    """All that may be shown, each picture of its class alone."""
    source = ShapesClasses(tmp_path / "classes", per_class=3)
    source.prepare()
    listing = {path: path.read_bytes() for path in source.folder.rglob("*.png")}
    source.prepare()
    assert {path: path.read_bytes() for path in source.folder.rglob("*.png")} == listing
    stream = source.open(24)
    assert len(stream) == len(listing) == 3 * 20
    assert len(set(source.captions())) == 20
    for index in range(0, len(stream), 2):
        sample = stream.draw(index, 0)
        pixels = ((sample["pixels"] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        scene = read_image(pixels)
        assert [f"{item.color} {item.shape}" for item in scene.objects] == [sample["caption"]]
        assert not shows_held_out(scene)
    with pytest.raises(UserError, match="holds other images"):
        ShapesClasses(tmp_path / "classes", per_class=4).prepare()


def test_captions_are_answers_that_are_learned_as_a_whole(folder):
    source = CaptionQuestions(ClassFolders(folder / "train"), "What is it?")
    stream = source.open(8)
    sample = stream.draw(1, 5)
    assert (sample["question"], sample["answer"], sample["seed"]) == ("What is it?", "n02", 5)
    batch = stream.collate([sample, stream.draw(0, 6)])
    assert batch["learn_question"] == [True, True] and batch["pixels"].shape == (2, 3, 8, 8)
    with pytest.raises(UserError, match="can be pretrained on, but not distilled"):
        source.requests()
    with pytest.raises(UserError, match="the request is empty"):
        CaptionQuestions(ClassFolders(folder / "train"), " ")
