"""Film strips of a model at work: an image out of the mask, an answer settling."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..evaluation.text import TextRecord
from ..inference.loaded_model import LoadedModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import DecodingChanges, TextDecoding
from ..trajectories.image_collector import ImageCollection, ImagePrompt, record_images
from ..trajectories.text_collector import TextCollection, TextRequest, record_texts
from ..utils.files import write_json
from .film_strip import draw_film_strip, draw_text_strip, settling_table


def draw_sampling_strips(
    bundle: LoadedModel,
    prompts: Sequence[str],
    sampling: ImageSampling,
    paths: Sequence[Path],
    seeds: Sequence[int] | None = None,
) -> None:
    """Write a film strip for each prompt: the image as it comes out of the mask, step by step.

    Args:
        bundle: The networks, in eval mode.
        prompts: Texts.
        sampling: How images are sampled.
        paths: Where the strip of each prompt goes.
        seeds: One a prompt; see `draw_images`, whose images they are.
    """
    settings = ImageCollection(sampling, segments=1, topk_targets=1)
    encoded = zip(prompts, bundle.encode_prompts(prompts), strict=True)
    items = [ImagePrompt(str(index), *prompt) for index, prompt in enumerate(encoded)]
    records = record_images(bundle.network, items, settings, seeds)
    for record, path in zip(records, paths, strict=True):
        draw_film_strip(
            record, lambda codes: bundle.image_tokenizer.decode(codes.to(bundle.device)), path
        )


def draw_answer_strip(
    bundle: LoadedModel,
    record: TextRecord,
    path: Path,
    *,
    decoding: TextDecoding = TextDecoding(),
    seed: int = 0,
) -> bool:
    """Write how an answer came about, its iterates or states, as a PNG, and as JSON beside it.

    The JSON holds `question`, `answer` and `blocks`; of each block `rows`, the tokens of every
    iterate or state, null where masked, and `settled`, how many of them are final.

    Args:
        bundle: The networks, in eval mode.
        record: A question about an image that is encoded.
        path: Where to write it.
        decoding: Its longest answer and the size of its blocks count, and all of block diffusion
            but the temperature.
        seed: Of the random start.

    Returns:
        Whether there is a figure: none of an answer that does not end, or that repeats itself.
    """
    writer, text_tokenizer = bundle.writer("a strip of answers")
    ids = writer.encode_question(text_tokenizer, record.question)
    request = TextRequest("", record.image, ids, record.question)
    greedy = replace(decoding, temperature=0.0)
    if decoding.method != "block_diffusion":
        greedy = DecodingChanges(method="jacobi").over(decoding)
    settings = TextCollection(greedy, seed=seed, segments=1, topk_targets=1)
    (outcome,) = record_texts(bundle.network, [request], range(1), settings)
    if isinstance(outcome, str):
        return False
    draw_text_strip(outcome, text_tokenizer.decode, path)
    tables = [
        settling_table(outcome, index, text_tokenizer.decode)
        for index in range(len(outcome.blocks))
    ]
    found = {
        "question": record.question,
        "answer": text_tokenizer.decode(outcome.answer_ids.tolist()),
        "blocks": [{"rows": rows, "settled": settled} for rows, settled in tables],
    }
    write_json(path.with_suffix(".json"), found)
    return True
