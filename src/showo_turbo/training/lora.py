"""Training low-rank adapters instead of all weights."""

import os
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import UserError
from ..models.lora import SCALING
from ..models.protocols import ImageModel
from ..utils.random import stateless_seed


@dataclass(frozen=True)
class LoRAOptions:
    """Low-rank adapters (LoRA, arXiv 2106.09685); everything else is frozen.

    Args:
        rank: Inner size of the adapters.
        alpha: They count `alpha / rank` times; twice the rank if missing.
        modules: Names of the linear layers that get one, in every block of the transformer; all
            if missing.
        dropout: Part of what goes into the adapters that is left out in training; 0 or more, and
            below 1.
    """

    rank: int = 16
    alpha: float | None = None
    modules: tuple[str, ...] | None = None
    dropout: float = 0.0


def seed_step(step: int, batch_index: int, rank: int) -> None:
    """Seed PyTorch's generators for what a training step drops, on all devices.

    Their state is not in checkpoints. A function of the step and of `seed_everything` (0 without
    it) needs none: a run that is resumed draws what it would have drawn.

    Args:
        step: Number of the optimizer's step.
        batch_index: Number of the batch in its epoch; several may make one step.
        rank: Of the process, each of which drops other inputs.
    """
    seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
    torch.manual_seed(stateless_seed(seed, step, batch_index, rank, stream="dropout"))


def add_lora(network: ImageModel, options: LoRAOptions) -> None:
    """Put adapters into a network, which computes the same until they are trained.

    Args:
        network: Is changed; of its parameters, only the adapters require a gradient afterwards.
        options: Which adapters.

    Raises:
        UserError: If `peft` is missing, the family has no layers for adapters, the rank is not
            positive, the dropout is out of range, or there is no such layer.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError(
            'LoRA needs the package peft; install it with: pip install "showo-turbo[lora]"'
        ) from None
    if options.rank < 1:
        raise UserError(f"the rank of LoRA is {options.rank}; it must be at least 1")
    if not 0 <= options.dropout < 1:
        raise UserError(
            f"the dropout of LoRA is {options.dropout}; it must be 0 or more, and below 1"
        )
    layers, owner = network.lora_layers()
    known = {
        name.rpartition(".")[2]
        for name, module in layers.named_modules()
        if isinstance(module, nn.Linear)
    }
    modules = known if options.modules is None else set(options.modules)
    if not modules or modules - known:
        wrong = min(modules - known, default="nothing")
        raise UserError(f"LoRA is to adapt {wrong}; name layers among {', '.join(sorted(known))}")
    alpha = 2 * options.rank if options.alpha is None else options.alpha
    config = LoraConfig(
        r=options.rank,
        lora_alpha=alpha,  # type: ignore[arg-type]
        target_modules=sorted(modules),
        lora_dropout=options.dropout,
    )
    network.requires_grad_(False)
    inject_adapter_in_model(config, layers)
    owner.register_buffer(SCALING, torch.tensor(alpha / options.rank))
