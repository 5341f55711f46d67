"""Rows of different lengths in a safetensors file: one flat tensor and the rows' offsets."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import UserError


def pack_rows(name: str, rows: Sequence[Tensor], empty: Tensor) -> dict[str, Tensor]:
    """Concatenate `rows` of shape `(length, ...)` into `name`, with `name.offsets` `(rows + 1,)`.

    Args:
        name: Name of the tensor.
        rows: The rows; they agree in all dimensions but the first.
        empty: What to store if there is no row: a tensor of length 0.
    """
    lengths = torch.tensor([0, *(len(row) for row in rows)], dtype=torch.int64)
    flat = torch.cat([empty, *rows]) if rows else empty
    return {name: flat.contiguous(), f"{name}.offsets": lengths.cumsum(0)}


def pack_strings(name: str, strings: Sequence[str]) -> dict[str, Tensor]:
    """Concatenate the UTF-8 bytes of `strings`, as `pack_rows` does."""
    rows = [torch.tensor(list(string.encode()), dtype=torch.uint8) for string in strings]
    return pack_rows(name, rows, torch.zeros(0, dtype=torch.uint8))


class ShardReader:
    """Reads single rows of a shard without loading the rest.

    The file is opened at the first read and mapped into memory. It is not carried along when the
    reader is pickled: a worker process opens its own.

    Args:
        path: A safetensors file.
        check: Raises a ValueError if its tensors are not as expected; called once it is open.
    """

    def __init__(self, path: Path, check: Callable[["ShardReader"], None] | None = None) -> None:
        self.path = path
        self._check = check
        self._handle: Any = None
        self._offsets: dict[str, Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_check": self._check, "_handle": None, "_offsets": {}}

    def has(self, name: str) -> bool:
        """Whether there is a tensor called `name`."""
        return name in self._open().keys()  # noqa: SIM118  # it is not a dict

    def describe(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Return the type, such as `I64`, and the shape of the tensor called `name`."""
        entry = self._open().get_slice(name)
        return entry.get_dtype(), tuple(entry.get_shape())

    def tensor(self, name: str) -> Tensor:
        """Return the whole tensor called `name`."""
        tensor: Tensor = self._open().get_tensor(name)
        return tensor

    def row(self, name: str, index: int) -> Tensor:
        """Return `tensor[index]` of the tensor called `name`."""
        return self.rows(name, index, index + 1)[0]

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Return `tensor[start:stop]` of the tensor called `name`."""
        rows: Tensor = self._open().get_slice(name)[start:stop]
        return rows

    def offsets(self, name: str) -> Tensor:
        """Return `(rows + 1,)`: where the rows packed under `name` start and end."""
        if name not in self._offsets:
            self._offsets[name] = self.tensor(f"{name}.offsets")
        return self._offsets[name]

    def packed(self, name: str, index: int) -> Tensor:
        """Return row `index` of what `pack_rows` stored under `name`."""
        start, stop = self.offsets(name)[index : index + 2].tolist()
        return self.rows(name, start, stop)

    def string(self, name: str, index: int) -> str:
        """Return string `index` of what `pack_strings` stored under `name`.

        Raises:
            UserError: If it is not UTF-8.
        """
        try:
            return bytes(self.packed(name, index).tolist()).decode()
        except UnicodeDecodeError as error:
            raise self._fault(error) from None

    def _open(self) -> Any:
        if self._handle is None:
            try:
                self._handle = safe_open(self.path, framework="pt")
                if self._check is not None:
                    self._check(self)
            except (OSError, SafetensorError, ValueError) as error:
                self._handle = None
                raise self._fault(error) from None
        return self._handle

    def _fault(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path} cannot be read ({error}); "
            "delete it, and run the same collect command again to replace it"
        )
