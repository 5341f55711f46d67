"""Stories: texts and images in turn, `lvg (sot text eot soi image* eoi)* sot eot`.

All is causal, but that the tokens of an image see each other both ways, and none of another image:
every image is a bidirectional block of its own. The empty text behind an image ends a story. A
story so far, as `story_ids` gives it, is a prompt by itself: its task token tells.

Source: mixed-modality generation of Show-o (arXiv 2408.12528), sections 3.1 and 4.4; the masks are
those of its released code for several images, the format is ours where the paper gives none.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError
from ..layout import Layout, padded_left
from .vocabulary import Vocabulary


def story_ids(
    vocabulary: Vocabulary, texts: Sequence[Sequence[int]], images: Sequence[Sequence[int]]
) -> list[int]:
    """Ids of a story so far.

    Args:
        vocabulary: Token ids.
        texts: Ids of the texts, the request first.
        images: Codes of the images.

    Returns:
        `lvg (sot text eot soi image* eoi)* sot` for as many images as texts, so that a text
        follows; for one fewer, `... sot text eot`, so that an image follows.

    Raises:
        ValueError: If there are others, or no text.
    """
    if not texts or len(texts) - len(images) not in (0, 1):
        raise ValueError(f"there are {len(texts)} texts and {len(images)} images, not in turn")
    v = vocabulary
    ids = [v.lvg_id]
    for number, text in enumerate(texts):
        ids += [v.sot_id, *text, v.eot_id]
        if number < len(images):
            codes = (int(code) + v.image_offset for code in images[number])
            ids += [v.soi_id, *codes, v.eoi_id]
    return [*ids, v.sot_id] if len(texts) == len(images) else ids


def begins_story(prompt: Sequence[int], vocabulary: Vocabulary) -> bool:
    """Whether a prompt is a story so far, and not a text."""
    return bool(len(prompt)) and prompt[0] == vocabulary.lvg_id


def are_stories(prompts: Sequence[Sequence[int]], vocabulary: Vocabulary) -> bool:
    """Whether prompts are stories so far.

    Raises:
        UserError: If only some of them are.
    """
    found = {begins_story(prompt, vocabulary) for prompt in prompts}
    if len(found) > 1:
        raise UserError("a batch has stories and other prompts; expected one kind, divide it")
    return found == {True}


def text_follows(prompt: Sequence[int], vocabulary: Vocabulary) -> bool:
    """Whether what follows a story so far is a text; else it is an image."""
    return len(prompt) > 1 and prompt[-2] == vocabulary.eoi_id


def blocks_of(ids: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Which tokens form a bidirectional block, as `Layout` wants it: images and clips.

    Args:
        ids: `(batch, tokens)`.
        vocabulary: Token ids.

    Returns:
        `(batch, tokens)`: n at the tokens of the nth image or clip, its first and last token
        included, and 0 elsewhere.
    """
    v = vocabulary
    first = (ids == v.soi_id) | (ids == v.sov_id)
    last = (ids == v.eoi_id) | (ids == v.eov_id)
    begun, ended = first.cumsum(dim=1), F.pad(last, (1, -1)).cumsum(dim=1)
    return begun * (begun > ended)


def training_stories(
    vocabulary: Vocabulary, rows: Sequence[Sequence[int]], device: torch.device
) -> tuple[Tensor, Tensor, Layout]:
    """Stories to train on, padded on the left.

    Args:
        vocabulary: Token ids.
        rows: Ids of each, the last image with masked tokens or whole.
        device: Where the tensors go.

    Returns:
        Ids `(batch, tokens)`; `(batch, tokens)` bool, the tokens that the one before predicts: all
        behind the first image that are not an image's own, so the texts from the second on with
        their ends, the `sot` before and the `soi` behind each; and the layout.
    """
    v = vocabulary
    ids, padding = padded_left(rows, v.pad_id, None, device)
    behind_first = (ids == v.eoi_id).cumsum(dim=1) > 0
    written = behind_first & ((ids < v.text_size) | (ids == v.soi_id))
    return ids, written, Layout(blocks_of(ids, v), padding)
