"""How answers are decoded: one choice of options over the text samplers."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from ..errors import UserError
from ..models.masked_text import MaskedTextModel
from ..models.protocols import ImageModel, TextPrefix
from ..models.registry import text_model
from .autoregressive import TextResult, autoregressive_decode
from .block_diffusion import TextDenoising, TextRevealOrder, block_diffusion_decode
from .changes import Changes, changes_class
from .jacobi import BlockStart, Driver, check_blocks, jacobi_decode
from .options import check_choice, check_temperature, check_top_p, check_whole

DecodingMethod = Literal["jacobi", "autoregressive", "block_diffusion"]

_OF_DIFFUSION = ("sampling_steps", "reveal_order", "guidance_scale")
_OF_OTHERS = ("top_k", "top_p", "driver", "block_start", "forward_tokens")


@dataclass(frozen=True)
class TextDecoding:
    """How answers are written.

    Args:
        method: `jacobi` guesses several tokens at once and corrects them in parallel;
            `autoregressive` writes one token per forward pass. Greedy, both give the same answer.
            `block_diffusion` denoises block after block, which models do whose text is masked
            diffusion, and only they.
        max_new_tokens: Longest answer in tokens.
        driver: Of Jacobi decoding: `window` always guesses a block's length ahead; `block` settles
            a block of tokens before it guesses the next, as published.
        block_size: Tokens that Jacobi decoding guesses at once; of block diffusion, tokens of a
            block, a divisor of `max_new_tokens`.
        temperature: 0 takes the likeliest token; above, tokens are sampled, autoregressively and by
            block diffusion only.
        top_k: Sample only from the k likeliest tokens, autoregressively only.
        top_p: Sample only from the likeliest tokens that together reach this probability,
            autoregressively only.
        block_start: Where Jacobi decoding draws its first guesses from: all text tokens of the
            `vocabulary`, or those of the `prompt`, as published. It changes the work, but no
            answer.
        sampling_steps: Of block diffusion, denoising steps of all blocks together, each of which
            has as many; one a token by default.
        reveal_order: Of block diffusion: with `confidence` the surest tokens are revealed first,
            with `random` any.
        guidance_scale: Of block diffusion, w of classifier-free guidance, which doubles the work.
        forward_tokens: Of Jacobi decoding by the `window` driver, tokens that a forward pass may
            compute for all answers of a batch, see `jacobi_decode`, for hardware that a large batch
            of whole windows keeps busy. By default `block_size` of each answer. It changes the
            work, but no answer.
    """

    method: DecodingMethod = "jacobi"
    max_new_tokens: int = 96
    driver: Driver = "window"
    block_size: int = 16
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    block_start: BlockStart = "vocabulary"
    sampling_steps: int | None = None
    reveal_order: TextRevealOrder = "confidence"
    guidance_scale: float = 0.0
    forward_tokens: int | None = None

    def check(self) -> None:
        """Raise on combinations that mean nothing.

        Raises:
            UserError: Naming the value and the remedy.
        """
        check_choice(DecodingMethod, method=self.method)
        check_blocks(self.block_size, self.driver, self.block_start, self.forward_tokens)
        check_whole(max_new_tokens=self.max_new_tokens, top_k=self.top_k)
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")
        check_temperature(temperature=self.temperature)
        check_top_p(self.top_p)
        of_drawing = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        for name, value in of_drawing.items():
            if self.method == "jacobi" and value:
                raise UserError(
                    f"{name} is {value}, but Jacobi decoding is greedy; choose method "
                    f"'autoregressive' or leave {name} out"
                )
        if self.method == "block_diffusion":
            self.denoising.check()
        for name in _OF_OTHERS if self.method == "block_diffusion" else _OF_DIFFUSION:
            value = getattr(self, name)
            if value != getattr(TextDecoding, name):
                raise UserError(
                    f"{name} is {value}, which method {self.method!r} does not have; leave it out"
                )

    def check_for(self, model: ImageModel) -> None:
        """Raise on what the model cannot do, too.

        Raises:
            UserError: If an option is out of range, the model does not write text this way, or
                answers of full length, which block diffusion computes, do not fit.
        """
        self.check()
        writer = text_model(model, "decoding text")
        self.check_method(type(writer))
        room = writer.config.text_room
        if self.method == "block_diffusion" and self.max_new_tokens >= room:
            raise UserError(
                f"max_new_tokens is {self.max_new_tokens}, but question and answer together have "
                f"at most {room} tokens in this model; give fewer"
            )

    def check_method(self, kind: type[ImageModel]) -> None:
        """Raise on a method for text of the other kind than models of a family write.

        Raises:
            UserError: Naming the method to choose.
        """
        if issubclass(kind, MaskedTextModel) and self.method != "block_diffusion":
            raise UserError(
                f"method is {self.method!r}, but {kind.__name__} denoises its text, and does not "
                "write it from left to right; choose method 'block_diffusion'"
            )
        if not issubclass(kind, MaskedTextModel) and self.method == "block_diffusion":
            raise UserError(
                f"method 'block_diffusion' needs a model whose text is denoised, but "
                f"{kind.__name__} writes from left to right; choose method 'jacobi' or "
                "'autoregressive'"
            )

    @property
    def denoising(self) -> TextDenoising:
        """The options of block diffusion."""
        return TextDenoising(
            self.max_new_tokens,
            self.block_size,
            self.sampling_steps,
            self.reveal_order,
            self.guidance_scale,
            self.temperature,
        )

    def lookahead(self) -> int:
        """Tokens that a forward pass may compute beyond the longest answer, or at once."""
        return 1 if self.method == "autoregressive" else self.block_size

    def decode(
        self,
        model: ImageModel,
        images: Tensor | None,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        prefix: TextPrefix | None = None,
        *,
        at_once: int | None = None,
        done: Callable[[int], None] | None = None,
    ) -> Sequence[TextResult]:
        """Write the answers of a batch.

        Args:
            model: Network in eval mode.
            images: The image of each sample, as the model's `image_input` says, or none for plain
                text.
            prompts: Text ids of each sample, as `encode_question` gives them.
            seeds: One a sample.
            prefix: What the answers continue, in place of the images and prompts; not for block
                diffusion.
            at_once: Of Jacobi decoding, answers in progress at most; see `jacobi_decode`.
            done: Likewise.

        Raises:
            UserError: If an option is out of range, or the model does not write text.
        """
        self.check_for(model)
        if self.method == "block_diffusion":
            return block_diffusion_decode(model, images, prompts, self.denoising, seeds)
        if self.method == "jacobi":
            return jacobi_decode(
                model,
                images,
                prompts,
                max_new_tokens=self.max_new_tokens,
                block_size=self.block_size,
                driver=self.driver,
                block_start=self.block_start,
                seeds=seeds,
                prefix=prefix,
                forward_tokens=self.forward_tokens,
                at_once=at_once,
                done=done,
            )
        return autoregressive_decode(
            model,
            images,
            prompts,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            seeds=seeds,
            prefix=prefix,
        )


def decoding_of(kind: type[ImageModel], decoding: TextDecoding | None) -> TextDecoding | None:
    """How models of a family answer: as they are meant to, by the one method that theirs has.

    Args:
        kind: The family.
        decoding: How they are meant to, if that is known.

    Returns:
        `decoding`; for a family whose text is denoised, by block diffusion in any case.
    """
    if not issubclass(kind, MaskedTextModel):
        return decoding
    return replace(decoding or TextDecoding(), method="block_diffusion")


def _adapt(before: TextDecoding, changed: TextDecoding, given: Mapping[str, Any]) -> TextDecoding:
    """Where only the length of answers is changed, block diffusion keeps its pace in whole blocks.

    Blocks become smaller rather than answers longer: of 30 tokens in blocks of 16, two of 15.
    """
    length, size = changed.max_new_tokens, changed.block_size
    check_whole(max_new_tokens=length, block_size=size)
    if (
        changed.method != "block_diffusion"
        or "max_new_tokens" not in given
        or given.keys() & {"block_size", "sampling_steps"}
        or min(length, size) < 1  # which `check` tells
    ):
        return changed
    blocks = math.ceil(length / size)
    size = length // blocks
    steps = changed.sampling_steps
    if steps is not None:
        steps = blocks * max(1, round(size * steps / before.max_new_tokens))
    return replace(changed, max_new_tokens=blocks * size, block_size=size, sampling_steps=steps)


REFINED_BY = {
    "method": ("temperature", "top_k", "top_p", *_OF_DIFFUSION),
    "temperature": ("top_k", "top_p"),
}
"""For an option those that only refine it: who gives it gives them up."""

if TYPE_CHECKING:

    class DecodingChanges(Changes[TextDecoding]):
        """Changes over a `TextDecoding`, with the same fields."""

        def __init__(self, **changes: Any) -> None: ...

else:
    DecodingChanges = changes_class(
        TextDecoding, "DecodingChanges", __name__, refined_by=REFINED_BY, adapt=_adapt
    )
