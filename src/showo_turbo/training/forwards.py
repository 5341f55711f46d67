"""The training forward of image tokens."""

from collections.abc import Sequence

from torch import Tensor

from ..models.showo import Showo
from ..prompting import UnifiedPrompting


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
