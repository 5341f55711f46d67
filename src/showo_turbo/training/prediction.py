"""What `ShowoTurbo` gives in prediction: images or clips of prompts, and answers to questions."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..data.images import to_images
from ..evaluation.images import draw_images, prompt_seed
from ..inference.loaded_model import LoadedModel
from ..utils.random import stateless_seed


@torch.no_grad()
def predict(bundle: LoadedModel, batch: Mapping[str, Any], seed: int = 0) -> list[dict[str, Any]]:
    """Generate images or clips from a batch of prompts, or answer a batch of questions.

    Args:
        bundle: The networks, with their sampling and decoding.
        batch: With the one stream `prompts` or `instructions`.
        seed: Of all samples' seeds.

    Returns:
        For each prompt `{split, index, prompt, image}`, the last a PIL image, or of a model of
        clips `{split, index, prompt, clip}`, the last a list of them; for each question `{index,
        id, question, answer, reference}`.
    """
    if "prompts" in batch:
        stream = batch["prompts"]
        seeds = [prompt_seed(seed, index) for index in stream["index"]]
        pixels = draw_images(bundle, stream["prompt"], bundle.sampling, seeds)
        drawn: dict[str, Sequence[Any]] = (
            {"clip": [to_images(clip.transpose(0, 1)) for clip in pixels]}
            if bundle.clip_frames
            else {"image": to_images(pixels)}
        )
        return _rows(split=stream["split"], index=stream["index"], prompt=stream["prompt"], **drawn)
    stream = batch["instructions"]
    writer, text_tokenizer = bundle.writer()
    results = bundle.decoding.decode(
        writer,
        bundle.image_encoder.encode(stream["pixels"]),
        [writer.encode_question(text_tokenizer, question) for question in stream["question"]],
        [stateless_seed(seed, index, stream="jacobi") for index in stream["index"]],
    )
    answers = [text_tokenizer.decode(result.tokens) for result in results]
    return _rows(
        index=stream["index"],
        id=stream["id"],
        question=stream["question"],
        answer=answers,
        reference=stream["answer"],
    )


def _rows(**columns: Sequence[Any]) -> list[dict[str, Any]]:
    """Turn columns of one length into rows."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
