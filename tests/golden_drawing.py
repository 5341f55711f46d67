"""Golden inpainting and extrapolation: networks, cases, and their random numbers replayed."""

import json
from dataclasses import replace
from functools import cache

from PIL import Image
from safetensors.torch import load_file

from showo_turbo.models.magvitv2 import MAGVITv2, MAGVITv2Config
from showo_turbo.models.showo import Showo
from showo_turbo.sampling import parallel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.text_tokenizer import TextTokenizer

from .tiny import GOLDEN, GOLDEN_CONFIG

FOLDER = GOLDEN / "drawing"
CONFIG = replace(GOLDEN_CONFIG, image_tokens=64, max_position_embeddings=1024)
VOCABULARY = CONFIG.vocabulary
SIDE = 8


@cache
def cases():
    return load_file(FOLDER / "cases.safetensors")


@cache
def meta():
    return json.loads((FOLDER / "meta.json").read_text())


def names(kind):
    """The recorded cases of a kind, without it."""
    return [name.partition(".")[2] for name in meta()["cases"] if name.startswith(f"{kind}.")]


@cache
def showo():
    network = Showo(CONFIG)
    network.load_state_dict(load_file(FOLDER / "showo.safetensors"))
    return network.eval()


@cache
def magvitv2():
    sizes = meta()["magvit"]
    multipliers, blocks = tuple(sizes["ch_mult"]), tuple(sizes["num_res_blocks"])
    network = MAGVITv2(
        MAGVITv2Config(sizes["ch"], multipliers, multipliers, blocks, blocks, sizes["z_channels"])
    )
    network.load_state_dict(load_file(FOLDER / "magvitv2.safetensors"))
    return network.eval()


def text_tokenizer():
    """Its words `w0`, `w1`, ... have their numbers as ids."""
    return TextTokenizer.from_pretrained(GOLDEN)


def picture(name):
    """A recorded picture: `photo`, or a mask."""
    return Image.fromarray(cases()[name].numpy())


def ids_of(prompt):
    return [int(word.removeprefix("w")) for word in prompt.split()]


def codes_of(ids):
    """Codes of recorded ids; the mask's id becomes the mask's code."""
    return ids - VOCABULARY.image_offset


def sampling_of(options):
    """How a case was sampled; its temperature compounds."""
    return ImageSampling(
        options["steps"],
        options["guidance_scale"],
        options.get("mask_schedule", "cosine"),
        token_temperature=0.0 if options["greedy"] else 1.0,
        confidence_temperature=0.0 if options["greedy"] else 1.0,
        confidence_annealing="compounding",
    )


def replay(monkeypatch, case):
    """Give the sampler the codes and the noise that a case has drawn, in place of its own."""
    drawn = iter(cases()[f"{case}.drawn_codes"].unbind(1))
    noise = iter(cases()[f"{case}.gumbel_noise"].unbind(1))

    def draw_tokens(logits, sampling, own):
        codes = next(drawn)
        return codes, logits.log_softmax(dim=-1).gather(-1, codes[..., None])[..., 0]

    monkeypatch.setattr(parallel, "draw_tokens", draw_tokens)
    monkeypatch.setattr(parallel.SamplerNoise, "gumbel", lambda self, scale: scale * next(noise))
