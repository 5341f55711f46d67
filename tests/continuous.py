"""Models that read features of images, small enough for tests, and the golden one among them."""

import json
import shutil
from functools import cache

import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from showo_turbo.models.checkpoints import resolve_folder
from showo_turbo.models.showo import ShowoConfig
from showo_turbo.models.vision_encoders import CLIPFeatures

from .tiny import GOLDEN, tiny_networks, tiny_showo

FOLDER = GOLDEN / "clip"

CLIP_SIZES = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 20,
    "patch_size": 5,
}


@cache
def golden_cases():
    return load_file(FOLDER / "cases.safetensors")


@cache
def golden_training_cases():
    return load_file(FOLDER / "training.safetensors")


@cache
def golden_meta():
    return json.loads((FOLDER / "meta.json").read_text())


def golden_config(clip, **changes):
    """The golden model's `config.json`, as the released ones are; only the sizes are our own."""
    meta = golden_meta()
    sizes = {
        "eos_id": meta["special_token_ids"]["<|eot|>"],
        "hidden_size": meta["phi"]["hidden_size"],
        "layers": meta["phi"]["num_hidden_layers"],
        "heads": meta["phi"]["num_attention_heads"],
        "max_position_embeddings": meta["phi"]["max_position_embeddings"],
        "tokenizer": None,
        "system_prompt": meta["cases"]["mmu_vit"]["system_prompt"],
        "vision_encoder": str(clip),
        "vision_width": meta["clip"]["hidden_size"],
    }
    return {
        "_class_name": "Showo",
        "_diffusers_version": "0.30.1",
        "codebook_size": meta["codebook_size"],
        "llm_vocab_size": meta["text_vocab_size"],
        "num_vq_tokens": meta["num_image_tokens"],
        "vocab_size": meta["vocab_size"],
        "w_clip_vit": True,
        "showo_turbo": sizes | changes,
    }


GOLDEN_CONFIG = ShowoConfig.from_dict(golden_config("nowhere"))


def write_golden_clip(folder):
    """A folder of CLIP as it was released: of it all, its text side too."""
    folder.mkdir(parents=True)
    vision = {k: v for k, v in golden_meta()["clip"].items() if k != "preprocessor"}
    config = {"model_type": "clip", "text_config": {"hidden_size": 4}, "vision_config": vision}
    (folder / "config.json").write_text(json.dumps(config))
    state = load_file(FOLDER / "clip.safetensors")
    state["vision_model.embeddings.position_ids"] = torch.arange(577)[None]
    state["text_model.final_layer_norm.weight"] = torch.full((4,), torch.nan)
    state["logit_scale"] = torch.tensor(1.0)
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def write_golden_model(folder, clip=None, **changes):
    """A folder of the golden model as `show-o-w-clip-vit` was released, with its CLIP in it."""
    folder.mkdir(parents=True)
    clip = clip or write_golden_clip(folder / "clip")
    (folder / "config.json").write_text(json.dumps(golden_config(clip, **changes)))
    state = load_file(FOLDER / "showo.safetensors")
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "tokenizer.json").write_bytes((FOLDER / "tokenizer.json").read_bytes())
    return folder


def tiny_clip(seed=0, **sizes):
    """A random vision encoder of 16 features of width 8."""
    torch.manual_seed(seed)
    model = CLIPVisionModel(CLIPVisionConfig(**(CLIP_SIZES | sizes))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that pictures differ
    return CLIPFeatures(model).eval().requires_grad_(False)


def write_tiny_clip(folder, seed=0, **sizes):
    """A folder of a random vision encoder, by transformers itself."""
    tiny_clip(seed, **sizes).model.save_pretrained(folder)
    return folder


FEATURES = {"image_input": "clip", "vision_tokens": 16, "vision_width": 8, "system_prompt": "a red"}


def feature_showo(seed=0, **sizes):
    """A random network that reads 16 features of width 8."""
    return tiny_showo(seed, **(FEATURES | sizes))


def feature_prompt(model, question, system=(3, 4)):
    """Ids of a question as `encode_question` gives them: around `soi eoi`."""
    return [*system, model.vocabulary.soi_id, model.vocabulary.eoi_id, *question]


def feature_networks(seed=0, **sizes):
    """A transformer that reads features, with an image tokenizer and a text tokenizer."""
    return tiny_networks(seed, **(FEATURES | sizes))


def write_shapes_model(folder, kind):
    """A random model for the shapes world that reads features, with its vision encoder in it."""
    network = tiny_showo(
        decided=False,
        **FEATURES | {"image_input": kind, "vision_encoder": str(folder / "clip")},
        text_vocabulary_size=640,
        codebook_size=512,
        image_tokens=36,
        max_text_length=32,
        image_tokenizer="shapes",
        eos_id=0,
        layers=1,
    )
    with torch.no_grad():
        network.showo.lm_head.bias[0] = 4  # answers of a random network would never end
    network.save_pretrained(folder)
    shutil.copy(resolve_folder("shapes", "showo") / "tokenizer.json", folder)
    if kind == "clip":
        write_tiny_clip(folder / "clip", image_size=24, patch_size=6)
    return folder
