"""MMaDA networks small enough for tests, the golden one among them, and files that hold them."""

import json
import shutil
from functools import cache

import torch
from safetensors.torch import load_file, save_file

from showo_turbo.models.mmada import MMaDA, MMaDAConfig
from showo_turbo.text_tokenizer import TextTokenizer

from .tiny import GOLDEN

FOLDER = GOLDEN / "mmada"
WIDTH = 13
"""Length of the padded text part of the golden text-to-image sequences."""

GOLDEN_CONFIG = MMaDAConfig(
    text_vocabulary_size=84,
    codebook_size=32,
    vocabulary_size=121,
    image_tokens=36,
    max_text_length=12,
    tokenizer=None,
    bos_id=60,
    eos_id=61,
    soi_id=64,
    mask_id=80,
    start_header_id=81,
    hidden_size=64,
    layers=2,
    heads=4,
    kv_heads=4,
    intermediate_size=160,
    max_position_embeddings=256,
)


@cache
def golden_cases():
    cases = load_file(FOLDER / "cases.safetensors")
    return {
        name: value.long() if value.dtype == torch.int32 else value for name, value in cases.items()
    }


@cache
def golden_meta():
    return json.loads((FOLDER / "meta.json").read_text())


@cache
def golden_tokenizer():
    return TextTokenizer.from_file(FOLDER / "tokenizer.json")


@cache
def golden_mmada(padding="masked"):
    values = GOLDEN_CONFIG.to_dict()
    values["showo_turbo"]["padding"] = padding
    network = MMaDA(MMaDAConfig.from_dict(values))
    network.load_state_dict(load_file(FOLDER / "mmada.safetensors"))
    return network.eval()


def codes_of(ids):
    """Image codes of token ids, `mask_code` where masked."""
    return torch.where(ids == 80, 32, ids - 84)


def golden_prompts(texts):
    """Text ids of prompts, cut to the ten that fit, as the published code cuts them."""
    return [golden_tokenizer().encode(text)[:10] for text in texts]


def released_config():
    """A `config.json` in the released layout, of the golden sizes, and nothing of our own."""
    meta = golden_meta()
    return meta["config"] | {
        "model_type": "mmada",
        "codebook_size": meta["codebook_size"],
        "num_vq_tokens": meta["num_image_tokens"],
        "llm_vocab_size": meta["vocab_size"] - meta["codebook_size"],
        "new_vocab_size": meta["vocab_size"],
    }


def own_values():
    """What our own files add to released ones, of the golden network."""
    return GOLDEN_CONFIG.to_dict()["showo_turbo"]


def write_golden_folder(folder, config=None):
    """A model folder in the released layout: its weights in two shards."""
    folder.mkdir(parents=True, exist_ok=True)
    state = load_file(FOLDER / "mmada.safetensors")
    places = {}
    for number, names in enumerate((sorted(state)[:9], sorted(state)[9:]), start=1):
        name = f"model-{number:05d}-of-00002.safetensors"
        save_file({key: state[key] for key in names}, folder / name)
        places |= dict.fromkeys(names, name)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    shutil.copy(FOLDER / "tokenizer.json", folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps(config or GOLDEN_CONFIG.to_dict()))
    return folder


def shapes_mmada(seed=0, **sizes):
    """A random network over the tokens of the shapes world, which its special tokens follow."""
    options = {
        "text_vocabulary_size": 660,
        "vocabulary_size": 660 + 512,
        "codebook_size": 512,
        "image_tokens": 36,
        "max_text_length": 32,
        "bos_id": 640,
        "eos_id": 0,
        "soi_id": 641,
        "mask_id": 652,
        "start_header_id": 653,
    }
    return tiny_mmada(seed, **(options | sizes))


def tiny_mmada(seed=0, **sizes):
    """A random network that differs clearly in what it predicts where."""
    torch.manual_seed(seed)
    options = {
        "text_vocabulary_size": 40,
        "codebook_size": 24,
        "vocabulary_size": 66,
        "image_tokens": 16,
        "max_text_length": 12,
        "tokenizer": None,
        "bos_id": 24,
        "eos_id": 25,
        "soi_id": 26,
        "mask_id": 36,
        "start_header_id": 37,
        "hidden_size": 32,
        "layers": 2,
        "heads": 2,
        "kv_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 256,
    }
    network = MMaDA(MMaDAConfig(**(options | sizes))).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" not in name and "ln_f" not in name:
                parameter.mul_(12)
    return network


def ending_often(network, factor=5.0):
    """Make a random network end its texts often: its answers are long, short and unfinished."""
    with torch.no_grad():
        network.transformer.ff_out.weight[network.eot_id] *= factor
    return network
