"""What of a layer is computed again in the backward pass, instead of being kept."""

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import create_selective_checkpoint_contexts

_aten: Any = torch.ops.aten
PRODUCTS = [
    _aten.mm.default,
    _aten.addmm.default,
    _aten.bmm.default,
    _aten._scaled_dot_product_flash_attention.default,
    _aten._scaled_dot_product_flash_attention_for_cpu.default,
    _aten._scaled_dot_product_efficient_attention.default,
    _aten._scaled_dot_product_cudnn_attention.default,
    _aten._scaled_dot_product_attention_math.default,
]
"""Matrix products and attention, nearly all of the work of a layer."""


def checkpoint_options(elementwise: bool) -> dict[str, Any]:
    """Options of `torch.utils.checkpoint.checkpoint`.

    Args:
        elementwise: Whether the results of matrix products and of attention are kept, and only the
            rest is computed again: norms, activation functions, and copies in autocast's type,
            those of the weights among them. Otherwise a layer's input is kept.
    """
    if not elementwise:
        return {"use_reentrant": False}
    contexts = partial(create_selective_checkpoint_contexts, PRODUCTS)
    return {"use_reentrant": False, "context_fn": contexts}
