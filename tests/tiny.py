"""Models small enough for tests, the golden one among them, and the files that hold them."""

import json
import shutil
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file

from showo_turbo.models.magvitv2 import MAGVITv2, MAGVITv2Config
from showo_turbo.models.showo import Showo, ShowoConfig
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.text_tokenizer import TextTokenizer

GOLDEN = Path(__file__).parent / "golden"

GOLDEN_CONFIG = ShowoConfig(
    text_vocabulary_size=120,
    codebook_size=64,
    image_tokens=16,
    max_text_length=12,
    tokenizer=None,
    eos_id=119,
    hidden_size=64,
    layers=2,
    heads=4,
    max_position_embeddings=512,
)


@cache
def golden_cases():
    return load_file(GOLDEN / "cases.safetensors")


@cache
def golden_meta():
    return json.loads((GOLDEN / "meta.json").read_text())


@cache
def released_keys(kind):
    return json.loads((GOLDEN / "released_checkpoint_keys.json").read_text())[kind]


def write_golden_folder(folder):
    """A model folder in the released layout, with our sizes added to `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(GOLDEN / "showo.safetensors", folder / "pytorch_model.safetensors")
    shutil.copy(GOLDEN / "tokenizer.json", folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps(GOLDEN_CONFIG.to_dict()))
    return folder


@cache
def golden_showo():
    network = Showo(GOLDEN_CONFIG)
    network.load_state_dict(load_file(GOLDEN / "showo.safetensors"))
    return network.eval()


def golden_jacobi():
    """Our decoding of the golden block, and its recorded iterates, the start among them."""
    model, golden = golden_showo(), golden_cases()
    iterates = golden["jacobi.iterates"]
    (result,) = jacobi_decode(
        model,
        golden["mmu.input_ids"][:, 2:18] - model.vocabulary.image_offset,
        [[20, 21, 22]],
        max_new_tokens=8,
        block_size=8,
        starts=[iterates[0].tolist()],
        restrict_to_text=False,
    )
    return result, iterates


def tiny_showo(seed=0, *, decided=True, **sizes):
    """A random network; `decided` ones differ clearly in what they predict where."""
    torch.manual_seed(seed)
    options = {
        "text_vocabulary_size": 30,
        "codebook_size": 24,
        "image_tokens": 16,
        "max_text_length": 12,
        "tokenizer": None,
        "eos_id": 29,
        "hidden_size": 32,
        "layers": 2,
        "heads": 2,
        "max_position_embeddings": 256,
    }
    network = Showo(ShowoConfig(**(options | sizes))).eval()
    if decided:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith("weight") and "norm" not in name:
                    parameter.mul_(12)
            # Some answers end early, some late, some never.
            network.showo.lm_head.bias[network.vocabulary.eot_id] += 1.2
    return network


def shapes_showo(seed=0):
    """A random network with the sizes of the shapes world's tokens."""
    return tiny_showo(
        seed,
        text_vocabulary_size=640,
        codebook_size=512,
        image_tokens=36,
        max_text_length=32,
        eos_id=0,
    )


def tiny_networks(seed=0, **sizes):
    """A transformer, an image tokenizer and a text tokenizer that belong together: 16 px images."""
    options = {
        "text_vocabulary_size": 640,
        "codebook_size": 64,
        "eos_id": 0,
        "max_text_length": 32,
        "tokenizer": "shapes",
    }
    showo = tiny_showo(seed, **(options | sizes))
    return showo, tiny_magvitv2(seed), TextTokenizer.from_pretrained("shapes")


def write_tiny_model(folder, seed=0, **sizes):
    """A model folder, with its image tokenizer's folder in it."""
    showo, image_tokenizer, _ = tiny_networks(
        seed, image_tokenizer=str(folder / "magvitv2"), **sizes
    )
    showo.save_pretrained(folder)
    image_tokenizer.save_pretrained(folder / "magvitv2")
    return folder


def tiny_magvitv2(seed=0, bits=6, **sizes):
    """A random image tokenizer with patches of 4 x 4 pixels."""
    torch.manual_seed(seed)
    options = {
        "channels": 8,
        "encoder_multipliers": (1, 1, 1),
        "decoder_multipliers": (1, 1, 1),
        "encoder_blocks": (1, 1, 1),
        "decoder_blocks": (1, 1, 1),
        "bits": bits,
        "norm_groups": 4,
    }
    return MAGVITv2(MAGVITv2Config(**(options | sizes))).eval()
