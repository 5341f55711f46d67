"""AdamW with moments of 8 bits, from bitsandbytes."""

from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer

from ..errors import UserError


class EightBitAdamW(Optimizer):
    """AdamW whose moments take 2 bytes a parameter in place of 8.

    It is the `AdamW8bit` of bitsandbytes, which scales them by blocks of 256 values. Tensors of
    fewer than 4,096 values keep moments of 32 bits.

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        betas: Of the moments.
        eps: Keeps the division from infinity.
        weight_decay: Decoupled weight decay.

    Raises:
        UserError: If bitsandbytes is not installed.

    Source: 8-bit Optimizers via Block-wise Quantization (arXiv 2110.02861).
    """

    def __new__(  # type: ignore[misc]
        cls,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> Optimizer:
        """Make the optimizer of bitsandbytes."""
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError:
            raise UserError(
                "EightBitAdamW needs the package bitsandbytes; install it with: pip install "
                '"showo-turbo[eight-bit]", or name torch.optim.AdamW'
            ) from None
        made: Optimizer = AdamW8bit(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        return made

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        raise NotImplementedError("__new__ makes an optimizer of another class")  # never called
