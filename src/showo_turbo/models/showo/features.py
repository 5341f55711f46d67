"""Show-o over continuous features of images: their projector, and the sequences that hold them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ...errors import UserError
from ..image_input import ImageInput
from ..layout import Layout
from .sequences import Sequences, UnifiedPrompting
from .vocabulary import Vocabulary

_PROJECTOR = "mm_projector."
"""How the keys of the projector begin."""


def new_projector(width: int, hidden_size: int) -> nn.Sequential:
    """What makes embeddings `(..., hidden_size)` of features `(..., width)`.

    Source: the code of Show-o (arXiv 2408.12528), which takes it from LLaVA (arXiv 2310.03744).
    """
    return nn.Sequential(
        nn.Linear(width, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
    )


def check_projector(state: Mapping[str, Tensor], image_input: ImageInput) -> None:
    """Raise on weights of a network that reads features, if the projector is not among them.

    Args:
        state: Weights by their names.
        image_input: What the configuration says.

    Raises:
        UserError: Naming what says that there is one.
    """
    if any(key.startswith(_PROJECTOR) for key in state):
        return
    key = "w_clip_vit" if image_input.kind == "clip" else "image_input"
    raise UserError(
        f"config.json says that the model reads features of images ({key}), but its weights have "
        f"no projector ({_PROJECTOR}*); restore both from where they come from"
    )


def put_features(embeddings: Tensor, features_at: Tensor, projected: Tensor) -> Tensor:
    """Embeddings of sequences with the projected features of images at their places.

    Args:
        embeddings: `(batch, tokens, hidden)`.
        features_at: `(batch, tokens)` bool, as many of each sample as an image has features.
        projected: `(batch, features, hidden)`.
    """
    return embeddings.masked_scatter(features_at[..., None], projected.to(embeddings.dtype))


def understanding_features(
    prompting: UnifiedPrompting,
    tokens: int,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]] | None = None,
    *,
    prefix_visible: bool = False,
    device: torch.device | None = None,
) -> Sequences:
    """`mmu system soi feature* eoi question [answer eot] [pad]*`.

    Features are seen by every token, before and after them; all else is causal. There is no
    `sot`. Labels cover the answer and its `eot`.

    Args:
        prompting: Knows the token ids.
        tokens: Features an image; their ids are padding, and mean nothing.
        prompts: `system soi eoi question` of each sample, as `encode_question` gives them: the
            features go between `soi` and `eoi`.
        answers: Text ids to learn; without them the sequence ends with the prompt.
        prefix_visible: Whether what comes before the features is seen by every token, too.
        device: Where the tensors go.

    Raises:
        UserError: If a prompt has no place for the image.

    Source: the prompting and masks of the code of Show-o (arXiv 2408.12528) for CLIP; before
    2024-09-19 it had `prefix_visible`.
    """
    v = prompting.vocabulary
    begins = [_place_of_image(prompt, v) + len(("mmu",)) for prompt in prompts]
    rows = [
        [v.mmu_id, *prompt[: begin - 1], *[v.pad_id] * tokens, *prompt[begin - 1 :]]
        for prompt, begin in zip(prompts, begins, strict=True)
    ]
    given = list(map(len, rows))
    if answers is not None:
        pairs = zip(rows, answers, strict=True)
        rows = [[*row, *answer, v.eot_id] for row, answer in pairs]
    ids, labels, padding = prompting.right_padded(rows, given, None, device)
    columns = torch.arange(ids.shape[1], device=device)
    first = torch.tensor(begins, device=device)[:, None]
    before_end = columns < first + tokens
    features_at = before_end & (columns >= first)
    visible = before_end if prefix_visible else features_at
    layout = Layout(torch.zeros_like(ids), padding, visible=visible)
    return Sequences(ids, labels, layout, features_at)


def _place_of_image(prompt: Sequence[int], vocabulary: Vocabulary) -> int:
    """Where in a prompt the features of the image go, between `soi` and `eoi`.

    Raises:
        UserError: If there is no such place.
    """
    place = prompt.index(vocabulary.soi_id) + 1 if vocabulary.soi_id in prompt else 0
    if not place or list(prompt[place : place + 1]) != [vocabulary.eoi_id]:
        raise UserError(
            "a prompt has no place for its image; expected soi and eoi behind the system prompt, "
            "encode the question with encode_question"
        )
    return place
