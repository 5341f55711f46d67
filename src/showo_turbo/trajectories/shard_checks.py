"""What must hold of a shard's tensors before a record is read from them.

A checksum tells a damaged shard from a whole one, but not one that another program wrote.
"""

import torch
from torch import Tensor

from .ragged import ShardReader
from .segments import MOST_STEPS
from .shards import IMAGE_CODES, IMAGE_FEATURES

_INTEGERS = ("U8", "I16", "I32", "I64")
_FLOATS = ("F16", "F32")

_Shape = tuple[int | None, ...]
"""Sizes of a tensor's dimensions; None is any."""


def check_image_shard(reader: ShardReader, *, samples: int, segments: int) -> None:
    """Check a shard of image trajectories; see `pack_images`.

    Args:
        reader: An open shard.
        samples: Number of trajectories that the manifest says it has.
        segments: The store's.

    Raises:
        ValueError: Naming the first tensor that is not as expected.
    """
    for name in ("keys", "prompts", "prompt_ids"):
        _check_rows(reader, name, samples)
    _check_states(reader, samples, None, segments)
    _check_tensor(reader, "noise_seeds", ("I64",), (samples,))


def _check_states(reader: ShardReader, rows: int, tokens: int | None, segments: int) -> None:
    """Check the trajectories of images, or of blocks of texts."""
    tokens = _check_tensor(reader, "codes", _INTEGERS, (rows, tokens))[1]
    kept = _check_tensor(reader, "top_ids", _INTEGERS, (rows, tokens, None))[2]
    _check_tensor(reader, "top_log_probs", _FLOATS, (rows, tokens, kept))
    _check_tensor(reader, "reveal_step", _INTEGERS, (rows, tokens))
    boundaries = _check_rows(reader, "boundary_top_ids", rows, (kept,))
    _check_tensor(reader, "boundary_top_log_probs", _FLOATS, (int(boundaries[-1]), kept))
    reveal_step = reader.tensor("reveal_step")
    _check_tensor(reader, "steps", _INTEGERS, (rows,))
    steps = reader.tensor("steps").long()
    _check_range("steps", steps, 1, MOST_STEPS)
    # 0 is of tokens that are known from the beginning.
    _check_range("reveal_step", reveal_step, 0, int(steps.max()) if rows else None)
    if bool((reveal_step == 0).all(dim=1).any()):
        raise ValueError("reveal_step has a trajectory without a masked token")
    if bool((reveal_step > steps[:, None]).any()):
        raise ValueError("reveal_step has values above the trajectory's number of steps")
    if bool((steps % segments != 0).any()):
        raise ValueError(f"steps has values that {segments} segments do not divide")
    ends = steps[:, None] // segments * torch.arange(1, segments)
    masked = (reveal_step[:, None] > ends[:, :, None]).sum(dim=(1, 2))
    if not torch.equal(boundaries.diff(), masked):
        raise ValueError(
            "boundary_top_ids has not one row for each token masked at a segment's end"
        )


def check_text_shard(reader: ShardReader, *, samples: int, blocks: int, block_size: int) -> None:
    """Check a shard of text trajectories; see `pack_texts`.

    Args:
        reader: An open shard.
        samples: Number of answers that the manifest says it has.
        blocks: Number of blocks that the manifest says they have.
        block_size: The store's.

    Raises:
        ValueError: Naming the first tensor that is not as expected.
    """
    _check_questions(reader, samples)
    answers = _check_rows(reader, "answer_ids", samples).diff()
    iterates = _check_rows(reader, "iterates", blocks, (block_size,)).diff()
    if blocks and int(iterates.min()) < 2:
        raise ValueError("iterates has a block without a start and a fixed point")
    counts = _check_offsets(reader, "blocks", samples, blocks).diff()
    if not torch.equal(counts, (answers + block_size - 1) // block_size) or 0 in counts:
        raise ValueError("blocks.offsets does not give every answer the blocks that it fills")
    for name in ("answer_ids", "iterates"):
        _check_range(name, reader.tensor(name), 0)


def check_denoised_shard(
    reader: ShardReader, *, samples: int, blocks: int, block_size: int, length: int, segments: int
) -> None:
    """Check a shard of denoised answers; see `pack_denoised`.

    Args:
        reader: An open shard.
        samples: Number of answers that the manifest says it has.
        blocks: Number of blocks that the manifest says they have.
        block_size: The store's.
        length: Tokens of a whole answer, the store's.
        segments: The store's.

    Raises:
        ValueError: Naming the first tensor that is not as expected.
    """
    _check_questions(reader, samples)
    _check_states(reader, blocks, block_size, segments)
    for name in ("codes", "top_ids", "boundary_top_ids"):
        _check_range(name, reader.tensor(name), 0)
    counts = _check_offsets(reader, "blocks", samples, blocks).diff()
    _check_range("the number of blocks of an answer", counts, 1, length // block_size)
    _check_tensor(reader, "answer_length", _INTEGERS, (samples,))
    answers = reader.tensor("answer_length")
    if not torch.equal(counts, (answers + block_size - 1) // block_size):
        raise ValueError("blocks.offsets does not give every answer the blocks that it fills")


def _check_questions(reader: ShardReader, samples: int) -> None:
    """Check what texts have in common."""
    for name in ("keys", "texts", "prompt_ids"):
        _check_rows(reader, name, samples)
    if reader.has(IMAGE_FEATURES):
        _check_tensor(reader, IMAGE_FEATURES, ("F16",), (samples, None, None))
    else:
        _check_tensor(reader, IMAGE_CODES, _INTEGERS, (samples, None))


def _check_rows(
    reader: ShardReader, name: str, rows: int, row_shape: tuple[int, ...] = ()
) -> Tensor:
    """Check what `pack_rows` laid out; return the offsets `(rows + 1,)`."""
    length = _check_tensor(reader, name, _INTEGERS, (None, *row_shape))[0]
    return _check_offsets(reader, name, rows, length)


def _check_offsets(reader: ShardReader, name: str, rows: int, length: int) -> Tensor:
    _check_tensor(reader, f"{name}.offsets", ("I64",), (rows + 1,))
    offsets = reader.offsets(name)
    if offsets[0] != 0 or offsets[-1] != length or bool((offsets.diff() < 0).any()):
        raise ValueError(f"{name}.offsets does not lead from 0 to {length} upwards")
    return offsets


def _check_tensor(
    reader: ShardReader, name: str, kinds: tuple[str, ...], expected: _Shape
) -> tuple[int, ...]:
    """Check that a tensor is there, of a kind and a shape; return its shape."""
    kind, shape = reader.describe(name)
    fits = len(shape) == len(expected) and all(
        size is None or size == found for size, found in zip(expected, shape, strict=True)
    )
    if kind not in kinds or not fits:
        wanted = tuple("any" if size is None else size for size in expected)
        raise ValueError(f"{name} is {kind} {shape}, expected {' or '.join(kinds)} {wanted}")
    return shape


def _check_range(name: str, values: Tensor, least: int, most: int | None = None) -> None:
    if values.numel() == 0:
        return
    low, high = (int(value) for value in torch.aminmax(values))
    if low < least or (most is not None and high > most):
        upper = "up" if most is None else most
        raise ValueError(f"{name} has values from {low} to {high}, expected {least} to {upper}")
