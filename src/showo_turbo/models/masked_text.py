"""Text that is denoised as images are, instead of written from left to right."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

from torch import Tensor

from ..errors import UserError
from .protocols import AnswerBlocks, TextModel


class MaskedTextModel(TextModel):
    """A `TextModel` whose text is masked diffusion: tokens of an answer are known in any order.

    Such a family offers `encode_question`, `eot_id`, `text_mask_id` and `text_logits`, and
    `end_ids` and `filler_id` if more than one token ends its texts. What asks for tokens from left
    to right, `begin_text`, `answer_logits` and `language_logits`, it does not have.
    """

    @property
    @abstractmethod
    def text_mask_id(self) -> int:
        """Stands for a masked token of text; never a part of an answer."""

    @property
    def end_ids(self) -> Sequence[int]:
        """Ids that end a text."""
        return (self.eot_id,)

    @property
    def filler_id(self) -> int:
        """Ends a plain text, and fills what follows the end of a shorter one in training."""
        return self.eot_id

    @abstractmethod
    def text_logits(
        self,
        images: Tensor | None,
        prompts: Sequence[Sequence[int]],
        answers: Tensor,
        columns: slice | Tensor = slice(None),
        *,
        unconditional: Tensor | None = None,
        restrict_to_text: bool = True,
    ) -> Tensor:
        """Predict tokens of a state of answers, masked or not; with gradients.

        Args:
            images: The image of each row, as `image_input` says, or None for plain text.
            prompts: Text ids of each row, as `encode_question` gives them.
            answers: `(rows, answer tokens)`, `text_mask_id` where unknown.
            columns: Tokens of the answers to predict: the same of each row, or their places
                `(rows, columns)`; all by default.
            unconditional: `(rows,)` bool, rows whose prompt, the image included, is masked as a
                whole, which guidance moves away from; none by default.
            restrict_to_text: Whether only text tokens are scored, of which the mask may be one.

        Returns:
            `(rows, columns, candidates)`; a candidate's place is its id.
        """

    def begin_text(
        self, images: Tensor | None, prompts: Sequence[Sequence[int]], room: int
    ) -> NoReturn:
        """Raise: answers are not written from left to right."""
        raise self._has_no("decoding from left to right", "choose method 'block_diffusion'")

    def answer_logits(
        self,
        batch: AnswerBlocks,
        versions: Mapping[str, Tensor],
        *,
        chains: Mapping[str, Tensor] = MappingProxyType({}),
        fixed_point: bool = False,
    ) -> NoReturn:
        """Raise: there is no token that depends on those before it alone."""
        raise self._has_no("Jacobi iterates", "leave out the stream text")

    def language_logits(self, texts: Sequence[Sequence[int]], max_length: int) -> NoReturn:
        """Raise: there is no next token."""
        raise self._has_no("next-token predictions", "leave out the stream language")

    def _has_no(self, what: str, remedy: str) -> UserError:
        return UserError(f"{type(self).__name__} denoises its text, and has no {what}; {remedy}")
