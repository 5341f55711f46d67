"""Settings of all tests, and the small world and models that several of them share."""

import shutil

import pytest
import torch
from hypothesis import settings

from showo_turbo.data.shapes.write import write_world
from showo_turbo.models.checkpoints import resolve_folder
from showo_turbo.models.showo import Showo, ShowoConfig

# The first call into a library may take long; that says nothing of the code under test.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A small shapes world."""
    folder = tmp_path_factory.mktemp("world") / "shapes"
    write_world(folder, images=48, documents=16, validation_images=8, seed=0, progress=False)
    return folder


@pytest.fixture(scope="session")
def random_shapes_model(tmp_path_factory):
    """A model folder for the shapes world, with random weights and hardly any width."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = ShowoConfig(
        text_vocabulary_size=640,
        codebook_size=512,
        image_tokens=36,
        max_text_length=32,
        tokenizer=None,
        image_tokenizer="shapes",
        eos_id=0,
        hidden_size=32,
        layers=1,
        heads=2,
        max_position_embeddings=256,
    )
    network = Showo(config)
    with torch.no_grad():
        # Answers of a random network never end; this one says `eot` often.
        network.showo.lm_head.bias[config.vocabulary.eot_id] = 4
    network.save_pretrained(folder)
    shutil.copy(resolve_folder("shapes", "showo") / "tokenizer.json", folder)
    return folder
