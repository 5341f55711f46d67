"""The auxiliary network of distribution matching, which learns what the student generates."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.optim import AdamW

from ..errors import UserError
from ..losses.language_model import token_cross_entropy
from ..models.protocols import ImageModel
from .lora import LoRAOptions, add_lora

_Network = TypeVar("_Network", bound=nn.Module)


class Auxiliary:
    """The base model with adapters that learn the distribution of the student's samples.

    It learns in turns with the student: a step of its own AdamW within each of the student's, on
    the very samples that it then judges. Neither its optimizer nor the network belongs to what the
    trainer knows of: clipping, schedules and DDP leave it alone.

    Args:
        base: The frozen model, which keeps all weights but the adapters.
        rank: Of the adapters, which have no effect at first.
        learning_rate: Of AdamW.

    Raises:
        UserError: If the adapters cannot be made; see `add_lora`.
    """

    def __init__(self, base: ImageModel, rank: int, learning_rate: float) -> None:
        self.network = shared_copy(base)
        with torch.random.fork_rng():  # the same in every process, and at no one else's expense
            torch.manual_seed(0)
            add_lora(self.network, LoRAOptions(rank=rank))
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.settings = (rank, learning_rate)
        self.optimizer = AdamW(self.parameters, lr=learning_rate, weight_decay=0.0)

    def learn(self, forward: Callable[[ImageModel], Tensor], labels: Tensor) -> Tensor:
        """Take a step towards the student's own tokens.

        Args:
            forward: Gives a network's logits of samples that are masked in part.
            labels: `(batch, image tokens)`, the samples' tokens that are to be predicted, -100
                elsewhere.

        Returns:
            The cross-entropy before the step, on this process's samples.
        """
        self.network.to(labels.device)
        for moments in self.optimizer.state.values():  # a checkpoint is read before that
            for name in ("exp_avg", "exp_avg_sq"):
                moments[name] = moments[name].to(labels.device)
        with torch.enable_grad():
            loss = token_cross_entropy(forward(self.network), labels).mean
        with torch.autocast(labels.device.type, enabled=False):  # as outside of `training_step`
            loss.backward()
        if distributed.is_initialized():
            for parameter in self.parameters:
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)
                    parameter.grad /= distributed.get_world_size()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """The adapters and their optimizer's moments."""
        adapters = [parameter.detach().cpu() for parameter in self.parameters]
        return {"adapters": adapters, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, with the learning rate that is asked for now.

        Raises:
            UserError: If its adapters have another rank.
        """
        rank, learning_rate = self.settings
        kept = state["adapters"]
        if [value.shape for value in kept] != [own.shape for own in self.parameters]:
            raise UserError(
                f"auxiliary_rank is {rank}, but the checkpoint's adapters have another rank, of "
                f"shape {tuple(kept[0].shape)}; leave auxiliary_rank as it was"
            )
        with torch.no_grad():
            for parameter, value in zip(self.parameters, kept, strict=True):
                parameter.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate


def shared_copy(module: _Network) -> _Network:
    """A copy of a module that has the very same parameters and buffers, in its own submodules."""
    tensors = [*module.parameters(), *module.buffers()]
    return deepcopy(module, {id(tensor): tensor for tensor in tensors})
