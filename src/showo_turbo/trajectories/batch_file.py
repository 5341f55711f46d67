"""Training batches as safetensors files, so that a batch can be looked at and replayed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UserError
from ..utils.files import write_atomically
from .batch import DenoisedTextBatch, ImageBatch, TextBatch

_TYPES: dict[str, Any] = {
    kind.__name__: kind for kind in (ImageBatch, TextBatch, DenoisedTextBatch)
}
_LAYOUT = "layout"
_FAULTS = (
    SafetensorError,
    OSError,
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)
_LONGEST_REASON = 200


def save_batch(path: Path, batch: Any) -> None:
    """Write a batch: its tensors as such, the rest as JSON in the file's header.

    Args:
        path: The file, `.safetensors`.
        batch: Mappings, batches of trajectories, tensors, and values that JSON holds.

    Raises:
        TypeError: If there is something else in it.
    """
    tensors: dict[str, Tensor] = {}
    layout = json.dumps(_pack(batch, "batch", tensors))
    with write_atomically(path) as temporary:
        save_file(tensors, temporary, metadata={_LAYOUT: layout})


def load_batch(path: Path) -> Any:
    """Read a batch that `save_batch` wrote.

    Raises:
        UserError: If the file is missing or holds no batch.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a batch that was written in training")
    try:
        with safe_open(path, framework="pt") as file:
            layout = json.loads((file.metadata() or {})[_LAYOUT])
            return _unpack(layout, file)
    except _FAULTS as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise UserError(f"{path} holds no training batch ({reason}); name another file") from None


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Describe a value, and put its tensors aside under their names."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    kind = type(value).__name__ if type(value) in _TYPES.values() else ""
    if not kind and not isinstance(value, Mapping):
        return {"value": value}
    fields = value._asdict() if kind else value
    packed = {key: _pack(entry, f"{name}.{key}", tensors) for key, entry in fields.items()}
    return {"type": kind, "fields": packed}


def _unpack(packed: dict[str, Any], file: Any) -> Any:
    if "tensor" in packed:
        return file.get_tensor(packed["tensor"])
    if "value" in packed:
        return packed["value"]
    fields = {key: _unpack(entry, file) for key, entry in packed["fields"].items()}
    return _TYPES[packed["type"]](**fields) if packed["type"] else fields
