"""Muon's step over matrices of one shape at a time, in the precision that the device is fast in."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .precision import bfloat16_devices


def orthogonalize(
    matrices: Tensor, coefficients: tuple[float, float, float], iterations: int, epsilon: float
) -> Tensor:
    """Bring the singular values of matrices close to 1 by Newton-Schulz iterations.

    Args:
        matrices: [count, rows, columns]; the precision is kept.
        coefficients: Of the quintic polynomial a x + b x^3 + c x^5.
        iterations: How often it is applied.
        epsilon: Least Frobenius norm that is divided by.

    Source: Muon (https://kellerjordan.github.io/posts/muon/).
    """
    a, b, c = coefficients
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=epsilon)).contiguous()
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


@torch.no_grad()
def muon_step(group: dict[str, Any], state: dict[Tensor, dict[str, Any]]) -> None:
    """Move an optimizer group's matrices as `torch.optim.Muon` does, in fewer, larger products.

    Torch takes one matrix after the other, always in bfloat16, which a CPU without instructions for
    it emulates. Here matrices of one shape are orthogonalized together, in float32 on such a CPU.

    Args:
        group: With `torch.optim.Muon`'s options, `nesterov` momentum and the learning rate scaled
            to the size of AdamW's updates.
        state: The optimizer's, with a `momentum_buffer` for each matrix.
    """
    alike: dict[Any, list[Tensor]] = defaultdict(list)
    for parameter in group["params"]:
        if parameter.grad is not None:
            alike[(parameter.shape, parameter.device, parameter.dtype)].append(parameter)
    for parameters in alike.values():
        updates = [_momentum(parameter, group, state) for parameter in parameters]
        _move(parameters, updates, group)


def _momentum(
    parameter: Tensor, group: dict[str, Any], state: dict[Tensor, dict[str, Any]]
) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    if "momentum_buffer" not in state[parameter]:
        state[parameter]["momentum_buffer"] = torch.zeros_like(gradient)
    buffer: Tensor = state[parameter]["momentum_buffer"]
    buffer.lerp_(gradient, 1 - group["momentum"])
    return gradient.lerp(buffer, group["momentum"])


def _move(parameters: Sequence[Tensor], updates: Sequence[Tensor], group: dict[str, Any]) -> None:
    dtype = torch.bfloat16 if updates[0].device.type in bfloat16_devices() else torch.float32
    directions = orthogonalize(
        torch.stack(list(updates)).to(dtype),
        group["ns_coefficients"],
        group["ns_steps"],
        group["eps"],
    )
    scale = 0.2 * max(parameters[0].shape) ** 0.5
    for parameter, direction in zip(parameters, directions, strict=True):
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(direction.to(parameter.dtype), alpha=group["lr"] * scale)
