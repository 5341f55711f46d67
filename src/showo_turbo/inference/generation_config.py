"""A model's recommended sampling and decoding: the `generation_config.json` in its folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from ..errors import UserError, printable, shown
from ..models.checkpoints import resolve_folder
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding
from ..utils.files import read_json, write_json
from .released import PUBLISHED_DECODING, PUBLISHED_SAMPLING

FILE_NAME = "generation_config.json"
IMAGES_KEY, TEXTS_KEY = "images", "texts"
"""Where the file holds fields of `ImageSampling` and of `TextDecoding`."""

GENERATION_KEY = "generation_config"
"""Where a checkpoint of training holds what the file holds."""

_RENAMED = {"steps": "sampling_steps", "order_seed": "shared_noise_seed"}
"""What options of images were called in earlier versions."""

_Options = TypeVar("_Options", ImageSampling, TextDecoding)


@dataclass(frozen=True)
class GenerationConfig:
    """A model's recommended sampling and decoding.

    Attributes:
        sampling: How images are sampled.
        decoding: How texts are decoded.
    """

    sampling: ImageSampling = field(default_factory=ImageSampling)
    decoding: TextDecoding = field(default_factory=TextDecoding)


def load_generation_config(model: str | Path) -> GenerationConfig:
    """Read a model's recommended sampling and decoding.

    Args:
        model: `shapes`, a folder or a hub id.

    Returns:
        What its folder's `generation_config.json` holds under `images` and `texts`, and the
        defaults of `ImageSampling` and `TextDecoding` where it names no value. Where it holds
        neither, or there is no such file, as in the released models, what was published, if that is
        known (`PUBLISHED_SAMPLING`, `PUBLISHED_DECODING`).

    Raises:
        UserError: If the file does not hold fields of these classes.
    """
    path = resolve_folder(model, "showo") / FILE_NAME
    content = read_json(path) if path.exists() else {}
    if isinstance(content, Mapping) and not content.keys() & {IMAGES_KEY, TEXTS_KEY}:
        return GenerationConfig(
            PUBLISHED_SAMPLING.get(str(model), ImageSampling()),
            PUBLISHED_DECODING.get(str(model), TextDecoding()),
        )
    if isinstance(content, Mapping) and isinstance(content.get(IMAGES_KEY), Mapping):
        _refuse_old_names(path, content[IMAGES_KEY])
    return GenerationConfig(
        _read(path, content, IMAGES_KEY, ImageSampling, "sampling, such as sampling_steps"),
        _read(path, content, TEXTS_KEY, TextDecoding, "decoding, such as max_new_tokens"),
    )


def save_generation_config(
    folder: Path, sampling: ImageSampling | None, decoding: TextDecoding | None
) -> None:
    """Write a model's recommended sampling and decoding into its folder, atomically.

    Args:
        folder: The model's.
        sampling: How images are sampled; left out if None.
        decoding: How texts are decoded; left out if None.
    """
    write_json(folder / FILE_NAME, _content(sampling, decoding))


def note_generation(
    checkpoint: dict[str, Any], sampling: ImageSampling | None, decoding: TextDecoding | None
) -> None:
    """Note the recommended sampling and decoding of the model in a checkpoint, for its export."""
    checkpoint[GENERATION_KEY] = _content(sampling, decoding)


def noted_generation(
    checkpoint: Mapping[str, Any], path: Path
) -> tuple[ImageSampling | None, TextDecoding | None]:
    """What `note_generation` has noted in the checkpoint of this name; None where it has not.

    Raises:
        UserError: If it is something else.
    """
    content = checkpoint.get(GENERATION_KEY)
    if not isinstance(content, Mapping):
        return None, None
    images = _read(path, content, IMAGES_KEY, ImageSampling, "sampling, such as sampling_steps")
    texts = _read(path, content, TEXTS_KEY, TextDecoding, "decoding, such as max_new_tokens")
    return images if IMAGES_KEY in content else None, texts if TEXTS_KEY in content else None


def _content(sampling: ImageSampling | None, decoding: TextDecoding | None) -> dict[str, Any]:
    """The options as plain values, without those that are None."""
    options = {IMAGES_KEY: sampling, TEXTS_KEY: decoding}
    return {key: asdict(value) for key, value in options.items() if value is not None}


def _read(path: Path, content: Any, key: str, kind: type[_Options], expected: str) -> _Options:
    """The options under one key of the file."""
    values = content.get(key, {}) if isinstance(content, Mapping) else None
    if not isinstance(values, Mapping):
        raise UserError(
            f"{path} holds no JSON object under {key!r}; expected options of {expected}, "
            "correct or remove the file"
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        return kind(**parser.parse_object(dict(values)).as_dict())
    except (ArgumentError, TypeError) as error:
        what = expected.partition(",")[0]
        raise UserError(
            f"{path} does not hold options of {what} ({printable(str(error))}); "
            "correct or remove the file"
        ) from None


def _refuse_old_names(path: Path, values: Mapping[str, Any]) -> None:
    """Say how options of earlier versions are called now.

    Raises:
        UserError: If there are any.
    """
    old = [name for name in _RENAMED if name in values]
    if old:
        renamed = ", ".join(f"{_RENAMED[name]} instead of {shown(name)}" for name in old)
        raise UserError(
            f"{path} has names of an earlier version under {IMAGES_KEY!r}; expected {renamed}; "
            "rename in the file"
        )
