"""`showo-turbo export`: a training checkpoint becomes a model folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..inference.generation_config import noted_generation
from ..inference.loading import load_text_tokenizer, own_folder
from ..inference.model_card import image_tokenizer_card, model_card, write_card
from ..inference.model_folder import write_model_folder
from ..models.checkpoints import (
    IMAGE_TOKENIZER_KEY,
    MAGVITV2_CONFIG_KEY,
    MODEL_CONFIG_KEY,
    TEXT_TOKENIZER_KEY,
    VISION_ENCODER_KEY,
    check_finite,
    describe_misfits,
    is_portable,
    read_config,
    resolve_folder,
    save_checkpoint,
)
from ..models.lora import merge_lora
from ..models.magvitv2 import MAGVITv2, MAGVITv2Config
from ..models.protocols import ImageModel, ModelConfig
from ..models.registry import find_family, import_family, load_config
from ..models.vision_encoders import CLIPFeatures
from ..models.weight_files import load_weights_only
from ..sampling.changes import Changes, Options
from ..sampling.image_sampling import ImageSampling, SamplingChanges
from ..sampling.text_decoding import DecodingChanges, TextDecoding, decoding_of
from ..text_tokenizer import TextTokenizer
from .command_line import run_function

_MODEL_KEYS = ("student.", "model.")
"""How the keys of a model begin in checkpoints of ShowoTurbo, and of a family's pretraining."""

_MAGVITV2_KEYS = ("model.encoder.", "model.decoder.", "model.quantize.")
"""How the keys of the image tokenizer begin in checkpoints of PretrainMAGVITv2."""


@dataclass(frozen=True)
class _Network:
    """A network that was found in a checkpoint.

    Attributes:
        state: Its weights, under the released keys.
        config: Its sizes.
        card: Its model card.
        kind: Its family; None for an image tokenizer.
        text_tokenizer: The text tokenizer to copy into its folder, if one is.
        image_tokenizer: The image tokenizer to copy into its folder, if one is.
        vision_encoder: The vision encoder to copy into its folder, if one is.
    """

    state: Mapping[str, Tensor]
    config: ModelConfig | MAGVITv2Config
    card: str
    kind: type[ImageModel] | None = None
    text_tokenizer: TextTokenizer | None = None
    image_tokenizer: MAGVITv2 | None = None
    vision_encoder: CLIPFeatures | None = None


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(export, arguments, name="export", nested=("sampling", "decoding"))


def export(
    checkpoint: Path,
    output: Path,
    config_from: str | None = None,
    text_tokenizer: str | None = None,
    image_tokenizer: str | None = None,
    vision_encoder: str | None = None,
    sampling: SamplingChanges = SamplingChanges(),
    decoding: DecodingChanges = DecodingChanges(),
    half: bool = False,
    card: bool = True,
    overwrite: bool = False,
    family: str | None = None,
) -> None:
    """Export the network of a training checkpoint as a model folder.

    The folder has the released layout: `config.json` and `pytorch_model.safetensors` with the
    released keys, with `tokenizer.json` and the folder `image_tokenizer`, the tokenizers that were
    trained with, and the folder `vision_encoder` likewise. It names no other folder, so that it can
    be moved, and goes wherever a model id is taken, `from_pretrained` among them.

    Args:
        checkpoint: A `.ckpt` file of ShowoTurbo, whose student is written, of PretrainShowo or
            PretrainMMaDA, or of PretrainMAGVITv2, whose image tokenizer is.
        output: The model folder to write.
        config_from: Model that has the network's sizes, if the checkpoint does not hold them:
            `shapes`, a folder or a hub id.
        text_tokenizer: Text tokenizer to copy into the folder: `shapes`, a folder, a file or a hub
            id; by default the one of `config_from` or else the one that was trained with.
        image_tokenizer: Image tokenizer to copy into the folder, likewise.
        vision_encoder: Vision encoder to copy into the folder, likewise, of a model that reads
            images through one.
        sampling: Recommended for the model, such as `--sampling.sampling_steps 4`; what is not
            given is as in the `sampling` that it was trained with. Written to
            `generation_config.json`, and so the default of `generate`.
        decoding: Recommended for the model, such as `--decoding.max_new_tokens 64`, likewise, and
            the default of `answer`.
        half: Store the weights in half precision, in half the space; they load in float32.
        card: Write a model card, `README.md`, with the sizes and where the weights come from.
        overwrite: Replace the model that is in the folder.
        family: Class of the network, where it is of a family of your own: its import path, such as
            `my_module.MyModel`.
    """
    if (output / "config.json").exists() and not overwrite:
        raise UserError(f"{output} holds a model; name another folder, or give --overwrite")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; name a folder for the model")
    dtype = torch.float16 if half else torch.float32
    if family is not None:
        import_family(family)  # before the checkpoint is read
    content = _read_checkpoint(checkpoint)
    parts = {
        TEXT_TOKENIZER_KEY: text_tokenizer,
        IMAGE_TOKENIZER_KEY: image_tokenizer,
        VISION_ENCODER_KEY: vision_encoder,
    }
    network = _find_network(content, checkpoint, config_from, parts, dtype, family)
    images, texts = _generation(content, checkpoint, network, sampling, decoding)
    weights = {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in network.state.items()
    }
    if half and any(not value.isfinite().all() for value in weights.values()):
        raise UserError("some weights are too large for half precision; export without --half")
    if isinstance(network.config, MAGVITv2Config):
        if card:
            write_card(output, network.card)
        save_checkpoint(output, weights, network.config.to_dict())
    else:
        write_model_folder(
            output,
            weights,
            network.config,
            image_tokenizer=network.image_tokenizer,
            text_tokenizer=network.text_tokenizer,
            vision_encoder=network.vision_encoder,
            sampling=images,
            decoding=texts,
            card=network.card if card else None,
        )
    print(f"{sum(value.numel() for value in weights.values()):,} parameters written to {output}")


def _read_checkpoint(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise UserError(
            f"{path} is a sharded checkpoint; make it one file first, with "
            f"`python -m lightning.pytorch.utilities.consolidate_checkpoint {path}`"
        )
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a checkpoint of training, name another")
    content = load_weights_only(path)
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise UserError(
            f"{path} has no state_dict; expected a checkpoint of training, name another"
        )
    return content


def _find_network(
    content: Mapping[str, Any],
    path: Path,
    config_from: str | None,
    parts: Mapping[str, str | None],
    dtype: torch.dtype,
    family: str | None,
) -> _Network:
    """The network of a checkpoint, checked against its sizes, with what is copied beside it.

    Args:
        content: The checkpoint.
        path: Its file.
        config_from: Model that has the sizes.
        parts: What is to be copied, by the name of its option.
        dtype: How the weights are stored.
        family: Class of the network.

    Raises:
        UserError: If there is none, or it does not fit.
    """
    origin = {
        "checkpoint": path.name,
        "optimizer steps": content.get("global_step", "unknown"),
        "epochs": content.get("epoch", "unknown"),
    }
    if state := _part(content["state_dict"], "model.", _MAGVITV2_KEYS):
        for name, given in parts.items():
            if given is not None:
                raise UserError(f"{path} holds an image tokenizer; leave out --{name}")
        sizes = _magvitv2_config(content, path, config_from)
        with torch.device("meta"):
            _expect_fit(state, MAGVITv2(sizes), path)
        return _Network(state, sizes, image_tokenizer_card(sizes, origin, dtype))
    for start in _MODEL_KEYS:
        if found := _part(content["state_dict"], start, (start,)):
            state = merge_lora(found)
            kind, config = _model_config(content, path, config_from, family)
            with torch.device("meta"):
                network = kind(config)
            _expect_fit(state, network, path)
            texts = _text_tokenizer(content, config, config_from, parts[TEXT_TOKENIZER_KEY])
            images = _copied(IMAGE_TOKENIZER_KEY, parts, content, config, config_from)
            vision = None
            if network.image_input.kind == "clip":
                vision = _copied(VISION_ENCODER_KEY, parts, content, config, config_from)
            return _Network(
                state,
                config,
                model_card(kind, config, origin, dtype),
                kind,
                texts,
                None if images is None else MAGVITv2.from_pretrained(images),
                None if vision is None else CLIPFeatures.from_pretrained(vision),
            )
    raise UserError(
        f"{path} holds no network to export; expected a checkpoint of ShowoTurbo or of a "
        f"pretraining, whose keys begin with {' or '.join(_MODEL_KEYS)}"
    )


def _generation(
    content: Mapping[str, Any],
    path: Path,
    network: _Network,
    sampling: SamplingChanges,
    decoding: DecodingChanges,
) -> tuple[ImageSampling | None, TextDecoding | None]:
    """How the model is to generate and answer: as the checkpoint notes, with changes.

    Raises:
        UserError: If it is an image tokenizer, or cannot do it.
    """
    config, kind = network.config, network.kind
    if kind is None or isinstance(config, MAGVITv2Config):
        for name, options in (("sampling", sampling), ("decoding", decoding)):
            if options != type(options)():
                raise UserError(f"{path} holds an image tokenizer; leave out --{name}")
        return None, None
    noted_images, noted_texts = noted_generation(content, path)
    images = _changed(noted_images, sampling, ImageSampling())
    texts = _changed(decoding_of(kind, noted_texts), decoding, TextDecoding())
    if images is not None:
        images.check(config)
    if texts is not None:
        texts.check()
        texts.check_method(kind)
    return images, texts


def _changed(noted: Options | None, changes: Changes[Options], default: Options) -> Options | None:
    """Options with changes, of which there may be none."""
    return noted if changes == type(changes)() else changes.over(noted or default)


def _part(state: Mapping[str, Any], prefix: str, starts: tuple[str, ...]) -> dict[str, Tensor]:
    """The weights whose keys begin as they should, without the prefix."""
    return {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(starts) and isinstance(value, Tensor)
    }


def _expect_fit(state: Mapping[str, Tensor], network: torch.nn.Module, path: Path) -> None:
    if misfits := describe_misfits(network.state_dict(), state):
        raise UserError(
            f"the network in {path} does not fit its configuration: {misfits}; name another "
            "checkpoint, or the model that has its sizes with --config_from"
        )
    check_finite(state, f"the weights in {path}")


def _model_config(
    content: Mapping[str, Any], path: Path, config_from: str | None, family: str | None
) -> tuple[type[ImageModel], Any]:
    """The class of the network, and its sizes."""
    if config_from is not None:
        config = load_config(config_from, family)
        return find_family(config.to_dict(), family, config_from), config
    values = _sizes(content, MODEL_CONFIG_KEY, path)
    kind = find_family(values, family, path)
    try:
        return kind, kind.config_class.from_dict(values)
    except UserError as error:
        raise UserError(f"{path} holds wrong sizes: {error}") from None


def _magvitv2_config(
    content: Mapping[str, Any], path: Path, config_from: str | None
) -> MAGVITv2Config:
    if config_from is not None:
        folder = resolve_folder(config_from, "magvitv2", patterns=("config.json",))
        return MAGVITv2Config.from_dict(read_config(folder))
    return MAGVITv2Config.from_dict(_sizes(content, MAGVITV2_CONFIG_KEY, path))


def _sizes(content: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    values = content.get(key)
    if not isinstance(values, dict):
        raise UserError(
            f"{path} does not hold the network's sizes; name a model that has them with "
            "--config_from"
        )
    return values


def _text_tokenizer(
    content: Mapping[str, Any],
    config: ModelConfig,
    config_from: str | None,
    text_tokenizer: str | None,
) -> TextTokenizer | None:
    """The text tokenizer to copy; none if only the configuration names one, for any machine."""
    if not config.needs_text_tokenizer:
        return None
    if text_tokenizer is not None:
        return TextTokenizer.from_pretrained(text_tokenizer)
    if config_from is not None:
        return load_text_tokenizer(config, config_from)
    trained_with = content.get(TEXT_TOKENIZER_KEY)
    if isinstance(trained_with, str):
        return TextTokenizer.from_pretrained(trained_with)
    if config.tokenizer is None:
        raise UserError(
            "the configuration names no text tokenizer; name the one that the model was "
            "trained with, such as --text_tokenizer shapes"
        )
    if is_portable(config.tokenizer):
        return None
    return TextTokenizer.from_pretrained(config.tokenizer)


def _copied(
    name: str,
    parts: Mapping[str, str | None],
    content: Mapping[str, Any],
    config: Any,
    config_from: str | None,
) -> str | None:
    """Id of a network to copy; None if only the configuration names one, for any machine.

    Args:
        name: What checkpoints, configurations, options and model folders call it.
        parts: What is to be copied, as far as it is named.
        content: The checkpoint.
        config: The model's configuration.
        config_from: Model that has the sizes.
    """
    own = None if config_from is None else own_folder(config_from, name)
    found = parts[name] or own or content.get(name)
    if isinstance(found, str):
        return found
    named: str | None = getattr(config, name)
    if named is None:
        raise UserError(
            f"the configuration names no {name.replace('_', ' ')}; name the one that the model was "
            f"trained with, with --{name}"
        )
    return None if is_portable(named) else named
