"""What autoregressive and Jacobi decoding share: prefixes and the answers so far."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel, TextPrefix
from ..models.registry import text_model

_PLACES = 8
"""An eighth of the places is filled together: what it costs to join them is paid less often."""


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
        at_once: Answers in progress at most; all by default. As some are done, others take their
            places.
        done: Told how many answers have just come to their end.

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
        at_once: int | None = None,
        done: Callable[[int], None] | None = None,
    ) -> None:
        writer = text_model(model, "decoding text")
        if not prompts:
            raise UserError("there are no prompts; give at least one")
        if max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
        if at_once is not None and at_once < 1:
            raise UserError(f"at_once is {at_once}; it must be at least 1")
        if images is not None:
            writer.image_input.check(images, len(prompts))
        self.eot_id = writer.eot_id
        self.max_new_tokens = max_new_tokens
        self.restrict_to_text = restrict_to_text
        self.answers: list[list[int]] = [[] for _ in prompts]
        self.finished = [False] * len(prompts)
        self.forwards = [0] * len(prompts)
        self.active: list[int] = []
        self._writer, self._images, self._prompts = writer, images, prompts
        self._room = max_new_tokens + lookahead
        self._at_once = at_once or len(prompts)
        self._done = done
        self._waiting = list(range(len(prompts)))
        if prefix is None:
            self._prefix = self._next_prefix()
        else:
            self._prefix, self.active, self._waiting = prefix, self._waiting, []

    def predict(self, guesses: Sequence[Sequence[int]]) -> Tensor:
        """One forward: what follows each active sample's last token and each of its guesses.

        Args:
            guesses: Guessed continuation of each active sample, of any length, of none as well.

        Returns:
            Logits `(predictions, candidates)` float32, sample after sample: as many of each as it
            has guesses, and one more.
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
        done = len(self.active) - len(staying)
        if done:
            staying = closed_up(staying)
            if staying:
                self._prefix.select(staying)
            if self._done is not None:
                self._done(done)
        self.active = [self.active[place] for place in staying]
        self._fill_up()

    def _fill_up(self) -> None:
        """Begin answers in the places of those that are done, several at a time."""
        free = self._at_once - len(self.active)
        worthwhile = min(len(self._waiting), max(1, self._at_once // _PLACES))
        if not self._waiting or free < worthwhile:
            return
        if not self.active:
            self._prefix = self._next_prefix()
        elif hasattr(self._prefix, "join"):  # else they wait until all others are done
            self._prefix.join(self._next_prefix())

    def _next_prefix(self) -> TextPrefix:
        """Begin the answers that wait, as many as there are places for."""
        free = self._at_once - len(self.active)
        begun, self._waiting = self._waiting[:free], self._waiting[free:]
        self.active = [*self.active, *begun]
        images = self._images
        if images is not None and len(begun) < len(images):
            images = images[torch.tensor(begun, device=images.device)]
        return self._writer.begin_text(images, [self._prompts[i] for i in begun], self._room)


def closed_up(places: Sequence[int]) -> list[int]:
    """An order of places that leaves most where they are: the last ones fill the gaps.

    Args:
        places: Different ones, ascending.

    Returns:
        The same places. Of n, those below n are at their own index.
    """
    count = len(places)
    at_home = {place for place in places if place < count}
    others = iter([place for place in places if place >= count])
    return [place if place in at_home else next(others) for place in range(count)]
