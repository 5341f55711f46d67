"""Stories of texts and images in turn."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..data.images import to_images
from ..errors import UserError
from ..sampling.image_sampling import ImageSampling, SamplingChanges
from ..sampling.options import seed_of_each
from ..sampling.stories import (
    MAX_STEPS,
    ToldStory,
    check_room,
    check_steps,
    tell_stories,
    tokens_of_image,
    tokens_of_step,
)
from ..sampling.text_decoding import TextDecoding
from .answering import Answering
from .batching import first_batch_size, run_in_batches
from .image_sources import ImageSource, check_images
from .matching import each, listed, matched
from .results import Statistics, Stories


class Telling(Answering):
    """A model that tells stories; see `LoadedModel` for its arguments."""

    def tell(
        self,
        requests: str | Iterable[str],
        images: ImageSource | Iterable[ImageSource] | None = None,
        sampling: ImageSampling | None = None,
        decoding: TextDecoding | None = None,
        *,
        max_steps: int = MAX_STEPS,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> Stories:
        """Tell stories: for every request texts and images in turn, until the model ends it.

        Args:
            requests: What is asked for.
            images: The image that each story begins with, files or Pillow images; without them the
                model generates it from the request. A single image or request goes with all others.
            sampling: How images are generated; `self.sampling` by default.
            decoding: How texts are written; `self.decoding` by default.
            max_steps: Steps of a story at most.
            seeds: One a story, or one for all; 0, 1, 2, ... by default.
            batch_size: Stories told at once; found by trying if missing.
            **changes: Options of `ImageSampling` that are to be otherwise, such as
                `sampling_steps=4`; see `SamplingChanges`.

        Raises:
            UserError: If there are no requests, an image cannot be read, the model tells no stories
                or has no room for one, or an option is unknown or out of range.
        """
        how = SamplingChanges.of(changes).over(sampling or self.sampling)
        every_request = listed(requests, str)
        every_image: list[ImageSource] | None = None
        if images is not None:
            every_request, every_image = matched(
                requests=every_request, images=listed(images, ImageSource)
            )
        every_seed = each(seeds, int, len(every_request))
        parts = self.tell_batches(
            every_request, every_image, how, decoding, max_steps, every_seed, batch_size
        )
        return Stories.joined(parts)

    def tell_batches(
        self,
        requests: Sequence[str],
        images: Sequence[ImageSource] | None,
        sampling: ImageSampling,
        decoding: TextDecoding | None = None,
        max_steps: int = MAX_STEPS,
        seeds: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> Iterator[Stories]:
        """Tell stories and give every batch as soon as it is done, in their order.

        All is checked before the first story is begun; images are encoded batch by batch.

        Raises:
            UserError: See `tell`.
        """
        how = decoding or self.decoding
        writer, tokenizer = self.writer("telling a story")
        config = writer.config
        how.check_for(writer)
        check_steps(max_steps)
        sampling.check(config)
        if not requests:
            raise UserError("there are no requests; give at least one")
        for index, request in enumerate(requests):
            if not request.strip():
                raise UserError(f"request {index + 1} is empty; expected a text, write one")
        ids = [tokenizer.encode(request) for request in requests]
        # Found before images are read: some families tell no stories.
        longest = len(writer.story_prompt([max(ids, key=len)], []))
        if images is not None:
            longest += tokens_of_image(writer)
        check_room(writer, longest, how, image_first=images is None)
        check_images(images or (), self.background)
        every_seed = seed_of_each(seeds, len(requests))

        def tell(indices: range) -> Stories:
            codes: list[list[list[int]]] = [[] for _ in indices]
            if images is not None:
                chosen = self.encode_images([images[i] for i in indices])
                codes = [[row] for row in chosen.tolist()]
            prompts = [
                writer.story_prompt([ids[i]], begun)
                for i, begun in zip(indices, codes, strict=True)
            ]
            own = [every_seed[i] for i in indices]
            told, seconds = self.timed(
                lambda: tell_stories(writer, prompts, sampling, how, max_steps=max_steps, seeds=own)
            )
            return Stories(
                texts=[[tokenizer.decode(text).strip() for text in story.texts] for story in told],
                images=[self._decode(story.images) for story in told],
                codes=[story.images for story in told],
                finished=[story.finished for story in told],
                seeds=own,
                statistics=_statistics(told, seconds),
            )

        longest += (max_steps + 1) * tokens_of_step(writer, how)
        largest = first_batch_size(
            config,
            rows=2,  # texts are written over a copy of the cache
            tokens=min(longest, config.max_position_embeddings),
            scored=config.image_tokens,
            candidates=max(config.codebook_size, config.text_vocabulary_size),
            dtype=writer.dtype,
            device=self.device,
        )
        return run_in_batches(len(requests), batch_size, largest, tell)

    def _decode(self, codes: Sequence[Tensor]) -> list[Image.Image]:
        """The images of a story."""
        if not codes:
            return []
        return to_images(
            self.decode_images(self.as_grids(torch.stack(list(codes)).to(self.device)))
        )


def _statistics(told: Sequence[ToldStory], seconds: float) -> Statistics:
    tokens = sum(
        sum(map(len, story.texts)) + sum(image.numel() for image in story.images) for story in told
    )
    forwards = sum(story.text_forwards + story.image_forwards for story in told)
    return Statistics(len(told), tokens, forwards, seconds)
