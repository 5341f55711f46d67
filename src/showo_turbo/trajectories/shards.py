"""How records lie in a shard: a safetensors file of stacked and ragged tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .ragged import ShardReader, pack_rows, pack_strings
from .record import ImageTrajectory, TextTrajectory

_NO_TOKENS = torch.zeros(0, dtype=torch.int32)

IMAGE_CODES, IMAGE_FEATURES = "image_codes", "image_features"
"""Under which name a shard of texts holds its images; it has one of the two."""


def pack_images(records: Sequence[ImageTrajectory], image_tokens: int) -> dict[str, Tensor]:
    """Lay image trajectories out for a shard; there may be none, if all were filtered out."""
    if not records:
        return _no_images(image_tokens)
    kept = records[0].top_ids.shape[1]
    ends = [record.boundary_top_ids for record in records]
    end_log_probs = [record.boundary_top_log_probs for record in records]
    return {
        **pack_strings("keys", [record.key for record in records]),
        **pack_strings("prompts", [record.prompt for record in records]),
        **pack_rows("prompt_ids", [record.prompt_ids.int() for record in records], _NO_TOKENS),
        "codes": torch.stack([record.codes for record in records]),
        "reveal_step": torch.stack([record.reveal_step for record in records]),
        "top_ids": torch.stack([record.top_ids for record in records]),
        "top_log_probs": torch.stack([record.top_log_probs for record in records]),
        **pack_rows("boundary_top_ids", ends, ends[0].new_zeros(0, kept)),
        "boundary_top_log_probs": torch.cat(end_log_probs),
        "steps": torch.tensor([record.steps for record in records], dtype=torch.int16),
        "noise_seeds": torch.tensor([record.noise_seed for record in records]),
    }


def _no_images(image_tokens: int) -> dict[str, Tensor]:
    """A shard without trajectories."""
    codes = torch.zeros(0, image_tokens, dtype=torch.int16)
    tops, rows = codes.new_zeros(0, image_tokens, 1), codes.new_zeros(0, 1)
    return {
        **pack_strings("keys", []),
        **pack_strings("prompts", []),
        **pack_rows("prompt_ids", [], _NO_TOKENS),
        "codes": codes,
        "reveal_step": codes.clone(),
        "top_ids": tops,
        "top_log_probs": tops.half(),
        **pack_rows("boundary_top_ids", [], rows),
        "boundary_top_log_probs": rows.half(),
        "steps": codes.new_zeros(0),
        "noise_seeds": torch.zeros(0, dtype=torch.int64),
    }


def unpack_image(reader: ShardReader, index: int, *, recorded_segments: int) -> ImageTrajectory:
    """Read one image trajectory of a shard; the rest is the store's."""
    start, stop = reader.offsets("boundary_top_ids")[index : index + 2].tolist()
    return ImageTrajectory(
        key=reader.string("keys", index),
        prompt=reader.string("prompts", index),
        prompt_ids=reader.packed("prompt_ids", index),
        codes=reader.row("codes", index),
        reveal_step=reader.row("reveal_step", index),
        top_ids=reader.row("top_ids", index),
        top_log_probs=reader.row("top_log_probs", index),
        boundary_top_ids=reader.rows("boundary_top_ids", start, stop),
        boundary_top_log_probs=reader.rows("boundary_top_log_probs", start, stop),
        steps=int(reader.row("steps", index)),
        recorded_segments=recorded_segments,
        noise_seed=int(reader.row("noise_seeds", index)),
    )


def pack_texts(records: Sequence[TextTrajectory], block_size: int) -> dict[str, Tensor]:
    """Lay text trajectories out for a shard; there may be none, if all were filtered out."""
    blocks = [block.int() for record in records for block in record.blocks]
    block_counts = torch.tensor([0, *(len(record.blocks) for record in records)])
    images = [record.image for record in records]
    continuous = bool(images) and images[0].is_floating_point()
    return {
        **pack_strings("keys", [record.key for record in records]),
        **pack_strings("texts", [record.text for record in records]),
        **pack_rows("prompt_ids", [record.prompt_ids.int() for record in records], _NO_TOKENS),
        **pack_rows("answer_ids", [record.answer_ids.int() for record in records], _NO_TOKENS),
        IMAGE_FEATURES if continuous else IMAGE_CODES: (
            torch.stack(images) if images else torch.zeros(0, 0, dtype=torch.int16)
        ),
        **pack_rows("iterates", blocks, torch.zeros(0, block_size, dtype=torch.int32)),
        # The blocks of sample i are blocks.offsets[i] .. blocks.offsets[i + 1] - 1.
        "blocks.offsets": block_counts.cumsum(0),
    }


def unpack_text(reader: ShardReader, index: int) -> TextTrajectory:
    """Read one text trajectory of a shard."""
    first, last = reader.offsets("blocks")[index : index + 2].tolist()
    return TextTrajectory(
        key=reader.string("keys", index),
        text=reader.string("texts", index),
        prompt_ids=reader.packed("prompt_ids", index),
        image=reader.row(IMAGE_FEATURES if reader.has(IMAGE_FEATURES) else IMAGE_CODES, index),
        answer_ids=reader.packed("answer_ids", index),
        blocks=[reader.packed("iterates", block) for block in range(first, last)],
    )
