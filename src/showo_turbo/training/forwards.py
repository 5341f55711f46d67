"""Training forwards of the student and of its targets: logits where a loss looks at them."""

from collections.abc import Sequence

import torch
from torch import Tensor

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

    Args:
        model: Network.
        prompting: Builds the sequences.
        batch: The images, prompts and answer prefixes that the blocks continue.
        blocks: Versions of the block, each `(batch, block tokens)`; they share one forward.

    Returns:
        For each version `(batch, block tokens, text vocabulary)`: row i predicts token i.
    """
    size = blocks[0].shape[1]
    texts, starts = [], []
    for block in blocks:
        rows = zip(batch.prompt_ids, batch.prefix_ids, block.tolist(), strict=True)
        for prompt, prefix, tokens in rows:
            texts.append([*prompt, *prefix, *tokens])
            starts.append(len(prompt) + len(prefix))
    codes = batch.image_codes.repeat(len(blocks), 1)
    sequences = prompting.understanding(codes, texts)
    hidden = model.hidden_states(sequences.input_ids, sequences.attention_mask)
    # A text's `sot` follows `mmu soi image eoi`, and token i of it stands one place further.
    first = torch.tensor(starts, device=hidden.device) + codes.shape[1] + 3
    place = first[:, None] + torch.arange(size, device=hidden.device)
    chosen = hidden.gather(1, place[..., None].expand(-1, -1, hidden.shape[-1]))
    return list(model.logits(chosen, model.vocabulary.text_rows).chunk(len(blocks)))
