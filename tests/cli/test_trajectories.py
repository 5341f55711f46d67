import shutil

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def stores(tmp_path_factory, model):
    """A folder with a store of images and one of texts."""
    from showo_turbo.cli.main import main

    folder = tmp_path_factory.mktemp("stores")
    world = ["--shapes.folder", folder / "world", "--shapes.images", 6]
    world += ["--shapes.documents", 2, "--shapes.validation_images", 2]
    settings = [
        "--num_images",
        5,
        "--num_texts",
        5,
        "--images.sampling.sampling_steps",
        4,
        "--images.segments",
        2,
    ]
    settings += ["--texts.decoding.max_new_tokens", 24, "--texts.max_repeats", 40, "--model", model]
    main([str(entry) for entry in ["collect", folder / "out", *world, *settings]])
    return folder / "out"


def test_a_store_is_shown_and_drawn(command, model, stores):
    result = command("trajectories", stores / "images", "--model", model, "--samples", 2)
    assert result.status == 0
    assert "Trajectories in" in result.output
    assert "2 film strips in" in result.output.replace("\n", " ")
    strips = sorted((stores / "images-strips").iterdir())
    assert [path.name for path in strips] == ["image-00000.png", "image-00004.png"]
    with Image.open(strips[0]) as strip:
        assert strip.width > 5 * 100, "one frame for each of five states"


def test_all_stores_in_a_folder(command, model, stores, tmp_path):
    run = ["trajectories", stores, "--output", tmp_path / "strips", "--samples", 1]
    result = command(*run, "--model", model)
    assert result.status == 0, result.errors
    assert result.output.count("Trajectories in") == 2
    drawn = sorted(path.relative_to(tmp_path / "strips") for path in tmp_path.rglob("*.png"))
    assert [str(path) for path in drawn] == ["images/image-00000.png", "texts/text-00000.png"]


def test_the_teacher_beside_a_store_is_its_model(command, model, stores, tmp_path):
    shutil.copytree(stores / "images", tmp_path / "round-0/images")
    shutil.copytree(model, tmp_path / "round-0/teacher")
    result = command("trajectories", tmp_path / "round-0/images", "--samples", 1)
    assert result.status == 0, result.errors
    assert (tmp_path / "round-0/images-strips/image-00000.png").is_file()


def test_no_film_strips(command, stores, tmp_path):
    run = ["trajectories", stores, "--output", tmp_path / "strips", "--samples", 0]
    result = command(*run, "--model", "there/is-none")
    assert result.status == 0
    assert not (tmp_path / "strips").exists()


@pytest.mark.bad_input
class TestBadInput:
    def test_no_store(self, mistake, tmp_path):
        assert "holds no trajectories" in mistake("trajectories", tmp_path)
        assert "none is not a folder" in mistake("trajectories", tmp_path / "none")

    def test_a_damaged_store(self, mistake, stores, tmp_path):
        copy = shutil.copytree(stores / "images", tmp_path / "copy")
        (shard,) = copy.glob("*.safetensors")
        shard.write_bytes(shard.read_bytes()[:-1])
        assert "is damaged: its checksum differs" in mistake("trajectories", copy)

    def test_options(self, mistake, stores):
        assert "samples is -1" in mistake("trajectories", stores, "--samples", -1)
        message = mistake("trajectories", stores, "--image_tokenizer", "nowhere", "--samples", 1)
        assert "model 'nowhere' is not a folder" in message
