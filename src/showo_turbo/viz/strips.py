"""Film strips of a model at work: an image out of the mask, an answer settling."""

from collections.abc import Sequence
from pathlib import Path

from ..evaluation.text import TextRecord
from ..models.magvitv2 import MAGVITv2
from ..models.prompts import encode_prompts
from ..models.protocols import ImageModel
from ..models.registry import text_model
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import DecodingChanges, TextDecoding
from ..text_tokenizer import TextTokenizer
from ..trajectories.image_collector import ImageCollection, ImagePrompt, record_images
from ..trajectories.text_collector import TextCollection, TextRequest, record_texts
from ..utils.files import write_json
from .film_strip import draw_film_strip, draw_text_strip, settling_table


def draw_sampling_strips(
    model: ImageModel,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer,
    prompts: Sequence[str],
    sampling: ImageSampling,
    paths: Sequence[Path],
    seeds: Sequence[int] | None = None,
) -> None:
    """Write a film strip for each prompt: the image as it comes out of the mask, step by step.

    Args:
        model: Network in eval mode.
        image_tokenizer: Decodes the codes.
        text_tokenizer: Encodes the prompts.
        prompts: Texts.
        sampling: How images are sampled.
        paths: Where the strip of each prompt goes.
        seeds: One a prompt; see `draw_images`, whose images they are.
    """
    settings = ImageCollection(sampling, segments=1, topk_targets=1)
    items = [
        ImagePrompt(str(index), text, ids)
        for index, (text, ids) in enumerate(
            zip(prompts, encode_prompts(model, text_tokenizer, prompts), strict=True)
        )
    ]
    for record, path in zip(record_images(model, items, settings, seeds), paths, strict=True):
        draw_film_strip(record, lambda codes: image_tokenizer.decode(codes.to(model.device)), path)


def draw_answer_strip(
    model: ImageModel,
    text_tokenizer: TextTokenizer,
    record: TextRecord,
    path: Path,
    *,
    decoding: TextDecoding = TextDecoding(),
    seed: int = 0,
) -> bool:
    """Write the Jacobi iterates of an answer as a PNG, and as JSON beside it.

    The JSON holds `question`, `answer` and `blocks`; of each block `rows`, the tokens of every
    iterate, and `settled`, how many of them are final.

    Args:
        model: Network in eval mode.
        text_tokenizer: Encodes the question, decodes the answer.
        record: A question about an image given as codes.
        path: Where to write it.
        decoding: Its longest answer and the size of its blocks count.
        seed: Of the random start.

    Returns:
        Whether there is a picture: none of an answer that does not end, or that repeats itself.
    """
    ids = text_model(model, "a strip of answers").encode_question(text_tokenizer, record.question)
    request = TextRequest("", record.image, ids, record.question)
    greedy = DecodingChanges(method="jacobi").over(decoding)
    settings = TextCollection(greedy, seed=seed)
    (outcome,) = record_texts(model, [request], range(1), settings)
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
