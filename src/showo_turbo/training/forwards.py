"""Training forwards of the student and of its targets: logits where a loss looks at them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..models.showo import Showo
from ..prompting import UnifiedPrompting
from ..trajectories.batch import TextBatch


def image_logits(
    model: Showo, prompting: UnifiedPrompting, prompts: Sequence[Sequence[int]], codes: Tensor
) -> Tensor:
    """Predict every image token of a state, masked or not.

    Args:
        model: Network.
        prompting: Builds the sequences.
        prompts: Text ids of each sample.
        codes: `(batch, image_tokens)`, `mask_code` where masked.

    Returns:
        `(batch, image_tokens, codebook)`.
    """
    batch = prompting.text_to_image(prompts, codes)
    hidden = model.hidden_states(batch.input_ids, batch.attention_mask, batch.position_ids)
    return model.logits(hidden[:, -codes.shape[1] - 1 : -1], model.vocabulary.image_rows)


def block_logits(
    model: Showo, prompting: UnifiedPrompting, batch: TextBatch, blocks: Sequence[Tensor]
) -> list[Tensor]:
    """Predict every token of a text block from the tokens before it, for several versions of it.

    All versions of a sample ride behind one copy of what precedes them (image, prompt and answer
    so far, by far the most of the sequence) and do not see each other, which gives what a sequence
    of its own for each would give.

    Args:
        model: Network.
        prompting: Builds the sequences.
        batch: The images, prompts and answer prefixes that the blocks continue.
        blocks: Versions of the block, each `(batch, block tokens)`.

    Returns:
        For each version `(batch, block tokens, text vocabulary)`: row i predicts token i.
    """
    pairs = zip(batch.prompt_ids, batch.prefix_ids, strict=True)
    shared = prompting.understanding(batch.image_codes, [[*p, *prefix] for p, prefix in pairs])
    # Token i is predicted at token i - 1: the first one at the end of the shared part, and nothing
    # at the last.
    versions = torch.cat([block[:, :-1] for block in blocks], dim=1)
    width = blocks[0].shape[1] - 1
    real = ~shared.padding
    lengths = real.sum(dim=1, keepdim=True)
    place = torch.arange(width, device=lengths.device)
    hidden = model.hidden_states(
        torch.cat([shared.input_ids, versions], dim=1),
        _mask_of_versions(shared.attention_mask, real, width, len(blocks)),
        torch.cat([shared.position_ids, (lengths + place).repeat(1, len(blocks))], dim=1),
    )
    start = shared.input_ids.shape[1]
    logits = []
    for version in range(len(blocks)):
        columns = (start + version * width + place).expand(len(lengths), -1)
        columns = torch.cat([lengths - 1, columns], dim=1)[..., None]
        chosen = hidden.gather(1, columns.expand(-1, -1, hidden.shape[-1]))
        logits.append(model.logits(chosen, model.vocabulary.text_rows))
    return logits


def _mask_of_versions(shared: Tensor, real: Tensor, width: int, versions: int) -> Tensor:
    """Extend a mask by several continuations that see the real shared tokens and their own past.

    Args:
        shared: `(batch, 1, tokens, tokens)` bool, the mask among the shared tokens.
        real: `(batch, tokens)` bool, shared tokens that are no padding.
        width: Tokens of a continuation.
        versions: Number of continuations.

    Returns:
        `(batch, 1, tokens + versions * width, tokens + versions * width)` bool.
    """
    past = torch.ones(width, width, dtype=torch.bool, device=real.device).tril()
    own = torch.block_diag(*[past] * versions).expand(len(real), 1, -1, -1)
    behind = torch.cat([real[:, None, None].expand(-1, 1, versions * width, -1), own], dim=-1)
    return torch.cat([functional.pad(shared, (0, versions * width)), behind], dim=-2)
