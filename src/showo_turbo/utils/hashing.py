"""Fingerprints: which teacher, and which prompts, a store of trajectories was made with."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def fingerprint_module(module: "nn.Module") -> str:
    """Return a hexadecimal SHA-256 of a module's parameters: names, shapes, types and bytes.

    Parameters are read one after the other, so that a large module on an accelerator needs no
    second copy. Buffers are left out: those of the networks here follow from their configuration.
    """
    return fingerprint_tensors(dict(module.named_parameters()))


def fingerprint_tensors(tensors: "Mapping[str, Tensor]") -> str:
    """Return a hexadecimal SHA-256 of named tensors, whatever their order."""
    import torch  # takes a second, which those who fingerprint nothing need not wait

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        digest.update(_line([name, str(tensor.dtype), list(tensor.shape)]))
        digest.update(tensor.reshape(-1).cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fingerprint_lines(rows: Iterable[Any]) -> str:
    """Return a hexadecimal SHA-256 of a sequence of JSON values, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_line(row))
    return digest.hexdigest()


def _line(value: Any) -> bytes:
    """Encode so that two different values cannot give the same bytes."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
