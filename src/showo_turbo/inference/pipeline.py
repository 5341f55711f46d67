"""The front door for inference."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from ..errors import UserError
from ..sampling.editing import ImageEditing
from ..sampling.image_sampling import ImageSampling, SamplingChanges
from ..sampling.inpainting import MaskReading
from ..sampling.options import seed_of_each
from ..sampling.windows import Direction
from .batching import first_batch_size, run_in_batches
from .drawing import DrawingTask, Generation, Prompts
from .editing import Editing
from .extrapolation import Extrapolation
from .image_sources import ImageSource
from .inpainting import Inpainting
from .matching import each, listed, matched
from .results import (
    DrawnImages,
    EditedImages,
    ExtrapolatedImages,
    GeneratedImages,
    GeneratedVideos,
)
from .telling import Telling
from .videos import VideoGeneration

Result = TypeVar("Result", bound=DrawnImages)


class ShowoPipeline(Telling):
    """Generates and changes images, answers questions about them, and tells stories.

    Every sample depends on its own seed only: not on what else is asked for, in which order or at
    which batch size (but for the rounding of floating-point numbers).

    All methods that generate take the same further arguments. `sampling` says how to sample; by
    default `self.sampling`, from `generation_config.json`; `changes` are options of `ImageSampling`
    that are to be otherwise, such as `sampling_steps=4`, see `SamplingChanges`. `negative_prompts`
    are texts that guidance moves away from, one an image or one for all, in place of the empty
    prompt. `seeds` are one an image, or one for all; 0, 1, 2, ... by default. `batch_size` is how
    many images are decoded at once; found by trying if missing.

    Args:
        network: The network, of any family.
        image_tokenizer: Its image tokenizer.
        text_tokenizer: Its text tokenizer; None for a family that needs none.
        sampling: Recommended for the model: the default of `generate`.
        decoding: Recommended for the model: the default of `answer`.
        background: Color that shows through transparent parts of images that are given.
        vision_encoder: Its vision encoder, if it reads images through one; see `LoadedModel`.

    Raises:
        UserError: If they do not belong together, or there is no such color.

    Example:
        >>> pipeline = ShowoPipeline.from_pretrained("shapes")
        >>> result = pipeline.generate(["a red circle"], sampling_steps=4)
        >>> result.images[0].save("circle.png")
        >>> pipeline.answer(result.images, "What is in the image?").texts
        >>> pipeline.edit(result.images, "a blue circle", guidance_scale=2.0).images[0]
    """

    def generate(
        self,
        prompts: str | Iterable[str],
        sampling: ImageSampling | None = None,
        *,
        negative_prompts: str | Sequence[str | None] | None = None,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> GeneratedImages:
        """Generate one image per prompt.

        Args:
            prompts: One or several texts.
            sampling: How to sample; for this and what follows see the class.
            negative_prompts: What guidance moves away from.
            seeds: One a prompt, or one for all. Unused when both temperatures are 0.
            batch_size: Prompts decoded at once.
            **changes: Options of `ImageSampling`.

        Raises:
            UserError: If there are no prompts, one is too long, or an option is unknown or out of
                range.
        """
        texts = listed(prompts, str)
        task = Generation(Prompts(texts, each(negative_prompts, str, len(texts))))
        return self._draw(task, sampling, changes, seeds, batch_size)

    def generate_video(
        self,
        prompts: str | Iterable[str],
        images: ImageSource | Iterable[ImageSource] | None = None,
        sampling: ImageSampling | None = None,
        *,
        by_frame: bool = False,
        negative_prompts: str | Sequence[str | None] | None = None,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> GeneratedVideos:
        """Generate one clip per prompt, with a model of clips.

        Args:
            prompts: One or several texts.
            images: The first frame of each clip, files or Pillow images, to set them in motion; by
                default it is generated, too. A single image or prompt goes with all others.
            sampling: How to sample; for this and what follows see the class.
            by_frame: Whether a latent frame begins once the one before is complete, each in
                `sampling_steps` steps; else all are generated together.
            negative_prompts: What guidance moves away from.
            seeds: One a prompt, or one for all.
            batch_size: Clips decoded at once.
            **changes: Options of `ImageSampling`.

        Raises:
            UserError: If the model generates no clips, there are no prompts, one is too long, an
                image cannot be read, or an option is unknown or out of range.
        """
        texts, first = listed(prompts, str), None
        if images is not None:
            texts, first = matched(prompts=texts, images=listed(images, ImageSource))
        every_prompt = Prompts(texts, each(negative_prompts, str, len(texts)))
        task = VideoGeneration(every_prompt, first, by_frame)
        return self._draw(task, sampling, changes, seeds, batch_size)

    def inpaint(
        self,
        images: ImageSource | Iterable[ImageSource],
        masks: ImageSource | Iterable[ImageSource],
        prompts: str | Iterable[str],
        sampling: ImageSampling | None = None,
        *,
        mask_reading: MaskReading = "any",
        paste: bool = False,
        negative_prompts: str | Sequence[str | None] | None = None,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> GeneratedImages:
        """Regenerate a part of images.

        The image tokens that a mask leaves alone stay as they are, bit for bit; the pixels of all
        are decoded again, so that they are reconstructions of the image's, unless `paste` is set.

        Args:
            images: Files or Pillow images, cut to squares as large as the model generates them.
            masks: One an image and as large as it: white is regenerated.
            prompts: What the whole image is to show. A single image, mask or prompt goes with all
                of the others.
            sampling: How to sample; for this and what follows see the class.
            mask_reading: With `any` a token is regenerated if any pixel of its patch is white; with
                `center`, as published, if its center is.
            paste: Whether to put back the original's pixels where no token was regenerated, with a
                soft edge.
            negative_prompts: What guidance moves away from.
            seeds: One an image, or one for all.
            batch_size: Images decoded at once.
            **changes: Options of `ImageSampling`; `schedule_base` is one that matters here.

        Raises:
            UserError: If an image or a mask cannot be read, they differ in size or number, a mask
                masks nothing or everything, a prompt is too long, or an option is unknown or out of
                range.
        """
        every_image, every_mask, texts = matched(
            images=listed(images, ImageSource),
            masks=listed(masks, ImageSource),
            prompts=listed(prompts, str),
        )
        every_prompt = Prompts(texts, each(negative_prompts, str, len(texts)))
        task = Inpainting(every_image, every_mask, every_prompt, mask_reading, paste)
        return self._draw(task, sampling, changes, seeds, batch_size)

    def extrapolate(
        self,
        images: ImageSource | Iterable[ImageSource],
        directions: Direction | Iterable[Direction],
        prompts: str | Sequence[str | Sequence[str]],
        sampling: ImageSampling | None = None,
        *,
        offset: int = 0,
        negative_prompts: str | Sequence[str | None] | None = None,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> ExtrapolatedImages:
        """Let images grow beyond their edges.

        Args:
            images: Files or Pillow images, cut to squares as large as the model generates them.
            directions: Where all of them grow: `left`, `right`, `up` or `down`, or several of them,
                one after the other.
            prompts: What is to be there. Of a single image: one text, or one for each direction. Of
                a list of images: one text for all, or for each image a text or a list with one for
                each direction.
            sampling: How to sample; for this and what follows see the class.
            offset: Each direction keeps half of the image in view as it generates the rest; the
                offset is how many rows or columns of tokens fewer.
            negative_prompts: What guidance moves away from.
            seeds: One an image, or one for all.
            batch_size: Images decoded at once.
            **changes: Options of `ImageSampling`.

        Raises:
            UserError: If an image cannot be read, there are more or fewer prompts than directions
                or images, a prompt is too long, or a direction or an option is unknown or out of
                range.
        """
        of_each = [prompts] if isinstance(images, ImageSource) else listed(prompts, str)
        (every_image,) = matched(images=listed(images, ImageSource))
        if len(of_each) not in (1, len(every_image)):
            raise UserError(
                f"there are {len(every_image)} images and {len(of_each)} prompts; give one for "
                "each image, which may be a list of one for each direction, or a single one"
            )
        task = Extrapolation(
            every_image,
            [listed(directions, str)] * len(every_image),
            [listed(own, str) for own in of_each] * (len(every_image) // len(of_each)),
            each(negative_prompts, str, len(every_image)),
            offset,
        )
        return self._draw(task, sampling, changes, seeds, batch_size)

    def edit(
        self,
        images: ImageSource | Iterable[ImageSource],
        prompts: str | Iterable[str],
        sampling: ImageSampling | None = None,
        *,
        editing: ImageEditing = ImageEditing(),
        negative_prompts: str | Sequence[str | None] | None = None,
        seeds: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        **changes: Any,
    ) -> EditedImages:
        """Change images so that they show something else, without a mask.

        Random tokens are regenerated with the new prompt, round after round. Four rounds of 4 steps
        with a guidance scale of 2 are a sound start.

        Args:
            images: Files or Pillow images, cut to squares as large as the model generates them.
            prompts: What the images are to show. A single image or prompt goes with all others.
            sampling: How a round samples; for this and what follows see the class.
            editing: How many rounds, and how many tokens they regenerate.
            negative_prompts: What guidance moves away from.
            seeds: One an image, or one for all.
            batch_size: Images decoded at once.
            **changes: Options of `ImageSampling`.

        Raises:
            UserError: If an image cannot be read, there are more or fewer prompts, one is too long,
                or an option is unknown or out of range.
        """
        every_image, texts = matched(
            images=listed(images, ImageSource), prompts=listed(prompts, str)
        )
        every_prompt = Prompts(texts, each(negative_prompts, str, len(texts)))
        return self._draw(
            Editing(every_image, every_prompt, editing), sampling, changes, seeds, batch_size
        )

    def draw_batches(
        self,
        task: DrawingTask[Result],
        sampling: ImageSampling,
        seeds: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> Iterator[Result]:
        """Generate images and yield every batch as soon as it is done, in order.

        Everything is checked before the first image is begun.

        Args:
            task: What to generate: `Generation`, `Inpainting`, `Extrapolation` or `Editing`.
            sampling: How to sample.
            seeds: One an image.
            batch_size: Images decoded at once; found by trying if missing.

        Raises:
            UserError: See `generate` and the others.
        """
        config = self.network.config
        sampling.check(config)
        if not len(task):
            raise UserError("there are no prompts; give at least one")
        self.check_medium(isinstance(task, VideoGeneration))
        checked = task.prepare(self, sampling)
        every_seed = seed_of_each(seeds, len(task))
        largest = first_batch_size(
            config,
            rows=2 if sampling.guided else 1,
            tokens=checked.longest_prompt + config.image_tokens + 5,
            scored=config.image_tokens,
            candidates=config.codebook_size,
            dtype=self.network.dtype,
            device=self.device,
        )

        def draw(indices: range) -> Result:
            return checked.draw(indices, [every_seed[index] for index in indices])

        return run_in_batches(len(task), batch_size, largest, draw)

    def _draw(
        self,
        task: DrawingTask[Result],
        sampling: ImageSampling | None,
        changes: dict[str, Any],
        seeds: int | Sequence[int] | None,
        batch_size: int | None,
    ) -> Result:
        """Generate all images of a task."""
        how = SamplingChanges.of(changes).over(sampling or self.sampling)
        every_seed = each(seeds, int, len(task))
        parts = list(self.draw_batches(task, how, every_seed, batch_size))
        return type(parts[0]).joined(parts)
