"""Networks that are sharded over processes, layer by layer: FSDP2."""

from datetime import timedelta
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.constants import default_pg_timeout
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from ..errors import UserError
from ..models.protocols import ImageModel
from ..utils.lightning_internals import shard_over_all, trainer_of

FORWARDS = ("image_logits", "text_logits", "answer_logits", "language_logits", "append")
"""What training and decoding ask of a network: each gathers the weights that it needs."""


class FullySharded(ModelParallelStrategy):
    """Shards the networks of `ShowoTurbo` over all processes (FSDP2), in place of copies on each.

    Weights stay float32, and are gathered layer by layer; unlike `FSDPStrategy` it goes together
    with `backward_by_stream`, knows a family's layers by itself, and writes checkpoints by parts,
    one of each process, from which another number of processes can go on.

    Args:
        save_distributed_checkpoint: Whether each process writes its part of a checkpoint, which is
            a folder then; else the first writes all of it into a file.
        process_group_backend: By default the one for the accelerator.
        timeout: How long processes wait for one another.

    Source: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
    """

    def __init__(
        self,
        save_distributed_checkpoint: bool = True,
        process_group_backend: str | None = None,
        timeout: timedelta | None = default_pg_timeout,
    ) -> None:
        super().__init__("auto", 1, save_distributed_checkpoint, process_group_backend, timeout)

    def setup_environment(self) -> None:
        """Set the processes up, all of them as one dimension."""
        shard_over_all(self)
        super().setup_environment()

    def setup(self, trainer: Trainer) -> None:
        """Look for what is sharded; Lightning would train copies that drift apart.

        Raises:
            UserError: If nothing is.
        """
        module = self.lightning_module
        assert module is not None  # the trainer has set it
        if not any(isinstance(parameter, DTensor) for parameter in module.parameters()):
            raise UserError(
                f"{type(self).__name__} shards the networks of ShowoTurbo, but "
                f"{type(module).__name__} has none that are sharded; use DDPStrategy or "
                "FSDPStrategy"
            )
        super().setup(trainer)


def shard(module: LightningModule, network: ImageModel) -> None:
    """Shard a network in place, where the strategy of a module's trainer says so.

    Raises:
        UserError: If the strategy splits single layers, or the family names no layers.
    """
    mesh = _mesh_of(module)
    if mesh is None:
        return
    for layer in network.lora_layers()[0].children():
        fully_shard(layer, mesh=mesh)
    fully_shard(network, mesh=mesh)
    for name in FORWARDS:
        if hasattr(network, name):
            register_fsdp_forward_method(network, name)


def is_fully_sharded(network: object) -> bool:
    """Whether a network has been sharded here."""
    return isinstance(network, FSDPModule)


def family_of(network: ImageModel) -> type[ImageModel]:
    """The class of a network, which is another one once it has been sharded."""
    kinds = (kind for kind in type(network).__mro__ if not issubclass(kind, FSDPModule))
    return cast(type[ImageModel], next(kinds))


def whole_state(network: ImageModel) -> dict[str, Any]:
    """The whole state dict of a sharded network, in the first process; every one must call this."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_model_state_dict(network, options=options)


def take_whole_state(network: ImageModel, state: dict[str, Tensor]) -> None:
    """Give a sharded network a whole state dict, which every process has."""
    set_model_state_dict(network, {**state}, options=StateDictOptions(full_state_dict=True))


def _mesh_of(module: LightningModule) -> DeviceMesh | None:
    """The processes that a module's networks are sharded over."""
    trainer = trainer_of(module)
    if trainer is None or not isinstance(trainer.strategy, ModelParallelStrategy):
        return None
    mesh = trainer.strategy.device_mesh
    if mesh["tensor_parallel"].size() > 1:
        raise UserError(
            f"{type(trainer.strategy).__name__} splits single layers over "
            f"{mesh['tensor_parallel'].size()} devices, which these networks are not made for; use "
            "showo_turbo.training.sharding.FullySharded, or tensor_parallel_size 1"
        )
    return mesh["data_parallel"]
