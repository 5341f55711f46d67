"""Show-o: one Phi transformer over text and image tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor

from ...errors import UserError
from ...text_tokenizer import TextTokenizer
from ..image_input import ImageInput
from ..prompts import required_tokenizer
from ..protocols import AnswerBlocks
from .answer_forward import answer_logits
from .config import ShowoConfig
from .features import check_projector, new_projector, put_features, understanding_features
from .interleaved import are_stories, begins_story, story_ids
from .noise import NoiseEmbedding
from .prefixes import CachedImagePrefix, CachedTextPrefix
from .sequences import Prefixes, Sequences, UnifiedPrompting, format_conversation
from .story_prefix import CachedStories
from .transformer import CachedPhi

_OF_THE_VOCABULARY = (
    "showo.model.embed_tokens.weight",
    "showo.lm_head.weight",
    "showo.lm_head.bias",
)
"""Weights that have a row a token."""


class Showo(CachedPhi):
    """Phi with QK-norm over the joint vocabulary; denoises image tokens and writes text.

    Image positions predict their own token (unshifted), text positions the next one (shifted).

    Args:
        config: Sizes.

    Source: Show-o (arXiv 2408.12528); the state dict is key for key that of the released files.
    """

    config_class: ClassVar[type[ShowoConfig]] = ShowoConfig

    def __init__(self, config: ShowoConfig) -> None:
        super().__init__(config)
        self.vocabulary = config.vocabulary
        video = bool(config.video_frames)
        self.sequences = UnifiedPrompting(config.vocabulary, config.max_text_length, video=video)
        if config.reads.continuous:
            self._add_projector()
        if config.noise_size:
            self.noise = NoiseEmbedding(config.noise_size, config.hidden_size)

    def resized(self, config: ShowoConfig) -> "Showo":
        """A network of other sizes with these weights.

        Raises:
            RuntimeError: If a weight depends on a size that is another.
        """
        network = Showo(config).to(self.device, self.dtype)
        network.load_state_dict(self.state_dict())
        return network

    def _add_projector(self) -> None:
        # Named by its keys in the released checkpoints.
        self.mm_projector = new_projector(self.config.reads.width, self.config.hidden_size)

    @property
    def image_input(self) -> ImageInput:
        """How it is given the images that it is asked about."""
        return self.config.reads

    @property
    def longest_prompt(self) -> int:
        """Most text ids of a prompt; `sot` and `eot` are not counted."""
        return self.config.max_text_length - 2

    @property
    def eot_id(self) -> int:
        """Ends a text."""
        return self.vocabulary.eot_id

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights without the row that students of the released code have too many.

        That code gives a student a row beyond the vocabulary, which stands for no token.

        Raises:
            UserError: If the network reads features and there is no projector for them.
        """
        if self.config.reads.continuous:
            check_projector(state, self.config.reads)
        size = self.vocabulary.size
        rows = {key: state[key].shape[:1] for key in _OF_THE_VOCABULARY if key in state}
        surplus = [key for key, count in rows.items() if count == (size + 1,)]
        return state | {key: state[key][:size].clone() for key in surplus}

    def encode_prompt(self, text_tokenizer: TextTokenizer | None, text: str) -> list[int]:
        """Text ids of a prompt, without special tokens."""
        return required_tokenizer(self, text_tokenizer).encode(text)

    def encode_question(self, text_tokenizer: TextTokenizer | None, question: str) -> list[int]:
        """Ids of a question as the released models were instructed.

        Where images are features, the system prompt comes first, then `soi eoi`, between which the
        features go.
        """
        tokenizer, v = required_tokenizer(self, text_tokenizer), self.vocabulary
        continuous = self.config.reads.continuous
        turns = format_conversation(question, line_break=not continuous)
        *earlier, last = map(tokenizer.encode, turns)
        ids = [*(i for turn in earlier for i in (*turn, v.eot_id)), *last]
        if continuous:
            return [*tokenizer.encode(self.config.system_prompt), v.soi_id, v.eoi_id, *ids]
        return ids

    def null_prompt_of(self, prompt: Sequence[int]) -> Sequence[int]:
        """The empty prompt, or the story of an empty text."""
        return story_ids(self.vocabulary, [[]], []) if begins_story(prompt, self.vocabulary) else ()

    def encode_answer(self, text_tokenizer: TextTokenizer | None, answer: str) -> list[int]:
        """Ids of an answer to learn, without its end.

        Where images are features, a space is between the question and the answer, as published.
        """
        text = f" {answer}" if self.config.reads.continuous else answer
        return required_tokenizer(self, text_tokenizer).encode(text)

    def encode_caption(
        self, text_tokenizer: TextTokenizer | None, caption: str
    ) -> tuple[list[int], list[int]]:
        """Ids of a caption to learn that answers no question, and of what comes before it.

        There is neither a system prompt nor a question; a line break is at the caption's end.

        Returns:
            The prompt, as `encode_question` gives one, and the caption without its end.
        """
        v = self.vocabulary
        prompt = [v.soi_id, v.eoi_id] if self.config.reads.continuous else []
        return prompt, required_tokenizer(self, text_tokenizer).encode(f"{caption}\n")

    @property
    def noise_size(self) -> int:
        """Numbers of noise that an image, and each of its tokens, reads; 0 for none."""
        return self.config.noise_size

    def add_noise(self, size: int, scale: float = 0.0) -> None:
        """Read noise from now on; see `ImageModel` and `NoiseEmbedding`."""
        self.config = replace(self.config, noise_size=size)
        self.noise = NoiseEmbedding(size, self.config.hidden_size).to(self.device, self.dtype)
        if scale:
            embeddings = self.showo.model.embed_tokens.weight.detach()
            self.noise.perturb(scale * float(embeddings.float().std()))

    def read_features(self, features: Mapping[str, Any]) -> None:
        """Be asked about features of images from now on, through a projector with random weights.

        Args:
            features: What changes of the configuration: `image_input` and what belongs to it.

        Raises:
            UserError: If features are read already, or a size is out of range.
        """
        if self.config.reads.continuous:
            raise UserError(
                f"image_input is {features['image_input']!r}, but the model reads images as "
                f"{self.config.image_input!r} already; name a model that reads codes, or leave "
                "image_input out"
            )
        self.config = replace(self.config, **features)
        self._add_projector()
        self.mm_projector.to(self.device, self.dtype)

    def image_logits(
        self, prompts: Sequence[Sequence[int]], codes: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Predict every image token of a state; see `ImageModel.image_logits`."""
        sequences = self.sequences.text_to_image(prompts, codes)
        embeddings = None if noise is None else self.noisy(sequences.input_ids, codes, noise)
        hidden = self.hidden_states_of(sequences, embeddings)
        return self.logits(hidden[:, -codes.shape[1] - 1 : -1], self.vocabulary.image_rows)

    def noisy(self, input_ids: Tensor, codes: Tensor, noise: Tensor) -> Tensor:
        """Embeddings of a sequence that ends with `image* eoi`, with noise on its masked tokens.

        Args:
            input_ids: `(batch, tokens)`.
            codes: `(batch, image_tokens)`.
            noise: `(batch, 1 + image_tokens, noise_size)`.
        """
        embeddings = self.showo.model.embed_tokens(input_ids)
        return self.noise.add_to(embeddings, noise, codes == self.mask_code, end=1)

    def begin_images(
        self, prompts: Sequence[Sequence[int]], noise: Tensor | None = None
    ) -> CachedImagePrefix:
        """Begin to decode images; see `ImageModel.begin_images`."""
        return CachedImagePrefix.behind(self, prompts, noise)

    def begin_text(
        self, images: Tensor | None, prompts: Sequence[Sequence[int]], room: int
    ) -> CachedTextPrefix:
        """Begin to write answers; see `TextModel.begin_text`."""
        return CachedTextPrefix.behind(self, images, prompts, room)

    def story_prompt(
        self, texts: Sequence[Sequence[int]], images: Sequence[Sequence[int]]
    ) -> list[int]:
        """Ids of a story so far; see `TextModel.story_prompt`.

        Raises:
            UserError: If the network generates clips.
        """
        if self.config.video_frames:
            raise UserError("the model generates clips, not stories; name one of images")
        return story_ids(self.vocabulary, texts, images)

    @property
    def story_delimiters(self) -> tuple[int, int]:
        """`sot` and `eot` of a text, `soi` and `eoi` of an image."""
        return 2, 2

    def begin_stories(self, prompts: Sequence[Sequence[int]], room: int) -> CachedStories:
        """Begin to tell stories; see `TextModel.begin_stories`."""
        return CachedStories(self, prompts, room)

    def understanding(
        self,
        images: Tensor,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]] | None = None,
    ) -> Sequences:
        """Sequences of questions about images, whatever images are given as, or of stories so far.

        Args:
            images: The image of each sample, as `image_input` says. Stories have theirs in them.
            prompts: Ids of each, as `encode_question` or `story_prompt` gives them.
            answers: Text ids to learn; without them the sequences end with the prompts.

        Raises:
            UserError: If the images are of another kind than this network reads.
        """
        reads = self.config.reads
        if are_stories(prompts, self.vocabulary):
            return self.sequences.story(prompts, answers, self.device)
        reads.check_shape(images)
        if not reads.continuous:
            return self.sequences.understanding(images, prompts, answers)
        return understanding_features(
            self.sequences,
            reads.tokens,
            prompts,
            answers,
            prefix_visible=self.config.prefix_visible,
            device=self.device,
        )

    def text_prefix(self, images: Tensor | None, prompts: Sequence[Sequence[int]]) -> Prefixes:
        """What comes before answers; without images, before the rest of plain texts."""
        stories = are_stories(prompts, self.vocabulary)
        if images is None or stories or not self.config.reads.continuous:
            return self.sequences.text_prefix(images, prompts, self.device)
        return self.understanding(images, prompts).as_prefixes()

    def embeddings_of(
        self, sequences: Sequences | Prefixes, images: Tensor | None
    ) -> Tensor | None:
        """Embeddings `(batch, tokens, hidden)` of sequences in which images are features.

        Args:
            sequences: The sequences.
            images: Features `(batch, image tokens, width)`.

        Returns:
            None for sequences without features, all of whose tokens have embeddings of their own.
        """
        if sequences.features_at is None:
            return None
        assert images is not None  # as the sequences are about some
        embeddings = self.showo.model.embed_tokens(sequences.input_ids)
        projected = self.mm_projector(images.to(embeddings.device, self.dtype))
        return put_features(embeddings, sequences.features_at, projected)

    def answer_logits(
        self,
        batch: AnswerBlocks,
        versions: Mapping[str, Tensor],
        *,
        chains: Mapping[str, Tensor] = MappingProxyType({}),
        fixed_point: bool = False,
    ) -> dict[str, Tensor]:
        """Predict the blocks of answers; see `TextModel.answer_logits`."""
        return answer_logits(self, batch, versions, chains=chains, fixed_point=fixed_point)

    def language_logits(
        self, texts: Sequence[Sequence[int]], max_length: int
    ) -> tuple[Tensor, Tensor]:
        """Predict plain texts; see `TextModel.language_logits`."""
        sequences = self.sequences.language(texts, max_length, self.device)
        hidden = self.hidden_states_of(sequences)
        return self.logits(hidden, self.vocabulary.text_rows), sequences.labels

    def hidden_states_of(self, sequences: Sequences, embeddings: Tensor | None = None) -> Tensor:
        """Run the transformer over whole sequences; `(batch, tokens, hidden)`."""
        layout = sequences.layout
        return self.hidden_states(
            sequences.input_ids, self.mask_of(layout), layout.position_ids, embeddings
        )
