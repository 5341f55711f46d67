"""What a model family offers: all that samplers, collectors, training and commands know of it.

A family is a class of networks, built from its configuration alone, with all its weights in its
state dict. It draws images (`ImageModel`); a family that writes text as well is a `TextModel`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, cast

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..text_tokenizer import TextTokenizer
from .checkpoints import load_state_into, read_config, resolve_folder, save_checkpoint
from .image_input import ImageInput
from .stories import StoryPrefix

FIXED_POINT = "fixed_point_logits"
"""Name of what `answer_logits` predicts from the answers themselves."""


class ModelConfig(Protocol):
    """Sizes of a network, and the tokenizers that go with it.

    A family that writes text has `text_vocabulary_size` and `text_room`, the text tokens that fit
    behind an image, question and answer together, as well; one that tells stories has
    `max_position_embeddings`, the tokens of the longest.

    Attributes:
        family: Short name of the architecture, recorded with trajectories.
        image_tokens: Tokens an image.
        codebook_size: Codes of the image tokenizer.
        image_tokenizer: `shapes`, folder or hub id of the image tokenizer; None if it lies in the
            model's own folder, as `image_tokenizer`.
        needs_text_tokenizer: Whether prompts are encoded by a text tokenizer.
        tokenizer: Folder or hub id of the text tokenizer; None if `tokenizer.json` lies in the
            model's own folder, or if there is none.
        values_per_token: Numbers that decoding keeps in memory for a token of a sequence, in a
            cache and as activations; chooses the first batch size.
    """

    @property
    def family(self) -> str:
        """Short name of the architecture."""

    @property
    def image_tokens(self) -> int:
        """Tokens an image."""

    @property
    def codebook_size(self) -> int:
        """Codes of the image tokenizer."""

    @property
    def image_tokenizer(self) -> str | None:
        """The image tokenizer."""

    @property
    def needs_text_tokenizer(self) -> bool:
        """Whether prompts are encoded by a text tokenizer."""

    @property
    def tokenizer(self) -> str | None:
        """The text tokenizer."""

    @property
    def values_per_token(self) -> int:
        """Numbers that decoding keeps in memory for a token."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a parsed `config.json`.

        Raises:
            UserError: If a value is of the wrong type or out of range.
        """

    def to_dict(self) -> dict[str, Any]:
        """The `config.json`, as plain JSON; its `_class_name` is the name of the family's class."""


def token_grid(config: ModelConfig) -> tuple[int, ...]:
    """The `(rows, columns)` of an image's tokens, or `(latent frames, rows, columns)` of a clip's.

    A family that draws clips says so by `video_frames` in its configuration; then `image_tokens`
    are those of a clip.
    """
    frames = video_frames(config)
    side = math.isqrt(config.image_tokens // max(1, frames))
    return (frames, side, side) if frames else (side, side)


def video_frames(config: ModelConfig) -> int:
    """Latent frames of the clips that a model draws; 0 for one of images."""
    return int(getattr(config, "video_frames", 0))


class ImagePrefix(Protocol):
    """Rows of images that are being decoded, each behind its prompt."""

    def logits(self, codes: Tensor) -> Tensor:
        """Predict every image token, masked or not.

        Args:
            codes: `(rows, image_tokens)`, `mask_code` where masked.

        Returns:
            `(rows, image_tokens, codebook)`.
        """


class TextPrefix(Protocol):
    """Rows of answers that are being written, each behind its image and question."""

    def logits(self, guesses: Sequence[Sequence[int]], *, restrict_to_text: bool = True) -> Tensor:
        """Predict what follows each row's last token and each of its guesses.

        Args:
            guesses: Guessed continuation of each row, all of one length g (may be 0).
            restrict_to_text: Whether only text tokens are scored.

        Returns:
            `(rows, g + 1, candidates)`.
        """

    def keep(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append tokens to the rows, and forget the other guesses.

        Args:
            tokens: At least one for each row; the guesses of the last `logits` must begin with all
                of them but the last.
        """

    def select(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows only, in this order."""


class WholeSequences:
    """An `ImagePrefix` of a family whose prompts see the image: each step computes everything.

    Args:
        model: Network in eval mode.
        prompts: Ids of each row.
        noise: `(rows, 1 + image_tokens, noise_size)`, if the network reads noise.
    """

    def __init__(
        self,
        model: "ImageModel",
        prompts: Sequence[Sequence[int]],
        noise: Tensor | None = None,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._noise = with_noise(noise)

    def logits(self, codes: Tensor) -> Tensor:
        """Predict every image token, masked or not; see `ImagePrefix`."""
        return self._model.image_logits(self._prompts, codes, **self._noise)


def with_noise(noise: Tensor | None) -> dict[str, Tensor]:
    """The argument `noise`, for networks that read some; none for those that need not know it."""
    return {} if noise is None else {"noise": noise}


class ImageModel(nn.Module, ABC):
    """A masked generator of images.

    Args:
        config: Sizes.

    Attributes:
        config_class: Class of the configuration, a `ModelConfig`.
        config: The configuration.
        null_prompt: The prompt of the unconditional image, which guidance moves away from.
    """

    config_class: ClassVar[type[ModelConfig]]
    null_prompt: Sequence[int] = ()

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return next(self.parameters()).dtype

    @property
    def mask_code(self) -> int:
        """The code that stands for a masked image token: for every family the one after the last.

        Which id a family's vocabulary gives it is the family's own matter.
        """
        return cast(int, self.config.codebook_size)

    @property
    def noise_size(self) -> int:
        """Numbers of noise that an image, and each of its tokens, reads; 0 for none.

        Only a family that reads noise takes the argument `noise` of the methods below.
        """
        return 0

    def add_noise(self, size: int) -> None:
        """Read so many numbers of noise from now on, at first without an effect.

        Raises:
            UserError: If the family reads none.
        """
        raise UserError(f"{type(self).__name__} reads no noise; set noise_size to 0")

    @property
    def image_input(self) -> ImageInput:
        """How it is given the images that it is asked about; as codes by default.

        A family that reads the features of a vision encoder has that one's folder or hub id in its
        configuration, as `vision_encoder`.
        """
        return ImageInput("codes", self.config.image_tokens, self.config.codebook_size)

    @property
    @abstractmethod
    def longest_prompt(self) -> int:
        """Most ids that a prompt may have."""

    def null_prompt_of(self, prompt: Sequence[int]) -> Sequence[int]:
        """What guidance moves away from, beside a prompt: `null_prompt`, but for stories."""
        return self.null_prompt

    @abstractmethod
    def encode_prompt(self, text_tokenizer: TextTokenizer | None, text: str) -> list[int]:
        """Ids of a prompt, however many they are.

        Args:
            text_tokenizer: None for a family that needs none.
            text: What to draw.

        Raises:
            UserError: If the family cannot make anything of the text.
        """

    @abstractmethod
    def image_logits(
        self, prompts: Sequence[Sequence[int]], codes: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Predict every image token of a state, masked or not; with gradients.

        Args:
            prompts: Ids of each sample.
            codes: `(batch, image_tokens)`, `mask_code` where masked.
            noise: `(batch, 1 + image_tokens, noise_size)`, of the image and of each token; given
                to families that read some.

        Returns:
            `(batch, image_tokens, codebook)`.
        """

    def begin_images(
        self, prompts: Sequence[Sequence[int]], noise: Tensor | None = None
    ) -> ImagePrefix:
        """Begin to decode images.

        A family whose prompts do not see the image computes them here, once.

        Args:
            prompts: Ids of each row; guidance is a matter of further rows.
            noise: See `image_logits`.
        """
        return WholeSequences(self, prompts, noise)

    def compile_decoding(self) -> None:
        """From now on, decode with compiled code.

        Raises:
            UserError: If the family has none.
        """
        raise UserError(f"{type(self).__name__} has no compiled decoding; leave compile out")

    def gradient_checkpointing_enable(self) -> None:
        """Recompute activations in the backward pass instead of storing them.

        Raises:
            UserError: If the family cannot.
        """
        raise UserError(f"{type(self).__name__} stores all activations; leave out the option")

    def lora_layers(self) -> tuple[nn.Module, nn.Module]:
        """The layers that low-rank adapters go into, and the module that keeps their scaling.

        Raises:
            UserError: If the family takes none.
        """
        raise UserError(f"{type(self).__name__} has no layers for adapters; leave out lora")

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """Load a released or saved model of this family.

        Args:
            model: `shapes`, a local folder or a hub id such as `showlab/show-o-512x512`.

        Raises:
            UserError: If there is no such model, or its keys or shapes do not fit its config.
        """
        folder = resolve_folder(model, "showo")
        config = cls.read_config(folder)
        with torch.device("meta"):
            network = cls(config)
        load_state_into(network, folder, network.adapt_weights)
        return network

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a file as this network has them, where released files differ from it."""
        return state

    @classmethod
    def read_config(cls, folder: Path) -> Any:
        """Read a model folder's `config.json`.

        Raises:
            UserError: If it is missing, no JSON object, or does not describe this family.
        """
        values = read_config(folder)
        try:
            return cls.config_class.from_dict(values)
        except UserError as error:
            path = folder / "config.json"
            raise UserError(f"{path} describes no {cls.__name__}: {error}") from None

    def save_pretrained(self, folder: Path) -> None:
        """Write `config.json` and `pytorch_model.safetensors` in the released layout."""
        save_checkpoint(Path(folder), self.state_dict(), self.config.to_dict())


class AnswerBlocks(Protocol):
    """Answers and their blocks, as far as `answer_logits` needs them; see `TextBatch`."""

    @property
    def prompt_ids(self) -> Sequence[Sequence[int]]:
        """Ids before each answer."""

    @property
    def answer_ids(self) -> Sequence[Sequence[int]]:
        """Ids of each answer, up to and including its end."""

    @property
    def images(self) -> Tensor:
        """The image of each answer, `(answers, ...)`; see `ImageInput`."""

    @property
    def answer(self) -> Tensor:
        """`(blocks,)`, which answer a block is of."""

    @property
    def start(self) -> Tensor:
        """`(blocks,)`, the answer's token that a block begins with."""

    @property
    def fixed_point(self) -> Tensor:
        """`(blocks, block tokens)`, the answers themselves."""


class TextModel(ImageModel):
    """An `ImageModel` that writes text, too, from left to right.

    One that denoises its text is a `MaskedTextModel`, see `showo_turbo.models.masked_text`.
    """

    @property
    @abstractmethod
    def eot_id(self) -> int:
        """Ends a text."""

    @abstractmethod
    def encode_question(self, text_tokenizer: TextTokenizer | None, question: str) -> list[int]:
        """Ids of a question about an image, in the format that the model was instructed with.

        Args:
            text_tokenizer: The model's text tokenizer, if it has one.
            question: What is asked; a `FollowUp` has the turns before it.
        """

    @abstractmethod
    def begin_text(
        self, images: Tensor | None, prompts: Sequence[Sequence[int]], room: int
    ) -> TextPrefix:
        """Begin to write answers.

        Args:
            images: The image of each row, as `image_input` says, or None for plain text.
            prompts: Text ids of each row.
            room: Tokens that answers and guesses may take at most.
        """

    @abstractmethod
    def answer_logits(
        self, batch: AnswerBlocks, versions: Mapping[str, Tensor], *, fixed_point: bool = False
    ) -> dict[str, Tensor]:
        """Predict every token of every block from the tokens before it; with gradients.

        Args:
            batch: Answers with their images, questions and blocks.
            versions: Names of versions, with the tokens `(blocks, block tokens)` of each.
            fixed_point: Whether to predict from the answers themselves, too.

        Returns:
            For each version, and under `FIXED_POINT` if asked for, `(blocks, block tokens, text
            vocabulary)`: row i predicts the block's token i. Rows after the answer's end are
            arbitrary.
        """

    @abstractmethod
    def language_logits(
        self, texts: Sequence[Sequence[int]], max_length: int
    ) -> tuple[Tensor, Tensor]:
        """Predict plain texts; with gradients.

        Args:
            texts: Text ids of each.
            max_length: Longest sequence in tokens; longer texts are cut.

        Returns:
            Logits `(texts, tokens, text vocabulary)`, of which row i predicts token i + 1, and
            labels `(texts, tokens)`, -100 at padding.
        """

    def story_prompt(
        self, texts: Sequence[Sequence[int]], images: Sequence[Sequence[int]]
    ) -> list[int]:
        """Ids of a story so far: texts, each followed by an image, in turn.

        They are a prompt of their own kind, which goes wherever the ids of prompts do: what is
        drawn or written behind it is the next image or text of the story.

        Args:
            texts: Ids of the texts, the request first.
            images: Codes of the images; as many as texts, so that a text follows, or one fewer, so
                that an image does.

        Raises:
            UserError: If the family tells no stories.
        """
        raise UserError(f"{type(self).__name__} tells no stories; name a model that does")

    def begin_stories(self, prompts: Sequence[Sequence[int]], room: int) -> StoryPrefix:
        """Begin to tell stories.

        Args:
            prompts: Each story so far, as `story_prompt` gives it.
            room: Tokens that are to be added at most, guesses included.

        Raises:
            UserError: If the family tells no stories.
        """
        raise UserError(f"{type(self).__name__} tells no stories; name a model that does")
