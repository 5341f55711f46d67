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
from showo_turbo.models.mmada import MMaDA
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding, decoding_of
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.trajectories import fingerprint_module

from ..continuous import feature_networks, tiny_clip
from ..tiny import tiny_magvitv2, tiny_networks
from ..tiny_mmada import shapes_mmada

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
    assert (loaded.sampling, loaded.decoding) == (expected.sampling, expected.decoding)
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


@pytest.mark.parametrize("kind", ["clip", "latents"])
def test_a_moved_folder_of_a_model_that_reads_features(tmp_path, kind):
    made = tmp_path / "made"
    places = {"image_tokenizer": str(made / "images"), "vision_encoder": str(made / "clip")}
    showo, images, texts = feature_networks(image_input=kind, **places)
    parts = {"vision_encoder": tiny_clip() if kind == "clip" else None}
    write_model_folder(
        made,
        showo.state_dict(),
        showo.config,
        image_tokenizer=images,
        text_tokenizer=texts,
        **WAYS,
        **parts,
    )
    moved = tmp_path / "elsewhere"
    shutil.move(made, moved)
    encoder = {"vision_encoder/config.json", "vision_encoder/pytorch_model.safetensors"}
    assert files_in(moved) == FILES - {"README.md"} | (encoder if kind == "clip" else set())
    assert str(tmp_path) not in (moved / "config.json").read_text()
    loaded = ShowoPipeline.from_pretrained(moved)
    expected = ShowoPipeline(showo, images, texts, **WAYS, **parts)
    assert fingerprint_module(loaded.image_encoder) == fingerprint_module(expected.image_encoder)
    assert_equal(loaded, expected)


def test_a_moved_folder_of_a_model_that_denoises_its_text(tmp_path):
    made = tmp_path / "made"
    network = shapes_mmada(image_tokenizer=str(made / "images"), tokenizer=str(made))
    parts = {
        "image_tokenizer": tiny_magvitv2(bits=9),
        "text_tokenizer": TextTokenizer.from_pretrained("shapes"),
        "sampling": WAYS["sampling"],
        "decoding": decoding_of(MMaDA, TextDecoding(max_new_tokens=8, block_size=4)),
    }
    write_model_folder(made, network.state_dict(), network.config, **parts)
    moved = tmp_path / "elsewhere"
    shutil.move(made, moved)
    assert str(tmp_path) not in (moved / "config.json").read_text()
    assert_equal(ShowoPipeline.from_pretrained(moved), ShowoPipeline(network, **parts))


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


def test_the_method_of_a_family():
    own = TextDecoding(max_new_tokens=8, block_size=4)
    diffusion = TextDecoding("block_diffusion", 8, block_size=4)
    assert decoding_of(MMaDA, own) == decoding_of(MMaDA, diffusion) == diffusion
    assert decoding_of(MMaDA, None) == TextDecoding("block_diffusion")
    assert decoding_of(Showo, own) == own and decoding_of(Showo, None) is None


@pytest.mark.bad_input
def test_a_folder_without_its_vision_encoder(tmp_path):
    showo, images, texts = feature_networks(vision_encoder=str(tmp_path / "clip"))
    parts = {"image_tokenizer": images, "text_tokenizer": texts}
    write_model_folder(tmp_path / "made", showo.state_dict(), showo.config, **parts)
    loaded = ShowoPipeline.from_pretrained(tmp_path / "made")
    with pytest.raises(UserError, match="names no vision encoder and has no folder vision_enc"):
        loaded.answer(loaded.generate(["a star"], sampling_steps=1).images, "What is it?")


@pytest.mark.bad_input
def test_a_folder_without_its_image_tokenizer(written):
    folder, _ = written
    shutil.rmtree(folder / "image_tokenizer")
    with pytest.raises(UserError, match="names no image tokenizer and has no folder image_tok"):
        ShowoPipeline.from_pretrained(folder)
