"""Pretraining of Show-o: masked image tokens, answers about images, and plain text."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from ..models.magvitv2 import MAGVITv2
from ..models.showo import Showo, ShowoSizes
from ..models.showo.sequences import IGNORE, Sequences
from ..sampling.autoregressive import autoregressive_decode
from ..sampling.text_decoding import TextDecoding
from .geometry import data_resolution
from .pretraining import Pretraining


class PretrainShowo(Pretraining):
    """Train Show-o from scratch or onwards from a checkpoint.

    Three streams, each optional in a batch: `image` (image and caption: predict the masked image
    tokens), `text` (image, question and answer: predict the answer) and `language` (text: predict
    the next token). All else is as in `Pretraining`.

    Args:
        showo: Sizes of a network that starts from random weights; those that follow from the
            tokenizers and the images need not be given.
        **options: Those of `Pretraining`.

    Source: Show-o (arXiv 2408.12528), section 3.3.
    """

    family: ClassVar[str] = "showo"

    def __init__(self, showo: ShowoSizes | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.sizes = showo or ShowoSizes()

    def load_network(self, model: str) -> Showo:
        """The network of a model."""
        return Showo.from_pretrained(model)

    def new_network(self, image_tokenizer: MAGVITv2) -> Showo:
        """A network with random weights."""
        sizes = self.sizes.completed(
            image_tokenizer.config,
            self.text_tokenizer,
            data_resolution(self),
            self.image_tokenizer_id,
        )
        return Showo(sizes)

    def sizes_of(self) -> dict[str, Any]:
        """All sizes of the network, as plain values."""
        sizes = asdict(ShowoSizes.of(self._network().config))
        if self.vision_encoder_id is not None:
            sizes["vision_encoder"] = self.vision_encoder_id
        return sizes

    def _network(self) -> Showo:
        assert isinstance(self.model, Showo)  # from configure_model on
        return self.model

    def _masked_logits(
        self, prompts: Sequence[Sequence[int]], codes: Tensor, masked: Tensor
    ) -> Tensor:
        model = self._network()
        sequences = model.sequences.text_to_image(prompts, codes)
        image = model.hidden_states_of(sequences)[:, -codes.shape[1] - 1 : -1]
        return model.logits(image[masked], model.vocabulary.image_rows)

    def _text_loss(self, stream: dict[str, Any]) -> Tensor:
        model, images = self._network(), self._encode_asked_images(stream["pixels"])
        prompts = self._encode_questions(stream["question"])
        answers = [self.text_tokenizer.encode(answer) for answer in stream["answer"]]
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

    def _answer(self, stream: dict[str, Any]) -> Sequence[str]:
        model, questions = self._network(), self._encode_questions(stream["question"])
        room = model.config.text_room - max(map(len, questions))
        results = autoregressive_decode(
            model,
            self._encode_asked_images(stream["pixels"]),
            questions,
            max_new_tokens=max(1, min(TextDecoding.max_new_tokens, room)),
        )
        return [self.text_tokenizer.decode(result.tokens) for result in results]
