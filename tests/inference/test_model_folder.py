"""Model folders need nothing beside them: they are moved and shared as they are."""

import json
import os
import shutil

import huggingface_hub
import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.inference.model_folder import write_model_folder
from showo_turbo.models.checkpoints import is_portable
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding

from ..tiny import tiny_networks

FILES = {
    "config.json",
    "pytorch_model.safetensors",
    "tokenizer.json",
    "generation_config.json",
    "README.md",
    "image_tokenizer/config.json",
    "image_tokenizer/pytorch_model.safetensors",
}
WAYS = {
    "sampling": ImageSampling(sampling_steps=2, shared_noise_seed=9),
    "decoding": TextDecoding(max_new_tokens=5),
}


@pytest.fixture
def written(tmp_path):
    """A folder of networks that were loaded from folders of this machine."""
    places = {"image_tokenizer": str(tmp_path / "made/images"), "tokenizer": str(tmp_path / "made")}
    showo, images, texts = tiny_networks(**places)
    folder = tmp_path / "made" / "model"
    write_model_folder(
        folder,
        showo.state_dict(),
        showo.config,
        image_tokenizer=images,
        text_tokenizer=texts,
        card="# A model\n",
        **WAYS,
    )
    return folder, ShowoPipeline(showo, images, texts, **WAYS)


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def assert_equal(loaded, expected):
    assert (loaded.sampling, loaded.decoding) == (WAYS["sampling"], WAYS["decoding"])
    pictures = [pipeline.generate(["a red circle"]) for pipeline in (loaded, expected)]
    assert torch.equal(pictures[0].codes, pictures[1].codes)
    assert pictures[0].images[0].tobytes() == pictures[1].images[0].tobytes()
    answers = [
        pipeline.answer(pictures[1].images, "What is it?") for pipeline in (loaded, expected)
    ]
    assert answers[0].tokens == answers[1].tokens


def test_a_folder_that_was_moved(written, tmp_path):
    folder, expected = written
    assert files_in(folder) == FILES
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    shutil.rmtree(tmp_path / "made")
    for name in FILES:
        assert str(tmp_path).encode() not in (moved / name).read_bytes(), name
    config = json.loads((moved / "config.json").read_text())
    assert config["llm_model_path"] is config["showo_turbo"]["tokenizer"] is None
    assert config["showo_turbo"]["image_tokenizer"] is None
    assert_equal(ShowoPipeline.from_pretrained(moved), expected)
    # Its image tokenizer is named by the model's folder, too.
    images = MAGVITv2.from_pretrained(moved).state_dict()
    for key, value in expected.image_tokenizer.state_dict().items():
        assert torch.equal(images[key], value), key


def test_a_folder_of_the_hub(written, tmp_path, monkeypatch):
    """The hub's cache keeps files by their hashes, and a commit as a folder of links to them."""
    folder, expected = written
    repository = tmp_path / "cache" / "models--me--student"
    commit = "0123456789" * 4
    for number, name in enumerate(sorted(FILES)):
        blob = repository / "blobs" / str(number)
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / name, blob)
        link = repository / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert_equal(ShowoPipeline.from_pretrained("me/student"), expected)
    assert_equal(ShowoPipeline.from_pretrained(repository / "snapshots" / commit), expected)


def test_names_for_any_machine_stay(tmp_path):
    showo, *_ = tiny_networks(image_tokenizer="owner/images", tokenizer="shapes")
    write_model_folder(tmp_path, showo.state_dict(), showo.config)
    assert json.loads((tmp_path / "config.json").read_text()) == showo.config.to_dict()


def test_which_names_mean_the_same_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/mine").mkdir(parents=True)
    for name in (None, "shapes", "owner/name"):
        assert is_portable(name)
    for name in ("runs/mine", "a/b/c", str(tmp_path), "./a", "~/a", "folder", ""):
        assert not is_portable(name)


@pytest.mark.bad_input
def test_a_folder_without_its_image_tokenizer(written):
    folder, _ = written
    shutil.rmtree(folder / "image_tokenizer")
    with pytest.raises(UserError, match="names no image tokenizer and has no folder image_tok"):
        ShowoPipeline.from_pretrained(folder)
