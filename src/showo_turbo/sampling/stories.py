"""Mixed-modality sampling: stories of texts and images in turn, each decoded over all before it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel, TextModel
from ..models.registry import text_model
from ..utils.random import stateless_seed
from .image_sampling import ImageSampling
from .options import check_whole, seed_of_each
from .parallel import denoise_behind, noise_of_rows
from .text_decoding import TextDecoding

MAX_STEPS = 8
"""So many steps a story has at most, if it does not end before."""


@dataclass
class ToldStory:
    """What was told of one story.

    Attributes:
        texts: Text ids of each step, without the end of text.
        images: Codes `(image_tokens,)` of each generated image, on the CPU: one a step, and
            before them the first one where it was not given.
        finished: Whether it ended by itself, with an empty text; otherwise it had as many steps as
            it may have, there was no room for another, or a text did not end.
        text_forwards: Forwards that took part in texts; one a text is that of the finished text.
        image_forwards: Likewise of images.
    """

    texts: list[list[int]] = field(default_factory=list)
    images: list[Tensor] = field(default_factory=list)
    finished: bool = False
    text_forwards: int = 0
    image_forwards: int = 0


@torch.no_grad()
def tell_stories(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    sampling: ImageSampling,
    decoding: TextDecoding,
    *,
    max_steps: int = MAX_STEPS,
    seeds: Sequence[int] | None = None,
) -> list[ToldStory]:
    """Continue stories: a text, the image that goes with it, and so on, until a text is empty.

    All that is finished is kept in one cache of keys and values, each text and each image being
    computed once more as it has become. With guidance, the unconditional rows know nothing but that
    they are a story.

    Args:
        model: Network in eval mode.
        prompts: Each story so far, as the model's `story_prompt` gives it; of all of them, a text
            comes next, or of all an image.
        sampling: How images are generated.
        decoding: How texts are written, each `max_new_tokens` long at most.
        max_steps: Texts a story has at most beyond its prompt.
        seeds: One a story; 0, 1, 2, ... by default. A story depends on nothing else.

    Raises:
        UserError: If there are no stories, an option is out of range, or the model tells none, or
            has no room for a step.
    """
    writer = text_model(model, "telling a story")
    check_steps(max_steps)
    decoding.check_for(writer)
    config = writer.config
    sampling.check(config)
    if not prompts:
        raise UserError("there are no stories; give at least one request")
    telling = _Telling(writer, prompts, sampling, decoding, max_steps, seeds)
    if not telling.prefix.text_follows:
        telling.draw(0)
    for step in range(1, max_steps + 1):
        if not telling.active or not telling.write(step):
            break
        telling.draw(step)
    return telling.told


def check_steps(max_steps: int) -> None:
    """Raise if stories may have no step.

    Raises:
        UserError: Naming the value.
    """
    check_whole(max_steps=max_steps)
    if max_steps < 1:
        raise UserError(f"max_steps is {max_steps}; it must be at least 1")


def tokens_of_image(model: TextModel) -> int:
    """Tokens that an image of a story takes, with those around it."""
    return int(model.config.image_tokens) + model.story_delimiters[1]


def tokens_of_step(model: TextModel, decoding: TextDecoding) -> int:
    """Tokens that a step of a story, a text and an image, takes at most."""
    return decoding.max_new_tokens + model.story_delimiters[0] + tokens_of_image(model)


def check_room(
    model: TextModel, longest: int, decoding: TextDecoding, *, image_first: bool
) -> None:
    """Raise if a model has no room for a single step.

    Args:
        model: Network that tells stories.
        longest: Tokens of the longest story so far, without the `sot` of a text to come.
        decoding: How texts are written.
        image_first: Whether an image comes before the first step.

    Raises:
        UserError: Naming both numbers of tokens.
    """
    what, needed = "a step of a story", tokens_of_step(model, decoding)
    if image_first:
        what = f"the first image and {what}"
        needed += tokens_of_image(model)
    room = max(0, model.config.max_position_embeddings - longest)
    if room < needed:
        raise UserError(
            f"{what} may take {needed} tokens, but this model has room for {room} behind the "
            "longest request; shorten it or lower max_new_tokens"
        )


class _Telling:
    """Stories in progress; see `tell_stories`.

    Attributes:
        told: What was told of each.
        active: Which of them go on; rows of the prefix are in this order.
        prefix: What they are so far.
    """

    def __init__(
        self,
        model: TextModel,
        prompts: Sequence[Sequence[int]],
        sampling: ImageSampling,
        decoding: TextDecoding,
        max_steps: int,
        seeds: Sequence[int] | None,
    ) -> None:
        self.model = model
        self.prompts = prompts
        self.sampling = sampling
        self.decoding = decoding
        self.seeds = seed_of_each(seeds, len(prompts))
        self.told = [ToldStory() for _ in prompts]
        self.active = list(range(len(prompts)))
        self.step_tokens = tokens_of_step(model, decoding)
        left = max(0, model.config.max_position_embeddings - max(map(len, prompts)))
        room = min((max_steps + 1) * self.step_tokens, left) + decoding.lookahead()
        self.prefix = model.begin_stories(prompts, room)
        longest = model.config.max_position_embeddings - min(self.prefix.room)
        image_first = not self.prefix.text_follows
        check_room(model, longest, decoding, image_first=image_first)

    def write(self, step: int) -> bool:
        """Write the next text of the active stories; give whether any of them goes on."""
        stories = [self.told[index] for index in self.active]
        results = self.decoding.decode(
            self.model,
            None,
            [self.prompts[index] for index in self.active],
            self._seeds(step, "text"),
            self.prefix.texts(),
        )
        going, texts = [], []
        for row, (story, result) in enumerate(zip(stories, results, strict=True)):
            story.text_forwards += result.forwards
            text = result.tokens[:-1] if result.finished else result.tokens
            story.finished = result.finished and not text
            if result.finished and text:
                story.text_forwards += 1
                story.texts.append(text)
                going.append(row)
                texts.append(text)
        self._go_on_with(going)
        if texts:
            self.prefix.keep_texts(texts)
        return bool(texts)

    def draw(self, step: int) -> None:
        """Generate the next image of the active stories."""
        seeds = self._seeds(step, "image")
        noise = noise_of_rows(self.model, self.sampling, seeds)
        prefix = self.prefix.images(self.sampling.guided, noise)
        codes = None
        for denoised in denoise_behind(self.model, prefix, self.sampling, seeds):
            codes = denoised.codes
        assert codes is not None  # at least one step runs
        self.prefix.keep_images(codes)
        forwards = (2 if self.sampling.guided else 1) * self.sampling.sampling_steps + 1
        for index, own in zip(self.active, codes.cpu(), strict=True):
            self.told[index].images.append(own)
            self.told[index].image_forwards += forwards
        room = self.prefix.room
        self._go_on_with([row for row, left in enumerate(room) if left >= self.step_tokens])

    def _go_on_with(self, rows: Sequence[int]) -> None:
        """Leave out the other active stories."""
        if 0 < len(rows) < len(self.active):
            self.prefix.select(rows)
        self.active = [self.active[row] for row in rows]

    def _seeds(self, step: int, what: str) -> list[int]:
        """Seeds of the active stories' texts or images in a step."""
        return [stateless_seed(self.seeds[i], step, stream=f"story {what}") for i in self.active]
