"""Files of weights, read without running any code in them."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import UserError
from ..utils.files import read_json

WEIGHTS = "pytorch_model.safetensors"
INDEX, SHARDS = "model.safetensors.index.json", "model-*.safetensors"
WEIGHT_FILES = (WEIGHTS, "model.safetensors", INDEX, "pytorch_model.bin")
"""What a model folder's weights may be called; the first that is there is read."""


def load_state(folder: Path) -> dict[str, Tensor]:
    """Read a model folder's weights.

    They are safetensors, in one file or in shards with an index, or `.bin`, without running any
    code in it.

    Raises:
        UserError: If there are none or they cannot be read.
    """
    for name in WEIGHT_FILES:
        path = folder / name
        if not path.is_file():
            continue
        if name == INDEX:
            return _load_shards(path)
        if path.suffix == ".safetensors":
            return _load_safetensors(path)
        state = load_weights_only(path)
        if not is_state_dict(state):
            raise UserError(
                f"{path} holds no plain state dict of tensors; download or export it again"
            )
        return state
    raise UserError(
        f"{folder} has no weights; expected one of {', '.join(WEIGHT_FILES)}, name another folder"
    )


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is damaged ({error}); expected safetensors, download or export it again"
        ) from None


def _load_shards(path: Path) -> dict[str, Tensor]:
    """Read the files that an index names; which keys there must be the network knows."""
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    names = set(places.values()) if isinstance(places, dict) and _are_names(places) else set()
    if not names:
        raise UserError(
            f"{path} names no files of weights under 'weight_map'; expected safetensors in its "
            "folder, download it again"
        )
    state: dict[str, Tensor] = {}
    for name in sorted(names):
        if not (path.parent / name).is_file():
            raise UserError(
                f"{path.parent / name} does not exist, but {path.name} names it; expected all "
                f"{len(names)} shards, download the model again"
            )
        state |= _load_safetensors(path.parent / name)
    return state


def _are_names(places: Mapping[str, object]) -> bool:
    """Whether all values are names of safetensors files, which lead into no other folder."""
    return all(
        isinstance(name, str) and Path(name).name == name and name.endswith(".safetensors")
        for name in places.values()
    )


def is_state_dict(value: Any) -> TypeGuard[dict[str, Tensor]]:
    """Whether a value is a dict of tensors by their names."""
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(entry, Tensor) for key, entry in value.items()
    )


def load_weights_only(path: Path) -> Any:
    """Read what `torch.save` wrote, without running any code in it.

    Raises:
        UserError: If it is damaged, or holds more than tensors and plain values.
    """
    try:
        mapped = zipfile.is_zipfile(path)  # what is not asked for stays on disk
        if mapped and _is_compressed(path):
            raise UserError(
                f"{path} is compressed; expected what torch.save writes, export it again"
            )
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UserError:
        raise
    except Exception as error:  # unpickling can fail in any way
        raise UserError(
            f"{path} holds more than weights or is damaged ({why_unreadable(error)}); expected "
            "tensors and plain values, download or export it again"
        ) from None


def why_unreadable(error: Exception) -> str:
    """Why `torch.load` rejects a file, without its advice to run what is in it all the same."""
    text = str(error)
    if not text.startswith("Weights only load failed"):
        return first_line(error)
    code = re.search(r"GLOBAL (\w+(?:\.\w+)*)", text)
    return f"it asks to run {code[1]}" if code else "it is not a file of tensors and plain values"


def _is_compressed(path: Path) -> bool:
    """Whether a small archive may unfold to gigabytes; what torch.save writes never does."""
    with zipfile.ZipFile(path) as archive:
        return any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its name where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
