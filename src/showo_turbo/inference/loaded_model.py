"""Networks that belong together, and what is asked of them as ids and codes."""

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import torch
from PIL import Image
from torch import Tensor

from ..data.clips import load_clip
from ..data.images import load_image, square_pixels
from ..data.transparency import BACKGROUND, check_background
from ..errors import UserError
from ..models.image_input import Crop, ImageEncoder
from ..models.magvitv2 import MAGVITv2
from ..models.model_config import token_grid, video_frames
from ..models.prompts import encode_prompts
from ..models.protocols import ImageModel, TextModel
from ..models.registry import load_model, text_model
from ..models.vision_encoders import CLIPFeatures
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding, decoding_of
from ..text_tokenizer import TextTokenizer
from .generation_config import load_generation_config
from .image_sources import AskedSource, ImageSource
from .loading import (
    check_fit,
    check_own_text_tokenizer,
    choose_device,
    choose_dtype,
    image_encoder_of,
    image_side,
    load_image_tokenizer,
    load_text_tokenizer,
    own_vision_encoder,
)

DECODED_AT_ONCE = 8
"""Images that the image tokenizer turns into pixels together."""

Value = TypeVar("Value")


class LoadedModel:
    """A network with its tokenizers; turns prompts, questions and images into ids and codes.

    Args:
        network: The network, of any family.
        image_tokenizer: Its image tokenizer.
        text_tokenizer: Its text tokenizer; None for a family that needs none.
        sampling: Recommended for it: the default wherever it generates.
        decoding: Recommended for it: the default wherever it is asked a question.
        background: Color that shows through transparent parts of the images that it looks at.
        vision_encoder: Its vision encoder, a folder or a hub id, if it reads images through one;
            what its configuration names by default. It is loaded when the model is first asked
            about an image.

    Raises:
        UserError: If they do not belong together, or there is no such color.
    """

    def __init__(
        self,
        network: ImageModel,
        image_tokenizer: MAGVITv2,
        text_tokenizer: TextTokenizer | None,
        sampling: ImageSampling = ImageSampling(),
        decoding: TextDecoding = TextDecoding(),
        background: str = BACKGROUND,
        vision_encoder: CLIPFeatures | str | Path | None = None,
    ) -> None:
        check_background(background)
        check_fit(network, image_tokenizer, text_tokenizer)
        self.network = network.eval()
        self.image_tokenizer = image_tokenizer.eval()
        self.text_tokenizer = text_tokenizer
        self.sampling = sampling
        self.decoding = decoding
        self.background = background
        self._vision_encoder = vision_encoder

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        image_tokenizer: str | Path | None = None,
        text_tokenizer: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        compile: bool = False,
        family: str | None = None,
        background: str = BACKGROUND,
        vision_encoder: str | Path | None = None,
    ) -> Self:
        """Load everything that inference needs, and the recommended sampling and decoding.

        Args:
            model: `shapes`, a folder, or a hub id such as `showlab/show-o-512x512`. A
                `generation_config.json` in its folder has the recommended settings; a family
                whose text is denoised answers by block diffusion even without one.
            image_tokenizer: Likewise; the one in the model's folder by default, or what its
                `config.json` names, which is `showlab/magvitv2` for the released ones.
            text_tokenizer: Likewise; `tokenizer.json` in the model's folder by default, or what
                its `config.json` names.
            device: `cpu`, `cuda`, `cuda:1`, ...; a GPU by default if there is one.
            dtype: Of the transformer: `float32`, `bfloat16` or `float16`; by default `float32`, or
                `bfloat16` with `compile`. What encodes images stays in float32.
            compile: Decode with compiled code: the first batch of every shape takes a minute or
                more, the next ones are faster. It needs a C++ compiler; on a GPU, CUDA graphs are
                used. Made for accelerators.
            family: Class of the model, a family of one's own by its import path, such as
                `my_module.MyModel`.
            background: Color that shows through transparent parts of images that are asked about,
                such as `black` or `#808080`.
            vision_encoder: A folder or a hub id, for a model that reads images through one; by
                default the one in the model's folder, or what its `config.json` names, which is
                `openai/clip-vit-large-patch14-336` for the released ones.

        Raises:
            UserError: If something is missing or damaged or does not belong together.
        """
        check_background(background)
        default = "bfloat16" if compile else "float32"
        place, precision = choose_device(device), choose_dtype(dtype or default)
        network = load_model(model, family)
        images = load_image_tokenizer(network.config, model, image_tokenizer)
        texts = load_text_tokenizer(network.config, model, text_tokenizer)
        best = load_generation_config(model)
        pipeline = cls(
            network.to(place, precision),
            images.to(place),
            texts,
            best.sampling,
            decoding_of(type(network), best.decoding) or best.decoding,
            background,
            vision_encoder or own_vision_encoder(network, model),
        )
        if texts is not None and text_tokenizer is not None:
            check_own_text_tokenizer(model, texts, text_tokenizer)
        if compile:
            pipeline.network.compile_decoding()
        return pipeline

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.network.device

    @property
    def resolution(self) -> int:
        """Side length of the images in pixels."""
        return image_side(self.network, self.image_tokenizer)

    @property
    def grid(self) -> tuple[int, ...]:
        """The grid of the tokens of an image or a clip, see `token_grid`."""
        return token_grid(self.network.config)

    @property
    def grid_side(self) -> int:
        """Rows and columns of the image tokens."""
        return self.grid[-1]

    @property
    def clip_frames(self) -> int:
        """Frames of the clips that the model generates and reads; 0 for one of images."""
        frames = video_frames(self.network.config)
        return self.image_tokenizer.config.frames(frames) if frames else 0

    def check_medium(self, clips: bool) -> None:
        """Raise on a model of images that is asked for clips, and the other way round.

        Raises:
            UserError: Naming what it generates.
        """
        if clips != bool(self.clip_frames):
            own, asked = ("clips", "images") if self.clip_frames else ("images", "clips")
            remedy = "generate_video" if self.clip_frames else "generate"
            raise UserError(
                f"the model generates {own}, not {asked}; use {remedy}, or name another model"
            )

    @cached_property
    def image_encoder(self) -> ImageEncoder:
        """What encodes the images that the model is asked about; see `image_encoder_of`."""
        return image_encoder_of(self.network, self.image_tokenizer, self._vision_encoder)

    @property
    def asked_resolution(self) -> int:
        """Side length in pixels of the images that the model is asked about."""
        return self.image_encoder.resolution or self.resolution

    def encode_prompts(self, prompts: Sequence[str]) -> list[list[int]]:
        """Ids of prompts.

        Raises:
            UserError: If one is longer than the model takes, or means nothing to it.
        """
        return encode_prompts(self.network, self.text_tokenizer, prompts)

    def writer(self, wanted_by: str = "answering questions") -> tuple[TextModel, TextTokenizer]:
        """The network as one that writes text, and its text tokenizer.

        Args:
            wanted_by: What needs the text, for the message.

        Raises:
            UserError: If the family does not write text.
        """
        model = text_model(self.network, wanted_by)
        assert self.text_tokenizer is not None  # as for every family that writes text
        return model, self.text_tokenizer

    def encode_question(self, question: str, max_new_tokens: int) -> list[int]:
        """Text ids of a question in the format that the model was instructed with.

        Raises:
            UserError: If the model does not write text, or it leaves no room for the answer.
        """
        writer, text_tokenizer = self.writer()
        ids = writer.encode_question(text_tokenizer, question)
        room = writer.config.text_room
        if len(ids) + max_new_tokens > room:
            raise UserError(
                f"the question {question[:60]!r} has {len(ids)} tokens and the answer may have "
                f"{max_new_tokens} more; together at most {room} fit: shorten one of them"
            )
        return ids

    def encode_images(self, images: Sequence[ImageSource]) -> Tensor:
        """Image codes `(images, image_tokens)` of files or images, cut to squares.

        Raises:
            UserError: If a file cannot be read.
        """
        return self.image_tokenizer.encode(self.square_images(images))

    def encode_asked_images(self, images: Sequence[AskedSource]) -> Tensor:
        """Files or images as the model is given them when it is asked about them.

        Raises:
            UserError: If a file cannot be read.
        """
        encoder = self.image_encoder
        return encoder.encode(self.square_images(images, encoder.resolution, encoder.crop))

    def square_images(
        self,
        images: Sequence[AskedSource],
        resolution: int | None = None,
        crop: Crop = "nearest",
    ) -> Tensor:
        """Pixels `(images, 3, resolution, resolution)` of files or images, cut to squares.

        Args:
            images: The images.
            resolution: Side length of the squares; that of the images that the model generates by
                default.
            crop: See `square_pixels`.

        Returns:
            Of a model of clips, `(clips, 3, frames, resolution, resolution)`; the sources then are
            clips, see `load_clip`.

        Raises:
            UserError: If a file cannot be read, or frames are given for an image.
        """
        side = resolution or self.resolution
        if self.clip_frames:
            clips = [load_clip(clip, self.clip_frames, side, self.background) for clip in images]
            return torch.stack(clips).to(self.device)
        pixels = [self.square_image(image, side, crop) for image in images]
        return torch.stack(pixels).to(self.device)

    def square_image(self, image: AskedSource, side: int, crop: Crop = "nearest") -> Tensor:
        """Pixels `(3, side, side)` of a file or an image, on the CPU; see `square_images`."""
        if isinstance(image, Image.Image):
            return square_pixels(image, side, self.background, crop=crop)
        if isinstance(image, str | Path):
            return load_image(Path(image), side, self.background, crop)
        raise UserError(
            "a list of frames is given for an image; expected a file or an image, give one, or "
            "name a model of clips"
        )

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Pixels of codes `(images, image_tokens)` of whole images or clips, all at once."""
        return self.image_tokenizer.decode(codes, self.grid)

    def decode_images(self, codes: Tensor) -> Tensor:
        """Pixels `(images, 3, height, width)` of codes `(images, rows, columns)`.

        Of clips, `(clips, 3, frames, height, width)` of `(clips, latent frames, rows, columns)`. A
        few images at a time, since the decoder takes far more memory an image than the
        transformer.
        """
        parts = codes.flatten(1).split(max(1, DECODED_AT_ONCE // max(1, self.clip_frames)))
        return torch.cat([self.image_tokenizer.decode(part, codes.shape[1:]) for part in parts])

    def as_grids(self, tokens: Tensor) -> Tensor:
        """`(images, image_tokens)` as `(images, *grid)`."""
        return tokens.reshape(len(tokens), *self.grid)

    def timed(self, work: Callable[[], Value]) -> tuple[Value, float]:
        """What some work returns, and the seconds it took, that of a GPU included."""
        began = seconds_now(self.device)
        value = work()
        return value, seconds_now(self.device) - began


def seconds_now(device: torch.device) -> float:
    """Wall clock in seconds, once a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
