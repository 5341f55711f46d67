"""How records lie in a shard: a safetensors file of stacked and ragged tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .ragged import ShardReader, pack_rows, pack_strings
from .record import DenoisedText, ImageTrajectory, MaskedTrajectory, TextTrajectory

_NO_TOKENS = torch.zeros(0, dtype=torch.int32)

IMAGE_CODES, IMAGE_FEATURES = "image_codes", "image_features"
"""Under which name a shard of texts holds its images; it has one of the two."""


def pack_images(records: Sequence[ImageTrajectory], image_tokens: int) -> dict[str, Tensor]:
    """Lay image trajectories out for a shard; there may be none, if all were filtered out."""
    return {
        **pack_strings("keys", [record.key for record in records]),
        **pack_strings("prompts", [record.prompt for record in records]),
        **pack_rows("prompt_ids", [record.prompt_ids.int() for record in records], _NO_TOKENS),
        **_pack_states(records, image_tokens),
        "noise_seeds": torch.tensor([record.noise_seed for record in records], dtype=torch.int64),
    }


def _pack_states(records: Sequence[MaskedTrajectory], tokens: int) -> dict[str, Tensor]:
    """Lay out what images, and blocks of denoised texts, have in common."""
    steps = torch.tensor([record.steps for record in records], dtype=torch.int16)
    if not records:
        codes = torch.zeros(0, tokens, dtype=torch.int16)
        tops, rows = codes.new_zeros(0, tokens, 1), codes.new_zeros(0, 1)
        return {
            "codes": codes,
            "reveal_step": codes.clone(),
            "top_ids": tops,
            "top_log_probs": tops.half(),
            **pack_rows("boundary_top_ids", [], rows),
            "boundary_top_log_probs": rows.half(),
            "steps": steps,
        }
    kept = records[0].top_ids.shape[1]
    ends = [record.boundary_top_ids for record in records]
    return {
        "codes": torch.stack([record.codes for record in records]),
        "reveal_step": torch.stack([record.reveal_step for record in records]),
        "top_ids": torch.stack([record.top_ids for record in records]),
        "top_log_probs": torch.stack([record.top_log_probs for record in records]),
        **pack_rows("boundary_top_ids", ends, ends[0].new_zeros(0, kept)),
        "boundary_top_log_probs": torch.cat([record.boundary_top_log_probs for record in records]),
        "steps": steps,
    }


def unpack_image(reader: ShardReader, index: int, *, recorded_segments: int) -> ImageTrajectory:
    """Read one image trajectory of a shard; the rest is the store's."""
    return ImageTrajectory(
        key=reader.string("keys", index),
        prompt=reader.string("prompts", index),
        prompt_ids=reader.packed("prompt_ids", index),
        noise_seed=int(reader.row("noise_seeds", index)),
        **_unpack_states(reader, index),
        recorded_segments=recorded_segments,
    )


def _unpack_states(reader: ShardReader, index: int) -> dict[str, Any]:
    """Read what `_pack_states` laid out."""
    start, stop = reader.offsets("boundary_top_ids")[index : index + 2].tolist()
    names = ("codes", "reveal_step", "top_ids", "top_log_probs")
    return {name: reader.row(name, index) for name in names} | {
        "boundary_top_ids": reader.rows("boundary_top_ids", start, stop),
        "boundary_top_log_probs": reader.rows("boundary_top_log_probs", start, stop),
        "steps": int(reader.row("steps", index)),
    }


def pack_texts(records: Sequence[TextTrajectory], block_size: int) -> dict[str, Tensor]:
    """Lay text trajectories out for a shard; there may be none, if all were filtered out."""
    blocks = [block.int() for record in records for block in record.blocks]
    return {
        **_pack_questions(records),
        **pack_rows("answer_ids", [record.answer_ids.int() for record in records], _NO_TOKENS),
        **pack_rows("iterates", blocks, torch.zeros(0, block_size, dtype=torch.int32)),
    }


def _pack_questions(records: Sequence[TextTrajectory | DenoisedText]) -> dict[str, Tensor]:
    """Lay out what texts have in common, and how many blocks each has."""
    block_counts = torch.tensor([0, *(len(record.blocks) for record in records)])
    images = [record.image for record in records]
    continuous = bool(images) and images[0].is_floating_point()
    return {
        **pack_strings("keys", [record.key for record in records]),
        **pack_strings("texts", [record.text for record in records]),
        **pack_rows("prompt_ids", [record.prompt_ids.int() for record in records], _NO_TOKENS),
        IMAGE_FEATURES if continuous else IMAGE_CODES: (
            torch.stack(images) if images else torch.zeros(0, 0, dtype=torch.int16)
        ),
        # The blocks of sample i are blocks.offsets[i] .. blocks.offsets[i + 1] - 1.
        "blocks.offsets": block_counts.cumsum(0),
    }


def unpack_text(reader: ShardReader, index: int) -> TextTrajectory:
    """Read one text trajectory of a shard."""
    return TextTrajectory(
        **_unpack_question(reader, index),
        answer_ids=reader.packed("answer_ids", index),
        blocks=[reader.packed("iterates", block) for block in _blocks_of(reader, index)],
    )


def text_lengths(reader: ShardReader, block_size: int) -> list[int]:
    """Tokens of each text of a shard: image, prompt, answer, and two versions of each block."""
    prompts, answers, blocks = (
        reader.offsets(name).diff() for name in ("prompt_ids", "answer_ids", "blocks")
    )
    _, (_, image, *_) = reader.describe(_image_name(reader))
    lengths: list[int] = (image + prompts + answers + 2 * block_size * blocks).tolist()
    return lengths


def pack_denoised(records: Sequence[DenoisedText], block_size: int) -> dict[str, Tensor]:
    """Lay denoised answers out for a shard; there may be none, if all were filtered out."""
    blocks = [block for record in records for block in record.blocks]
    lengths = [record.answer_length for record in records]
    return {
        **_pack_questions(records),
        **_pack_states(blocks, block_size),
        "answer_length": torch.tensor(lengths, dtype=torch.int32),
    }


def unpack_denoised(
    reader: ShardReader, index: int, *, length: int, recorded_segments: int
) -> DenoisedText:
    """Read one denoised answer of a shard; the rest is the store's."""
    return DenoisedText(
        **_unpack_question(reader, index),
        length=length,
        answer_length=int(reader.row("answer_length", index)),
        blocks=[
            MaskedTrajectory(**_unpack_states(reader, block), recorded_segments=recorded_segments)
            for block in _blocks_of(reader, index)
        ],
    )


def _unpack_question(reader: ShardReader, index: int) -> dict[str, Any]:
    """Read what `_pack_questions` laid out, apart from the blocks."""
    return {
        "key": reader.string("keys", index),
        "text": reader.string("texts", index),
        "prompt_ids": reader.packed("prompt_ids", index),
        "image": reader.row(_image_name(reader), index),
    }


def _image_name(reader: ShardReader) -> str:
    """Under which name a shard has its images."""
    return IMAGE_FEATURES if reader.has(IMAGE_FEATURES) else IMAGE_CODES


def _blocks_of(reader: ShardReader, index: int) -> range:
    """The blocks of a text."""
    return range(*reader.offsets("blocks")[index : index + 2].tolist())
