"""Optimizers that torch does not have."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from .muon import muon_step


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Split what is trained into hidden matrices and all else, as optimizer groups.

    Every torch optimizer takes the groups; `MuonWithAdamW` treats them differently by their key
    `hidden_matrices`.

    Args:
        module: Of its parameters, those that require a gradient are taken. Embeddings and output
            heads (`lm_head`, or of an embedding's shape), vectors and convolutions are no hidden
            matrices.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Embedding)]
    shapes = {layer.weight.shape for layer in layers}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            hidden = parameter.ndim == 2 and parameter.shape not in shapes
            (matrices if hidden and "lm_head" not in name else others).append(parameter)
    groups = [
        {"params": matrices, "hidden_matrices": True},
        {"params": others, "hidden_matrices": False},
    ]
    return [group for group in groups if group["params"]]


class MuonWithAdamW(Optimizer):
    """Muon for the hidden matrices, AdamW for embeddings, heads, biases and norms.

    Muon's updates are scaled to the size of AdamW's, so that one learning rate and one schedule
    serve both.

    Args:
        params: Groups of `parameter_groups`; a group without the key `hidden_matrices`, and plain
            parameters, go to AdamW.
        lr: Learning rate.
        weight_decay: Decoupled weight decay.
        momentum: Of Muon.
        betas: Of AdamW.

    Source: Muon (https://kellerjordan.github.io/posts/muon/); the scale is that of Moonlight
    (arXiv 2502.16982), section 2.2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        muon = Muon(
            [torch.empty(1, 1)],
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        adamw = AdamW([torch.empty(1)], lr=lr, weight_decay=weight_decay, betas=betas)
        self._adamw = adamw
        super().__init__(params, {**muon.defaults, **adamw.defaults, "hidden_matrices": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with each of the two."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["hidden_matrices"]:
                muon_step(group, self.state)
        self._adamw.state = self.state
        self._adamw.param_groups = [
            group for group in self.param_groups if not group["hidden_matrices"]
        ]
        self._adamw.step()
        return loss
