"""How answers are decoded: one choice of options over the text samplers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel
from .autoregressive import TextResult, autoregressive_decode
from .changes import Changes, changes_class
from .jacobi import BlockStart, Driver, check_blocks, jacobi_decode
from .options import check_choice, check_temperature, check_top_p, check_whole

DecodingMethod = Literal["jacobi", "autoregressive"]


@dataclass(frozen=True)
class TextDecoding:
    """How answers are written.

    Args:
        method: `jacobi` guesses several tokens at once and corrects them in parallel;
            `autoregressive` writes one token per forward pass. Greedy, both give the same answer.
        max_new_tokens: Longest answer in tokens.
        driver: Of Jacobi decoding: `window` always guesses a block's length ahead; `block` settles
            a block of tokens before it guesses the next, as published.
        block_size: Tokens that Jacobi decoding guesses at once.
        temperature: 0 takes the likeliest token; above, tokens are drawn, autoregressively only.
        top_k: Draw only among the k likeliest tokens, autoregressively only.
        top_p: Draw only among the likeliest tokens that together reach this probability,
            autoregressively only.
        block_start: Where Jacobi decoding draws its first guesses from: all text tokens of the
            `vocabulary`, or those of the `prompt`, as published. It changes the work, but no
            answer.
    """

    method: DecodingMethod = "jacobi"
    max_new_tokens: int = 96
    driver: Driver = "window"
    block_size: int = 16
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    block_start: BlockStart = "vocabulary"

    def check(self) -> None:
        """Raise on combinations that mean nothing.

        Raises:
            UserError: Naming the value and the remedy.
        """
        check_choice(DecodingMethod, method=self.method)
        check_blocks(self.block_size, self.driver, self.block_start)
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

    def lookahead(self) -> int:
        """Tokens that a forward pass may compute beyond the longest answer."""
        return self.block_size if self.method == "jacobi" else 1

    def decode(
        self,
        model: ImageModel,
        images: Tensor,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
    ) -> Sequence[TextResult]:
        """Write the answers of a batch.

        Args:
            model: Network in eval mode.
            images: The image of each sample, as the model's `image_input` says.
            prompts: Text ids of each sample, as `encode_question` gives them.
            seeds: One a sample.

        Raises:
            UserError: If an option is out of range, or the model does not write text.
        """
        self.check()
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
        )


REFINED_BY = {"method": ("temperature", "top_k", "top_p"), "temperature": ("top_k", "top_p")}
"""For an option those that only refine it: who gives it gives them up."""

if TYPE_CHECKING:

    class DecodingChanges(Changes[TextDecoding]):
        """Changes over a `TextDecoding`, with the same fields."""

        def __init__(self, **changes: Any) -> None: ...

else:
    DecodingChanges = changes_class(
        TextDecoding, "DecodingChanges", __name__, refined_by=REFINED_BY
    )
