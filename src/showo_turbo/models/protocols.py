"""What a model family offers: all that samplers, collectors, training and commands know of it.

A family is a class of networks, built from its configuration alone, with all its weights in its
state dict. It generates images (`ImageModel`); a family that writes text as well is a `TextModel`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..text_tokenizer import TextTokenizer
from .answer_blocks import FIXED_POINT, AnswerBlocks
from .checkpoints import load_state_into, read_config, resolve_folder, save_checkpoint
from .image_input import ImageInput
from .model_config import ModelConfig
from .prefixes import ImagePrefix, TextPrefix, WholeSequences, with_noise
from .stories import StoryPrefix

__all__ = [
    "FIXED_POINT",
    "AnswerBlocks",
    "ImageModel",
    "ImagePrefix",
    "ModelConfig",
    "StoryPrefix",
    "TextModel",
    "TextPrefix",
    "WholeSequences",
    "with_noise",
]


class ImageModel(nn.Module, ABC):
    """A masked generator of images.

    Args:
        config: Sizes.

    Attributes:
        config_class: Class of the configuration, a `ModelConfig`.
        config_members: What a configuration needs besides `from_dict` and `to_dict`.
        config: The configuration.
        null_prompt: The prompt of the unconditional image, which guidance moves away from.
    """

    config_class: ClassVar[type[ModelConfig]]
    config_members: ClassVar[tuple[str, ...]] = tuple(
        name for name, member in vars(ModelConfig).items() if isinstance(member, property)
    )
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

    def add_noise(self, size: int, scale: float = 0.0) -> None:
        """Read noise from now on.

        Args:
            size: Numbers of noise for an image, and for each of its tokens.
            scale: Standard deviation of what each masked token reads at first, as a share of that
                of the embeddings; 0 leaves the network as it is.

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
            text: What to generate.

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

    def gradient_checkpointing_enable(self, elementwise: bool = False) -> None:
        """Recompute activations in the backward pass instead of storing them.

        Args:
            elementwise: Recompute all but matrix products and attention, see `checkpoint_options`.

        Raises:
            UserError: If the family cannot.
        """
        raise UserError(f"{type(self).__name__} stores all activations; leave out the option")

    def flex_attention_enable(self) -> None:
        """Train whole sequences with FlexAttention, on GPUs.

        Raises:
            UserError: If the family cannot.
        """
        raise UserError(f"{type(self).__name__} has no FlexAttention; leave flex_attention out")

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
            UserError: If it is missing, no JSON object, or does not describe this family; or if
                the family's configuration lacks what a `ModelConfig` has.
        """
        values = read_config(folder)
        try:
            config = cls.config_class.from_dict(values)
        except UserError as error:
            path = folder / "config.json"
            raise UserError(f"{path} describes no {cls.__name__}: {error}") from None
        missing = [name for name in cls.config_members if not hasattr(config, name)]
        if missing:
            raise UserError(
                f"{type(config).__name__}, the configuration of {cls.__name__}, lacks "
                f"{', '.join(missing)}; it needs all of showo_turbo.models.model_config.ModelConfig"
            )
        return config

    def save_pretrained(self, folder: Path) -> None:
        """Write `config.json` and `pytorch_model.safetensors` in the released layout."""
        save_checkpoint(Path(folder), self.state_dict(), self.config.to_dict())


class TextModel(ImageModel):
    """An `ImageModel` that writes text, too, from left to right.

    One that denoises its text is a `MaskedTextModel`, see `showo_turbo.models.masked_text`.
    """

    config_members = (*ImageModel.config_members, "text_vocabulary_size", "text_room")

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
        self,
        batch: AnswerBlocks,
        versions: Mapping[str, Tensor],
        *,
        chains: Mapping[str, Tensor] = MappingProxyType({}),
        fixed_point: bool = False,
    ) -> dict[str, Tensor]:
        """Predict every token of every block from the tokens before it; with gradients.

        Args:
            batch: Answers with their images, questions and blocks.
            versions: Names of versions, with the tokens `(blocks, block tokens)` of each. Before
                each block is what the answer has there.
            chains: Likewise, of versions before each of whose blocks are the others of the same
                version.
            fixed_point: Whether to predict from the answers themselves, too.

        Returns:
            For each version and chain, and under `FIXED_POINT` if asked for, `(blocks, block
            tokens, text vocabulary)`: row i predicts the block's token i. Rows after the answer's
            end are arbitrary.
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
        generated or written behind it is the next image or text of the story.

        Args:
            texts: Ids of the texts, the request first.
            images: Codes of the images; as many as texts, so that a text follows, or one fewer, so
                that an image does.

        Raises:
            UserError: If the family tells no stories.
        """
        raise UserError(f"{type(self).__name__} tells no stories; name a model that does")

    @property
    def story_delimiters(self) -> tuple[int, int]:
        """Tokens that a text of a story takes beside its own, and those of an image.

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
