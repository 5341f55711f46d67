"""How many samples are decoded at once."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch

from ..errors import UserError
from ..models.protocols import ModelConfig

Result = TypeVar("Result")

LARGEST_BATCH = 64
"""More hardly decodes faster, and would make progress and resuming coarse."""

_SHARE_OF_MEMORY = 0.5
_COPIES_OF_LOGITS = 8
_LEAST_MEMORY = 2 * 2**30


def run_in_batches(
    count: int, batch_size: int | None, first_size: int, work: Callable[[range], Result]
) -> Iterator[Result]:
    """Do the work for `0 .. count - 1` in consecutive batches.

    Args:
        count: Number of samples.
        batch_size: Samples a batch. If missing, the first try is `first_size`, and whenever
            memory does not suffice the batch is halved.
        first_size: See `batch_size`.
        work: Called with the indices of a batch.

    Yields:
        What `work` returns, batch by batch.

    Raises:
        UserError: If the batch size is below 1, or memory does not suffice for a batch that was
            asked for, or for a single sample.
    """
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1")

    def batches() -> Iterator[Result]:
        size, start = batch_size or first_size, 0
        while start < count:
            indices = range(start, min(count, start + size))
            result = _unless_out_of_memory(work, indices)
            if result is not None:
                yield result[0]
                start = indices.stop
                continue
            if batch_size is not None or len(indices) == 1:
                raise UserError(
                    f"memory does not suffice for a batch of {len(indices)}; choose a smaller "
                    "batch_size, a smaller dtype or another device"
                )
            size = len(indices) // 2

    return batches()


def _unless_out_of_memory(work: Callable[[range], Result], indices: range) -> tuple[Result] | None:
    try:
        return (work(indices),)
    except (torch.OutOfMemoryError, MemoryError):
        pass
    except RuntimeError as error:
        # PyTorch's allocator for the CPU has no exception of its own.
        if "allocate memory" not in str(error) and "not enough memory" not in str(error):
            raise
    # Only now, with the exception gone, are the tensors of its frames free.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def first_batch_size(
    config: ModelConfig,
    *,
    rows: int,
    tokens: int,
    scored: int,
    candidates: int,
    dtype: torch.dtype,
    device: torch.device,
) -> int:
    """A batch that should fit into half of the free memory, counted from the shapes.

    Args:
        config: Sizes of the network.
        rows: Sequences a sample: two with guidance.
        tokens: Tokens of a sequence.
        scored: Positions of a sequence whose logits are computed.
        candidates: Rows of the output head.
        dtype: Of the weights.
        device: Where decoding runs.
    """
    kept = config.values_per_token * tokens * dtype.itemsize
    logits = _COPIES_OF_LOGITS * scored * candidates * torch.float32.itemsize
    fitting = _SHARE_OF_MEMORY * free_memory(device) / (rows * (kept + logits))
    return max(1, min(LARGEST_BATCH, int(fitting)))


def free_memory(device: torch.device) -> float:
    """Bytes that a device has left; a guess where the system does not tell.

    On the CPU what Linux could free counts too, such as its cache of files; in a container, no more
    than its limit leaves.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        (available,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError):
        return _LEAST_MEMORY
    return min(int(available) * 1024, left_in_container())


def left_in_container(group: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes below the limit of the control group (version 2); infinitely many without one."""
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
    return max(0, limit - used)
