"""Tokens that go through a network, and the operations that they take."""

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..models.protocols import ImageModel


class CountedLayers:
    """Counts what goes through the layers of a network, forward and backward.

    Operations are two for each multiplication with a weight of a layer and within attention; a
    backward pass takes twice those of the forward pass, and once where the weights are frozen.
    Embeddings and the output head are not counted, nor what is recomputed to save memory.

    Args:
        network: Its `lora_layers` are the layers; of one that does not say, nothing is counted.

    Attributes:
        tokens: Tokens so far, those of every forward pass, padding included.
        operations: Operations so far.

    Source: model FLOPs utilization of PaLM (arXiv 2204.02311), appendix B.
    """

    def __init__(self, network: ImageModel) -> None:
        self.tokens = self.operations = 0
        try:
            layers = list(network.lora_layers()[0].children())
        except UserError:
            layers = []
        matrices = [p for layer in layers for p in layer.parameters() if p.ndim == 2]
        self._weights = sum(matrix.numel() for matrix in matrices)
        self._trained = any(matrix.requires_grad for matrix in matrices[:1])
        self._layers = len(layers)
        if layers:
            layers[0].register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if torch._C._current_graph_task_id() != -1:  # in a backward pass: a layer is recomputed
            return
        hidden: Tensor = args[0] if args else named["hidden_states"]
        batch, length, width = hidden.shape
        forward = 2 * batch * length * (self._weights + 2 * length * width * self._layers)
        times = (3 if self._trained else 2) if torch.is_grad_enabled() else 1
        self.tokens += batch * length
        self.operations += times * forward
