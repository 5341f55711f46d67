"""What autoregressive and Jacobi decoding share: prefixes and the answers so far."""

from collections.abc import Sequence

from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel, TextPrefix
from ..models.registry import text_model


class TextState:
    """Answers in progress, each with its own length. Samples that finish leave the batch.

    Args:
        model: Network in eval mode.
        images: The image of each sample, as the model's `image_input` says, or none for plain text.
        prompts: Text ids of each sample, as `encode_question` gives them.
        max_new_tokens: Longest answer.
        lookahead: Tokens that one forward may feed at most.
        restrict_to_text: Whether only text tokens may be predicted.
        prefix: What the answers continue, in place of the images and prompts.

    Raises:
        UserError: If the model does not write text, there are no prompts, an option is out of
            range, or the model cannot read the images.
    """

    def __init__(
        self,
        model: ImageModel,
        images: Tensor | None,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        lookahead: int,
        restrict_to_text: bool,
        prefix: TextPrefix | None = None,
    ) -> None:
        writer = text_model(model, "decoding text")
        if not prompts:
            raise UserError("there are no prompts; give at least one")
        if max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
        if images is not None:
            writer.image_input.check(images, len(prompts))
        self.eot_id = writer.eot_id
        self.max_new_tokens = max_new_tokens
        self.restrict_to_text = restrict_to_text
        self.answers: list[list[int]] = [[] for _ in prompts]
        self.finished = [False] * len(prompts)
        self.forwards = [0] * len(prompts)
        self.active = list(range(len(prompts)))
        if prefix is None:
            prefix = writer.begin_text(images, prompts, max_new_tokens + lookahead)
        self._prefix = prefix

    def predict(self, guesses: Sequence[Sequence[int]]) -> Tensor:
        """One forward: what follows each active sample's last token and each of its guesses.

        Args:
            guesses: Guessed continuation of each active sample, all of one length g (may be 0).

        Returns:
            Logits `(active, g + 1, candidates)` float32.
        """
        for sample in self.active:
            self.forwards[sample] += 1
        return self._prefix.logits(guesses, restrict_to_text=self.restrict_to_text).float()

    def accept(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append exact tokens to the active samples' answers, and drop those that are done.

        Args:
            tokens: At least one for each active sample; the fed guesses must begin with all of
                them but the last.
        """
        staying = []
        for place, (sample, new) in enumerate(zip(self.active, tokens, strict=True)):
            answer = self.answers[sample]
            for token in new:
                answer.append(token)
                if token == self.eot_id:
                    self.finished[sample] = True
                    break
                if len(answer) == self.max_new_tokens:
                    break
            if not self.finished[sample] and len(answer) < self.max_new_tokens:
                staying.append(place)
        self._prefix.keep(tokens)
        if staying and len(staying) < len(self.active):
            self._prefix.select(staying)
        self.active = [self.active[place] for place in staying]
