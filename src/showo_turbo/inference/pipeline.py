"""The front door for inference."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from ..data.images import to_images
from ..errors import UserError
from ..models.protocols import TextModel
from ..sampling.image_sampling import ImageSampling, SamplingChanges
from ..sampling.options import seed_of_each
from ..sampling.parallel import decode_image_codes
from ..sampling.text_decoding import DecodingChanges, TextDecoding
from .batching import first_batch_size, run_in_batches
from .loaded_model import ImageSource, LoadedModel
from .results import Answers, GeneratedImages, Statistics

DECODED_AT_ONCE = 8
"""Images that the image tokenizer turns into pixels together."""


class ShowoPipeline(LoadedModel):
    """Generates images from prompts, and answers questions about images.

    Every sample depends on its own seed only: not on what else is asked for, in which order or at
    which batch size (but for the rounding of floating-point numbers).

    Args:
        network: The network, of any family.
        image_tokenizer: Its image tokenizer.
        text_tokenizer: Its text tokenizer; None for a family that needs none.
        sampling: How it draws best; `generate` takes from here what it is not told.
        decoding: How it answers best; `answer` takes from here what it is not told.
        background: Color that shows through transparent parts of images that are asked about.

    Raises:
        UserError: If they do not belong together, or there is no such color.

    Example:
        >>> pipeline = ShowoPipeline.from_pretrained("shapes")
        >>> result = pipeline.generate(["a red circle"], sampling_steps=4)
        >>> result.images[0].save("circle.png")
        >>> pipeline.answer(result.images, "What is in the image?").texts
    """

    def generate(
        self,
        prompts: str | Iterable[str],
        sampling: ImageSampling | None = None,
        *,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> GeneratedImages:
        """Draw one image a prompt.

        Args:
            prompts: One or several texts.
            sampling: How to sample; `self.sampling` by default, which a model's
                `generation_config.json` sets.
            seeds: One a prompt, or one for all; 0, 1, 2, ... by default. Unused when both
                temperatures are 0.
            batch_size: Prompts decoded at once; found by trying if missing.
            **changes: Options of `ImageSampling` that are to be otherwise, such as
                `sampling_steps=4`; see `SamplingChanges`.

        Raises:
            UserError: If there are no prompts, one is too long, or an option is unknown or out of
                range.
        """
        sampling = SamplingChanges.of(changes).over(sampling or self.sampling)
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        every_seed = [seeds] * len(texts) if isinstance(seeds, int) else seeds
        return GeneratedImages.joined(
            self.generate_batches(texts, sampling, every_seed, batch_size)
        )

    def generate_batches(
        self,
        prompts: Sequence[str],
        sampling: ImageSampling,
        seeds: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> Iterator[GeneratedImages]:
        """Draw images and give every batch as soon as it is done, in the order of the prompts.

        Everything is checked before the first image is begun.

        Raises:
            UserError: See `generate`.
        """
        config = self.network.config
        sampling.check(config.image_tokens, config.codebook_size)
        if not prompts:
            raise UserError("there are no prompts; give at least one")
        ids = self.encode_prompts(prompts)
        every_seed = seed_of_each(seeds, len(prompts))
        rows = 2 if sampling.guided else 1

        def draw(indices: range) -> GeneratedImages:
            chosen = [every_seed[index] for index in indices]
            began = self._now()
            codes = decode_image_codes(
                self.network, [ids[index] for index in indices], sampling, chosen
            )
            seconds = self._now() - began
            # The decoder takes far more memory an image than the transformer.
            pixels = torch.cat(
                [self.image_tokenizer.decode(part) for part in codes.split(DECODED_AT_ONCE)]
            )
            forwards = rows * sampling.sampling_steps * len(indices)
            return GeneratedImages(
                to_images(pixels),
                codes.cpu(),
                chosen,
                Statistics(len(indices), codes.numel(), forwards, seconds),
            )

        largest = first_batch_size(
            config,
            rows=rows,
            tokens=max(map(len, ids)) + config.image_tokens + 5,
            scored=config.image_tokens,
            candidates=config.codebook_size,
            dtype=self.network.dtype,
            device=self.device,
        )
        return run_in_batches(len(prompts), batch_size, largest, draw)

    def answer(
        self,
        images: ImageSource | Iterable[ImageSource],
        questions: str | Iterable[str],
        decoding: TextDecoding | None = None,
        *,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> Answers:
        """Answer questions about images.

        Args:
            images: Files or Pillow images. A single one goes with all questions.
            questions: One for each image. A single one goes with all images.
            decoding: How to decode; `self.decoding` by default, which a model's
                `generation_config.json` sets.
            seeds: One a question, or one for all; 0, 1, 2, ... by default.
            batch_size: Questions answered at once; found by trying if missing.
            **changes: Options of `TextDecoding` that are to be otherwise, such as
                `max_new_tokens=32`; see `DecodingChanges`.

        Raises:
            UserError: If there are no images, they cannot be read, there are more or fewer
                questions, one is too long, or an option is unknown or out of range.
        """
        options = DecodingChanges.of(changes).over(decoding or self.decoding)
        every_image = [images] if isinstance(images, ImageSource) else list(images)
        every_question = [questions] if isinstance(questions, str) else list(questions)
        if not every_question:
            raise UserError("there are no questions; give at least one")
        if len(every_image) == 1:
            every_image = every_image * len(every_question)
        elif len(every_question) == 1:
            every_question = every_question * len(every_image)
        every_seed = [seeds] * len(every_question) if isinstance(seeds, int) else seeds
        parts = self.answer_batches(every_image, every_question, options, every_seed, batch_size)
        return Answers.joined(parts)

    def answer_batches(
        self,
        images: Sequence[ImageSource],
        questions: Sequence[str],
        options: TextDecoding,
        seeds: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> Iterator[Answers]:
        """Answer questions and give every batch as soon as it is done, in their order.

        Options and questions are checked before the first answer is begun; image files are read
        batch by batch.

        Raises:
            UserError: See `answer`.
        """
        options.check()
        tokenizer = self.text_tokenizer
        if not isinstance(self.network, TextModel) or tokenizer is None:
            raise UserError(
                f"the family {type(self.network).__name__} does not write text, so that it cannot "
                "answer questions; name another model"
            )
        options.check_for(self.network)
        if not images:
            raise UserError("there are no images; give at least one")
        if len(images) != len(questions):
            raise UserError(
                f"there are {len(images)} images and {len(questions)} questions; give one question "
                "for each image, or a single one"
            )
        ids = [self.encode_question(text, options.max_new_tokens) for text in questions]
        every_seed = seed_of_each(seeds, len(images))

        def write(indices: range) -> Answers:
            codes = self.encode_images([images[index] for index in indices])
            prompts = [ids[index] for index in indices]
            chosen = [every_seed[index] for index in indices]
            began = self._now()
            results = options.decode(self.network, codes, prompts, chosen)
            seconds = self._now() - began
            tokens = [result.tokens for result in results]
            forwards = sum(result.forwards for result in results)
            return Answers(
                [tokenizer.decode(answer).strip() for answer in tokens],
                tokens,
                [result.finished for result in results],
                Statistics(len(indices), sum(map(len, tokens)), forwards, seconds),
            )

        config = self.network.config
        longest = max(map(len, ids)) + options.max_new_tokens + options.lookahead()
        largest = first_batch_size(
            config,
            rows=2 if options.guidance_scale else 1,
            tokens=config.image_tokens + 4 + longest,
            scored=options.lookahead(),
            candidates=config.text_vocabulary_size,
            dtype=self.network.dtype,
            device=self.device,
        )
        return run_in_batches(len(images), batch_size, largest, write)

    def _now(self) -> float:
        """Seconds on a clock, once all work that was given to a GPU is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
