"""The front door for inference."""

import time
from collections.abc import Iterable, Iterator, Sequence

import torch

from ..data.images import to_images
from ..errors import UserError
from ..sampling.jacobi import Driver
from ..sampling.mask_schedules import MaskSchedule
from ..sampling.options import seed_of_each
from ..sampling.parallel import ImageSampling, decode_image_codes
from .batching import first_batch_size, run_in_batches
from .generation_config import SamplingChanges
from .loaded_model import ImageSource, LoadedModel
from .results import Answers, GeneratedImages, Statistics
from .text_decoding import Decoding, TextDecoding

DECODED_AT_ONCE = 8
"""Images that the image tokenizer turns into pixels together."""


class ShowoPipeline(LoadedModel):
    """Generates images from prompts, and answers questions about images.

    Every sample depends on its own seed only: not on what else is asked for, in which order or at
    which batch size (but for the rounding of floating-point numbers).

    Args:
        showo: The transformer.
        image_tokenizer: Its image tokenizer.
        text_tokenizer: Its text tokenizer.
        sampling: How it draws best; `generate` takes from here what it is not told.

    Raises:
        UserError: If they do not belong together.

    Example:
        >>> pipeline = ShowoPipeline.from_pretrained("shapes")
        >>> result = pipeline.generate(["a red circle"], steps=4)
        >>> result.images[0].save("circle.png")
        >>> pipeline.answer(result.images, "What is in the image?").texts
    """

    def generate(
        self,
        prompts: str | Iterable[str],
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
        mask_schedule: MaskSchedule | None = None,
        token_temperature: float | None = None,
        confidence_temperature: float | None = None,
        top_k: int | None = None,
        guidance_end: float | None = None,
        shared_noise_seed: int | None = None,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> GeneratedImages:
        """Draw one image a prompt; see `ImageSampling` for the options of sampling.

        What is not given is as in `self.sampling`, which a model's `generation_config.json` sets.

        Args:
            prompts: One or several texts.
            steps: Denoising steps.
            guidance_scale: Classifier-free guidance; 0 turns it off and halves the work.
            mask_schedule: How many tokens stay masked after each step.
            token_temperature: Of the drawn tokens; 0 takes the likeliest.
            confidence_temperature: Noise on the reveal order.
            top_k: Draw only among the k likeliest codes.
            guidance_end: Guidance of the last step, reached in even steps.
            shared_noise_seed: One draw of the noise on the reveal order for all images and steps.
            seeds: One a prompt, or one for all; 0, 1, 2, ... by default. Unused when both
                temperatures are 0.
            batch_size: Prompts decoded at once; found by trying if missing.

        Raises:
            UserError: If there are no prompts, one is too long, or an option is out of range.
        """
        changes = SamplingChanges(
            steps,
            guidance_scale,
            mask_schedule,
            token_temperature,
            confidence_temperature,
            top_k,
            guidance_end,
            shared_noise_seed,
        )
        sampling = changes.over(self.sampling)
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
        config, vocabulary = self.showo.config, self.showo.vocabulary
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
                self.showo, [ids[index] for index in indices], sampling, chosen
            )
            seconds = self._now() - began
            # The decoder takes far more memory an image than the transformer.
            pixels = torch.cat(
                [self.image_tokenizer.decode(part) for part in codes.split(DECODED_AT_ONCE)]
            )
            forwards = rows * sampling.steps * len(indices)
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
            candidates=vocabulary.codebook_size,
            dtype=self.showo.dtype,
            device=self.device,
        )
        return run_in_batches(len(prompts), batch_size, largest, draw)

    def answer(
        self,
        images: ImageSource | Iterable[ImageSource],
        questions: str | Iterable[str],
        *,
        decoding: Decoding = TextDecoding.decoding,
        max_new_tokens: int = TextDecoding.max_new_tokens,
        driver: Driver = TextDecoding.driver,
        block_size: int = TextDecoding.block_size,
        temperature: float = TextDecoding.temperature,
        top_k: int | None = TextDecoding.top_k,
        top_p: float | None = TextDecoding.top_p,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> Answers:
        """Answer questions about images; see `TextDecoding` for the options of decoding.

        Args:
            images: Files or Pillow images. A single one goes with all questions.
            questions: One for each image. A single one goes with all images.
            decoding: `jacobi` or `autoregressive`.
            max_new_tokens: Longest answer in tokens.
            driver: Of Jacobi decoding, `block` or `window`.
            block_size: Tokens that Jacobi decoding guesses at once.
            temperature: Of autoregressive decoding; 0 takes the likeliest token.
            top_k: Draw only among the k likeliest tokens.
            top_p: Draw only among the likeliest tokens that together reach this probability.
            seeds: One a question, or one for all; 0, 1, 2, ... by default.
            batch_size: Questions answered at once; found by trying if missing.

        Raises:
            UserError: If there are no images, they cannot be read, there are more or fewer
                questions, one is too long, or an option is out of range.
        """
        options = TextDecoding(
            decoding, max_new_tokens, driver, block_size, temperature, top_k, top_p
        )
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
            results = options.decode(self.showo, codes, prompts, chosen)
            seconds = self._now() - began
            tokens = [result.tokens for result in results]
            forwards = sum(result.forwards for result in results)
            return Answers(
                [self.text_tokenizer.decode(answer).strip() for answer in tokens],
                tokens,
                [result.finished for result in results],
                Statistics(len(indices), sum(map(len, tokens)), forwards, seconds),
            )

        config = self.showo.config
        longest = max(map(len, ids)) + options.max_new_tokens + options.lookahead()
        largest = first_batch_size(
            config,
            rows=1,
            tokens=config.image_tokens + 4 + longest,
            scored=options.lookahead(),
            candidates=config.text_vocabulary_size,
            dtype=self.showo.dtype,
            device=self.device,
        )
        return run_in_batches(len(images), batch_size, largest, write)

    def _now(self) -> float:
        """Seconds on a clock, once all work that was given to a GPU is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
