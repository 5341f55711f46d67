"""Lookup-free quantizer (LFQ) of MAGVIT-v2 (Yu et al., arXiv 2310.05737, section 3.1).

Every latent channel is one bit, its sign; a code is the integer that the bits spell, the first
channel being the most significant.
"""

import torch
from torch import Tensor, nn

from ...errors import UserError


class LookupFreeQuantizer(nn.Module):
    """Turn latents into signs and codes, and codes back into signs.

    The two buffers could be computed from `bits`, but the released checkpoints hold them.

    Args:
        bits: Latent channels; the codebook has `2 ** bits` codes.

    Attributes:
        embedding: `(2 ** bits, bits)` signs of every code.
        power_vals: `(bits,)` place value of every channel, the largest first.
    """

    embedding: Tensor
    power_vals: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        power_vals = 2 ** torch.arange(bits - 1, -1, -1)
        codes = torch.arange(2**bits)
        is_set = (codes[:, None] & power_vals) != 0
        self.register_buffer("power_vals", power_vals)
        self.register_buffer("embedding", is_set.float() * 2 - 1)

    @property
    def bits(self) -> int:
        """Number of latent channels."""
        return self.power_vals.shape[0]

    def forward(self, latents: Tensor) -> Tensor:
        """Return the signs of `(batch, bits, rows, columns)` with the gradient of the latents.

        The gradient passes straight through (Bengio et al., arXiv 1308.3432). Zero counts as -1.
        """
        signs = torch.where(latents > 0, 1.0, -1.0).to(latents.dtype)
        return latents + (signs - latents).detach()

    def latents_to_codes(self, latents: Tensor) -> Tensor:
        """Return the codes `(batch, tokens)` of latents `(batch, bits, *grid)`."""
        is_set = (latents > 0).flatten(2).long()
        # Not the buffer: an average over buffers may have rounded 4096 down to 4095.
        places = 2 ** torch.arange(self.bits - 1, -1, -1, device=latents.device)
        return (is_set * places[:, None]).sum(dim=1)

    def codes_to_signs(self, codes: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Return the signs `(batch, bits, *grid)` of codes `(batch, tokens of the grid)`.

        Raises:
            UserError: If a code lies outside of the codebook.
        """
        size = self.embedding.shape[0]
        outside = codes[(codes < 0) | (codes >= size)]
        if outside.numel():
            raise UserError(
                f"image code {int(outside[0])} lies outside of the codebook 0..{size - 1}; "
                "subtract the vocabulary's image offset and decode only finished images, "
                "without mask tokens"
            )
        signs = self.embedding[codes].transpose(1, 2)
        return signs.reshape(*signs.shape[:2], *grid)
