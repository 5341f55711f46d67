"""Pretraining of MMaDA: masked image tokens, masked answers about images, and masked plain text."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from ..errors import UserError
from ..losses.masked_text import masked_text_loss
from ..models.magvitv2 import MAGVITv2
from ..models.mmada import MMaDA, MMaDASizes
from ..sampling.text_decoding import TextDecoding
from .geometry import data_resolution
from .masking import mask_texts
from .pretraining import Pretraining


class PretrainMMaDA(Pretraining):
    """Train MMaDA from scratch or onwards from a checkpoint.

    Three streams, each optional in a batch: `image` (image and caption: predict the masked image
    tokens), `text` (image, question and answer: predict masked tokens of the answer and of what
    fills it up) and `language` (text: predict its masked tokens). All else is as in `Pretraining`.

    Three things are otherwise than published: tokens of text are predicted among the rows of text
    alone, as they are decoded; the `bos` before a plain text is given, not masked; and plain texts
    are filled up to the longest of their batch.

    Args:
        mmada: Sizes of a network that starts from random weights; those that follow from the
            tokenizers and the images need not be given.
        decoding: How validation answers are written, by block diffusion; `max_new_tokens` is the
            length that answers are filled to, and cut to, in training, too.
        **options: Those of `Pretraining`.

    Source: MMaDA (arXiv 2505.15809), section 3.1; `masked_text_loss`.
    """

    family: ClassVar[str] = "mmada"

    def __init__(
        self,
        mmada: MMaDASizes | None = None,
        decoding: TextDecoding = TextDecoding(method="block_diffusion"),
        **options: Any,
    ) -> None:
        super().__init__(decoding=decoding, **options)
        if decoding.method != "block_diffusion":
            raise UserError(
                f"method of decoding is {decoding.method!r}, but MMaDA denoises its text; choose "
                "'block_diffusion'"
            )
        self.sizes = mmada or MMaDASizes()

    def load_network(self, model: str) -> MMaDA:
        """The network of a model."""
        return MMaDA.from_pretrained(model)

    def new_network(self, image_tokenizer: MAGVITv2) -> MMaDA:
        """A network with random weights."""
        sizes = self.sizes.completed(
            image_tokenizer.config,
            self.text_tokenizer,
            data_resolution(self),
            self.image_tokenizer_id,
        )
        return MMaDA(sizes)

    def sizes_of(self) -> dict[str, Any]:
        """All sizes of the network, as plain values."""
        return asdict(MMaDASizes.of(self._network().config))

    def _network(self) -> MMaDA:
        return cast(MMaDA, self.model)  # from configure_model on

    def _text_loss(self, stream: dict[str, Any]) -> Tensor:
        model = self._network()
        answers = [
            [*self.text_tokenizer.encode(answer), model.eot_id] for answer in stream["answer"]
        ]
        images = self._encode_asked_images(stream["pixels"])
        prompts = self._encode_questions(stream["question"])
        length = self.decoding.max_new_tokens
        return self._masked_loss(images, prompts, answers, length, stream["seed"])

    def _language_loss(self, stream: dict[str, Any]) -> Tensor:
        end, longest = self._network().filler_id, self.max_language_length - 1
        texts = [[*self.text_tokenizer.encode(text), end][:longest] for text in stream["text"]]
        length = max(map(len, texts))
        return self._masked_loss(None, [[] for _ in texts], texts, length, stream["seed"])

    def _masked_loss(
        self,
        images: Tensor | None,
        prompts: Sequence[Sequence[int]],
        texts: Sequence[Sequence[int]],
        length: int,
        seeds: Sequence[int],
    ) -> Tensor:
        """The loss of texts that are filled up, or cut, to a length and masked at random."""
        model = self._network()
        rows = [[*text, *[model.filler_id] * length][:length] for text in texts]
        tokens = torch.tensor(rows, device=model.device)
        noised = mask_texts(tokens, model.text_mask_id, seeds)
        logits = model.text_logits(images, prompts, noised.tokens)
        return masked_text_loss(
            logits, noised.labels, noised.mask_probability, noised.maskable
        ).mean
