"""From captions and questions to what the collectors take."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..models.image_input import compact
from ..models.protocols import ImageModel, TextModel
from ..sampling.stories import tokens_of_image
from ..text_tokenizer import TextTokenizer
from ..utils.share import Share
from .image_collector import ImagePrompt
from .text_collector import TextRequest


def image_prompts(
    captions: Sequence[str], model: ImageModel, tokenizer: TextTokenizer | None
) -> tuple[list[ImagePrompt], int]:
    """Prompts of captions; a caption that is longer than the model takes is left out, not cut.

    Args:
        captions: What to generate.
        model: Encodes them, and knows how long a prompt may be.
        tokenizer: The model's text tokenizer, if it has one.

    Returns:
        The prompts, each with the place of its caption as its key, and how many were left out.

    Raises:
        UserError: If none is left.
    """
    prompts = []
    for index, caption in enumerate(captions):
        ids = model.encode_prompt(tokenizer, caption)
        if len(ids) <= model.longest_prompt:
            prompts.append(ImagePrompt(str(index), caption, ids))
    if captions and not prompts:
        raise UserError(
            f"all {len(captions)} captions have more than {model.longest_prompt} tokens, the "
            "longest prompt of this model; give shorter ones"
        )
    return prompts, len(captions) - len(prompts)


def text_requests(
    questions: Sequence[tuple[Path, str]],
    encode: Callable[[Sequence[Path]], Mapping[Path, Tensor]],
    model: TextModel,
    tokenizer: TextTokenizer | None,
    batch_size: int,
    share: Share = Share(),
) -> tuple[list[TextRequest], int]:
    """Requests of questions about images, each distinct image being encoded once.

    A question that leaves no room for an answer is left out, not cut. Features of images are kept
    in half precision, as they are recorded; all of them are in memory at once.

    Args:
        questions: Pairs of an image file and what to ask about it.
        encode: Turns image files into what the model is given of them, see `ImageInput`. Questions
            about images that it leaves out are left out too.
        model: Encodes the questions, and knows how much text fits behind an image.
        tokenizer: The model's text tokenizer, if it has one.
        batch_size: Images encoded at once.
        share: Of the batches, which this process encodes; what others encode is sent to it.

    Returns:
        The requests, each with the place of its question as its key, and how many questions were
        left out because of their length.

    Raises:
        UserError: If none is left.
    """
    room = model.config.text_room
    ids = {i: model.encode_question(tokenizer, text) for i, (_, text) in enumerate(questions)}
    fitting = {i: tokens for i, tokens in ids.items() if len(tokens) < room}
    if questions and not fitting:
        raise UserError(
            f"all {len(questions)} questions have {room} tokens or more, which leaves no room for "
            "an answer of this model; expected fewer, shorten them"
        )
    distinct = list(dict.fromkeys(questions[i][0] for i in fitting))
    batches = [distinct[at : at + batch_size] for at in range(0, len(distinct), batch_size)]
    images = _encoded(batches, encode, share)
    if questions and not images:
        raise UserError(
            f"all {len(distinct)} images that are asked about are bad; name a folder of others"
        )
    requests = [
        TextRequest(str(i), images[questions[i][0]], tokens, questions[i][1])
        for i, tokens in fitting.items()
        if questions[i][0] in images
    ]
    return requests, len(questions) - len(fitting)


def _encoded(
    batches: Sequence[Sequence[Path]],
    encode: Callable[[Sequence[Path]], Mapping[Path, Tensor]],
    share: Share,
) -> dict[Path, Tensor]:
    """What all processes encode of all batches, one each at a time.

    Where one of them raises an error, so do all: none waits for it.
    """
    images: dict[Path, Tensor] = {}
    for start in range(0, len(batches), share.world_size):
        number, found, fault = start + share.rank, {}, None
        try:
            found = dict(encode(batches[number])) if number < len(batches) else {}
        except Exception as error:
            fault = error
        # One tensor: views would be sent with all that they are views of.
        stacked = compact(torch.stack([*found.values()])).clone() if found else None
        sent = None if fault is None else (str(fault), isinstance(fault, UserError))
        for keys, values, failed in share.of_all((list(found), stacked, sent)):
            if fault is not None:
                raise fault
            if failed is not None:
                text, is_user_error = failed
                raise UserError(text) if is_user_error else RuntimeError(text)
            if values is not None:
                images |= zip(keys, values, strict=True)
    return images


def story_requests(
    stories: Sequence[tuple[str, Sequence[Sequence[int]], Tensor]],
    model: TextModel,
    tokenizer: TextTokenizer,
    room: int,
) -> tuple[list[ImagePrompt], list[TextRequest], int]:
    """What is to be generated and written in stories, each step behind the true ones before it.

    Args:
        stories: The name of each, the ids of its texts, the request first, and the codes
            `(images, image_tokens)` of its images, one for each text.
        model: Tells stories.
        tokenizer: Turns ids into texts, for people.
        room: Tokens that a text may take at most.

    Returns:
        A prompt for every image but the first; a request for every text but the first, and for the
        empty one that ends a story; and how many of both were left out, since the story is longer
        than the model takes.
    """
    images: list[ImagePrompt] = []
    texts: list[TextRequest] = []
    left_out = 0
    most = model.config.max_position_embeddings
    for name, told, codes in stories:
        rows = codes.tolist()
        for step in range(1, len(told) + 1):
            key = f"{name}/{step}"
            asked = model.story_prompt(told[:step], rows[:step])
            if len(asked) + room > most:
                left_out += 1
            else:
                request = tokenizer.decode(list(told[0]))
                texts.append(TextRequest(key, compact(codes[step - 1]), asked, request))
            if step < len(told):
                prompt = model.story_prompt(told[: step + 1], rows[:step])
                if len(prompt) + tokens_of_image(model) > most:
                    left_out += 1
                else:
                    images.append(ImagePrompt(key, tokenizer.decode(list(told[step])), prompt))
    return images, texts, left_out
