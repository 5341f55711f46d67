"""Film strips of a model at work: an image out of the mask, an answer settling."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..evaluation.text import TextRecord
from ..inference.loaded_model import LoadedModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import denoise_images
from ..sampling.text_decoding import DecodingChanges, TextDecoding
from ..trajectories.text_collector import TextCollection, TextRequest, record_texts
from ..utils.files import write_json
from .film_strip import draw_states, draw_text_strip, settling_table


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
    ids = bundle.encode_prompts(prompts)
    states = [step.codes for step in denoise_images(bundle.network, ids, sampling, seeds)]
    images = bundle.decode_codes(states[-1])
    masks = [torch.ones_like(states[0], dtype=torch.bool)]
    masks += [codes == bundle.network.mask_code for codes in states]
    for row, (prompt, path) in enumerate(zip(prompts, paths, strict=True)):
        draw_states(prompt, images[row], [mask[row].cpu() for mask in masks], path)


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


def write_told(
    asked: str, told: Sequence[tuple[str, Sequence[tuple[str, bool | None]]]], path: Path
) -> None:
    """Write in words what a figure shows, for the page of a report.

    The JSON holds `asked` and `rows`, each with a `name` and its `steps`: of each the `text`, empty
    of a clip, and whether it is `right`, null where nothing judged.

    Args:
        asked: The prompt, or the request of a story.
        told: Of each model and setting its name, and the texts and marks of its steps.
        path: Where to write it.
    """
    rows = [
        {"name": name, "steps": [{"text": text, "right": right} for text, right in steps]}
        for name, steps in told
    ]
    write_json(path, {"asked": asked, "rows": rows})
