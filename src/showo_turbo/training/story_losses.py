"""What Show-o learns of stories: the masked tokens of an image, and all texts but the request."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.showo import Showo
from ..models.showo.interleaved import training_stories
from ..models.showo.sequences import IGNORE, Sequences
from .masking import mask_codes


class EncodedStory(NamedTuple):
    """The beginning of a story.

    Attributes:
        texts: Text ids; one more than images, and empty, where it is the end.
        codes: `(images, image_tokens)`.
        seed: Of what is masked.
        dropped: Whether all that precedes its last image is left out, which teaches the
            unconditional image; not where it is the end.
    """

    texts: list[list[int]]
    codes: Tensor
    seed: int
    dropped: bool

    @property
    def is_drawn(self) -> bool:
        """Whether its last image is to be generated, and it does not come to its end."""
        return len(self.texts) == len(self.codes)


def story_losses(model: Showo, stories: Sequence[EncodedStory]) -> dict[str, Tensor]:
    """The losses of a batch of stories, with gradients; each the mean over its tokens.

    Args:
        model: The network.
        stories: Those that it has room for.

    Returns:
        `story_image`, the cross-entropy of the masked tokens of the last images, where there are
        some; and `story_text`, that of the texts from the second on with what surrounds them, where
        there are some.
    """
    v = model.vocabulary
    drawn = [story for story in stories if story.is_drawn]
    masked = targets = torch.zeros(0, model.config.image_tokens)
    if drawn:
        targets = torch.stack([story.codes[-1] for story in drawn])
        masked = mask_codes(targets, model.mask_code, [story.seed for story in drawn])
    states = iter(masked)
    rows = [story_row(model, own, next(states) if own.is_drawn else None) for own in stories]
    ids, written, layout = training_stories(v, rows, model.device)
    labels = torch.where(written, ids, IGNORE)
    hidden = model.hidden_states_of(Sequences(ids, labels, layout))
    losses = {}
    if drawn:
        logits = model.logits(hidden[ids == v.mask_id], v.image_rows)
        wanted = targets[masked == model.mask_code]
        losses["story_image"] = F.cross_entropy(logits.float(), wanted)
    if written.any():
        # `soi` behind a text is learned as well, so all tokens are scored.
        logits = model.logits(hidden[:, :-1][written[:, 1:]])
        losses["story_text"] = F.cross_entropy(logits.float(), ids[written])
    return losses


def story_row(model: Showo, story: EncodedStory, masked: Tensor | None) -> list[int]:
    """Ids of a story.

    Args:
        model: The network.
        story: The story.
        masked: `(image_tokens,)` codes that take the place of its last image; None at its end.
    """
    texts, images = story.texts, story.codes.tolist()
    if masked is None:
        return [*model.story_prompt(texts[:-1], images), model.eot_id]
    ids = model.story_prompt([[]], [])
    if not story.dropped:
        ids = model.story_prompt(texts, images[:-1])
    return [*ids, *model.sequences.image(masked[None])[0].tolist()]


def story_length(model: Showo, story: EncodedStory) -> int:
    """Tokens of a story."""
    return len(story_row(model, story, story.codes[-1] if story.is_drawn else None))
