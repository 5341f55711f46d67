"""Answers to questions about images."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import UserError
from ..sampling.options import seed_of_each
from ..sampling.text_decoding import DecodingChanges, TextDecoding
from .batching import first_batch_size, run_in_batches
from .encoded_images import EncodedImages
from .image_sources import AskedSource, ImageSource
from .loaded_model import LoadedModel
from .matching import each, listed, matched
from .results import Answers, Statistics


class Answering(LoadedModel):
    """A model that answers questions about images; see `LoadedModel` for its arguments."""

    def answer(
        self,
        images: ImageSource | Iterable[AskedSource],
        questions: str | Iterable[str],
        decoding: TextDecoding | None = None,
        *,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> Answers:
        """Answer questions about images.

        Args:
            images: Files or Pillow images. A single one goes with all questions. Of a model of
                clips: files, folders of frames, or lists of frames; see `load_clip`.
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
        every_image, every_question = matched(
            images=listed(images, ImageSource), questions=listed(questions, str)
        )
        every_seed = each(seeds, int, len(every_question))
        parts = self.answer_batches(every_image, every_question, options, every_seed, batch_size)
        return Answers.joined(parts)

    def answer_batches(
        self,
        images: Sequence[AskedSource],
        questions: Sequence[str],
        options: TextDecoding,
        seeds: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> Iterator[Answers]:
        """Answer questions and give every batch as soon as it is done, in their order.

        Options and questions are checked before the first answer is begun; image files are read
        batch by batch, and an image with several questions is encoded once, unless very many others
        come between them.

        Raises:
            UserError: See `answer`.
        """
        writer, tokenizer = self.writer()
        options.check_for(writer)
        if not images:
            raise UserError("there are no images; give at least one")
        if len(images) != len(questions):
            raise UserError(
                f"there are {len(images)} images and {len(questions)} questions; give one question "
                "for each image, or a single one"
            )
        ids = [self.encode_question(text, options.max_new_tokens) for text in questions]
        every_seed = seed_of_each(seeds, len(images))
        encoded = EncodedImages(self, images)

        def write(indices: range) -> Answers:
            given = encoded.rows(indices)
            prompts = [ids[index] for index in indices]
            chosen = [every_seed[index] for index in indices]
            results, seconds = self.timed(lambda: options.decode(writer, given, prompts, chosen))
            tokens = [result.tokens for result in results]
            forwards = sum(result.forwards for result in results)
            return Answers(
                texts=[tokenizer.decode(answer).strip() for answer in tokens],
                tokens=tokens,
                finished=[result.finished for result in results],
                statistics=Statistics(len(indices), sum(map(len, tokens)), forwards, seconds),
            )

        config = writer.config
        longest = max(map(len, ids)) + options.max_new_tokens + options.lookahead()
        largest = first_batch_size(
            config,
            rows=2 if options.guidance_scale else 1,
            tokens=writer.image_input.tokens + 4 + longest,
            scored=options.lookahead(),
            candidates=config.text_vocabulary_size,
            dtype=writer.dtype,
            device=self.device,
        )
        return run_in_batches(len(images), batch_size, largest, write)
