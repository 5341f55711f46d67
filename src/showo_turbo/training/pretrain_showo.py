"""Pretraining of Show-o: masked image tokens, answers about images, and plain text."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.caption_questions import LEARN_QUESTION
from ..errors import UserError
from ..inference.loading import image_side
from ..models.magvitv2 import MAGVITv2
from ..models.model_config import video_frames
from ..models.showo import Showo, ShowoSizes, SizeChanges, start_from_phi
from ..models.showo.sequences import IGNORE, Sequences
from ..sampling.options import check_choice
from ..utils.lightning_internals import trainer_of
from ..utils.random import uniform
from .geometry import data_resolution
from .masking import mask_frame_by_frame
from .pretraining import Pretraining
from .story_losses import EncodedStory, story_length, story_losses

Trained = Literal["all", "projector"]


class PretrainShowo(Pretraining):
    """Train Show-o from scratch or onwards from a checkpoint.

    Four streams, each optional in a batch: `image` (image and caption: predict the masked image
    tokens), `text` (image, question and answer: predict the answer), `language` (text: predict
    the next token) and `story` (texts and images in turn: predict the masked tokens of the last
    image, and all texts but the request). Of stories, a share of the texts is dropped, with all
    that precedes the image; their losses are logged as `train/story_image` and `train/story_text`,
    and have the weights of `image` and `text`. Those that are longer than the model's longest
    sequence are left out, and counted as `train/stories_left_out`. All else is as in `Pretraining`.

    A model that reads codes becomes one that reads features in two steps, as published: its new
    projector alone learns from captions, then all weights learn from questions.

    Args:
        showo: Sizes of a network that starts from random weights, or from a language model, which
            has some of them; those that follow from the tokenizers and the images need not be
            given. With `initial_weights`, `image_input` and what follows it give a model that reads
            codes a new projector for features.
        changed_sizes: What is otherwise than in the `initial_weights`, such as the tokens of an
            image, to go on at another resolution.
        language_model: A Phi to start from, a folder or a hub id such as `microsoft/phi-1_5`; see
            `start_from_phi`.
        trained: Whether all weights are trained, or only the `projector` of features.
        frame_by_frame: Share of clips that are masked frame by frame, see `mask_frame_by_frame`; of
            the others any tokens are masked. Needed to go on from a first frame, and to generate
            `by_frame`.
        as_captions: Whether the answers of the stream `text` are learned as captions, which answer
            no question; their questions are left out.
        **options: Those of `Pretraining`.

    Raises:
        UserError: If only the projector is to be trained, but there is none, or a stream that it
            has no part in.

    Source: Show-o (arXiv 2408.12528), sections 3.3 and 4, and its released code.
    """

    family: ClassVar[str] = "showo"

    def __init__(
        self,
        showo: ShowoSizes | None = None,
        changed_sizes: SizeChanges | None = None,
        language_model: str | None = None,
        trained: Trained = "all",
        as_captions: bool = False,
        frame_by_frame: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.sizes = showo or ShowoSizes()
        self.changed_sizes = changed_sizes
        self.language_model = language_model
        if changed_sizes is not None and self.initial_weights is None:
            raise UserError(
                "changed_sizes are given, but no initial_weights whose sizes they change; name "
                "some, or give the sizes under showo"
            )
        if language_model is not None and self.initial_weights is not None:
            raise UserError(
                f"both initial_weights {self.initial_weights} and language_model {language_model} "
                "are given; expected one to start from, leave one of them out"
            )
        for kind in ("image", "text"):
            self.weights[f"story_{kind}"] = self.weights[kind]
        check_choice(Trained, trained=trained)
        self.trained = trained
        self.as_captions = as_captions
        if not 0 <= frame_by_frame <= 1:
            raise UserError(f"frame_by_frame is {frame_by_frame}; expected a share, set it to 0..1")
        self.frame_by_frame = frame_by_frame

    def load_network(self, model: str) -> Showo:
        """The network of a model, with changed sizes, and a new projector, if they ask for one."""
        network = Showo.from_pretrained(model)
        if self.changed_sizes is not None:
            assert self.image_tokenizer is not None  # loaded before the network
            resolution = data_resolution(self) or image_side(network, self.image_tokenizer)
            images = self.image_tokenizer.config
            network = network.resized(self.changed_sizes.over(network.config, images, resolution))
        if self.sizes.image_input not in (ShowoSizes.image_input, network.image_input.kind):
            network.read_features(self.sizes.features)
        return network

    def configure_model(self) -> None:
        """Build or load the networks, once, and freeze what is not trained."""
        super().configure_model()
        if self.frame_by_frame and not video_frames(self._network().config):
            raise UserError(
                f"frame_by_frame is {self.frame_by_frame}, but the model generates images, not "
                "clips; set it to 0, or video_frames of changed_sizes to a clip's latent frames"
            )
        if self.trained == "projector":
            network = self._network()
            self._check_projector(network)
            network.requires_grad_(False)
            network.mm_projector.requires_grad_(True)

    def _check_projector(self, network: Showo) -> None:
        """Raise if the projector cannot be trained alone.

        Raises:
            UserError: If there is none, or a stream that it has no part in.
        """
        if not network.image_input.continuous:
            raise UserError(
                "trained is 'projector', but the model reads images as codes and has none; set "
                "showo.image_input to clip or latents, or train all"
            )
        data = getattr(trainer_of(self), "datamodule", None)
        idle = [name for name in getattr(data, "batch_sizes", {}) if name != "text"]
        if idle:
            raise UserError(
                f"trained is 'projector', but there is a batch size for {' and '.join(idle)}, where"
                f" the projector has no part; set {' and '.join(idle)} of batch_sizes to 0"
            )

    def new_network(self, image_tokenizer: MAGVITv2) -> Showo:
        """A network with random weights, or those of a language model."""
        sizes = self.sizes.completed(
            image_tokenizer.config,
            self.text_tokenizer,
            data_resolution(self),
            self.image_tokenizer_id,
        )
        if self.language_model is not None:
            return start_from_phi(self.language_model, sizes)
        return Showo(sizes)

    def sizes_of(self) -> dict[str, Any]:
        """All sizes of the network, as plain values."""
        sizes = asdict(ShowoSizes.of(self._network().config))
        if self.vision_encoder_id is not None:
            sizes["vision_encoder"] = self.vision_encoder_id
        return sizes

    def _network(self) -> Showo:
        return cast(Showo, self.model)  # from configure_model on

    def _masked(self, codes: Tensor, seeds: Sequence[int]) -> Tensor:
        masked = super()._masked(codes, seeds)
        if not self.frame_by_frame:
            return masked
        network = self._network()
        frames = video_frames(network.config)
        by_frame = mask_frame_by_frame(codes, network.mask_code, seeds, frames)
        chosen = [uniform(seed, stream="frame by frame") < self.frame_by_frame for seed in seeds]
        return torch.where(torch.tensor(chosen, device=codes.device)[:, None], by_frame, masked)

    def _masked_logits(
        self, prompts: Sequence[Sequence[int]], codes: Tensor, masked: Tensor
    ) -> Tensor:
        model = self._network()
        sequences = model.sequences.text_to_image(prompts, codes)
        image = model.hidden_states_of(sequences)[:, -codes.shape[1] - 1 : -1]
        return model.logits(image[masked], model.vocabulary.image_rows)

    def losses_of(self, name: str, stream: dict[str, Any]) -> dict[str, Tensor]:
        """The losses of one stream of a batch; see `Pretraining`."""
        if name != "story":
            return super().losses_of(name, stream)
        return story_losses(self._network(), self._fitting(self._encode_stories(stream)))

    def _encode_stories(self, stream: dict[str, Any]) -> list[EncodedStory]:
        """The stories with their images encoded as one batch."""
        counts = list(map(len, stream["pixels"]))
        pixels = torch.stack([own for story in stream["pixels"] for own in story])
        codes = self._encode_images(pixels).split(counts)
        encode = self.text_tokenizer.encode
        return [
            EncodedStory([encode(text) for text in texts], own, seed, self._drops(seed))
            for texts, own, seed in zip(stream["texts"], codes, stream["seed"], strict=True)
        ]

    def _fitting(self, stories: Sequence[EncodedStory]) -> list[EncodedStory]:
        """The stories that are not too long.

        Raises:
            UserError: If all are.
        """
        model = self._network()
        most = model.config.max_position_embeddings
        fitting = [story for story in stories if story_length(model, story) <= most]
        if left_out := len(stories) - len(fitting):
            self._leave_out(
                "stories",
                left_out,
                len(stories),
                f"more than {most} tokens, the longest sequence of this model",
                "give shorter ones or raise max_position_embeddings",
            )
        return fitting

    def _text_loss(self, stream: dict[str, Any]) -> Tensor:
        model, images = self._network(), self._encode_asked_images(stream["pixels"])
        tokenizer = self.text_tokenizer
        if self.as_captions:
            captions = [model.encode_caption(tokenizer, text) for text in stream["answer"]]
            prompts, answers = map(list, zip(*captions, strict=True))
        else:
            prompts = self._encode_questions(stream["question"])
            answers = [model.encode_answer(tokenizer, text) for text in stream["answer"]]
        for place, learned in enumerate(stream.get(LEARN_QUESTION, ())):
            if learned and not model.image_input.continuous:
                # Where the prompt is empty the whole text is the answer.
                answers[place] = [*prompts[place], *answers[place]]
                prompts[place] = []
        sequences = model.understanding(images, prompts, answers)
        return self._next_token_loss(sequences, model.embeddings_of(sequences, images))

    def _language_loss(self, stream: dict[str, Any]) -> Tensor:
        texts = [self.text_tokenizer.encode(text) for text in stream["text"]]
        sequences = self._network().sequences.language(texts, self.max_language_length, self.device)
        return self._next_token_loss(sequences)

    def _next_token_loss(self, sequences: Sequences, embeddings: Tensor | None = None) -> Tensor:
        model, labels = self._network(), sequences.labels[:, 1:]
        counted = labels != IGNORE
        hidden = model.hidden_states_of(sequences, embeddings)[:, :-1][counted]
        logits = model.logits(hidden, model.vocabulary.text_rows)
        return F.cross_entropy(logits.float(), labels[counted])
