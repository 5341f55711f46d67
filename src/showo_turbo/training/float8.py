"""Training whose matrix products are in float8, through torchao."""

from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType

import torch
from lightning.pytorch.plugins.precision import Precision
from torch import nn
from torch.distributed.tensor import DTensor

from ..errors import UserError
from ..models.protocols import ImageModel
from .measured import MeasuredModule

LEAST_CAPABILITY = (8, 9)
"""Of GPUs that multiply in float8: Ada, Hopper and later ones."""

_MULTIPLE = 16
"""Sizes of matrices that their kernels take."""


class Float8Precision(Precision):
    """Multiply in float8 in the layers of the network that is trained, and in bfloat16 elsewhere.

    Weights, gradients and moments stay float32, and checkpoints are those of any other precision.
    Each tensor is scaled by its largest value when it is used. Embeddings and the output head stay
    in bfloat16. Together with `compile_layers`, which fuses the scaling; it does not pay without.

    Args:
        emulate: Compute on any device what float8 would give: slow, for tests.

    Raises:
        UserError: If torchao is not installed, or the GPU has no float8.

    Source: FP8 formats for deep learning (arXiv 2209.05433), `torchao.float8`.
    """

    precision = "bf16-mixed"

    def __init__(self, emulate: bool = False) -> None:
        super().__init__()
        self.emulate = emulate
        _torchao_float8()
        if not emulate:
            check_hardware()

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Have the layers of the network that is trained multiply in float8.

        Raises:
            UserError: If the module has no such network, or its weights are sharded.
        """
        if not isinstance(module, MeasuredModule):
            raise UserError(
                f"Float8Precision trains Show-o and its kind, not {type(module).__name__}; choose "
                "precision: bf16-mixed"
            )
        multiply_in_float8(module.measured_network, self.emulate)
        return module

    @contextmanager
    def forward_context(self) -> Generator[None, None, None]:
        """Autocast to bfloat16 what is not in float8."""
        with torch.autocast("cpu" if self.emulate else "cuda", torch.bfloat16):
            yield


def multiply_in_float8(network: ImageModel, emulate: bool = False) -> None:
    """Have the linear layers of a network multiply in float8, where their sizes allow it.

    Args:
        network: Names its layers as `lora_layers`; parameters and their names stay.
        emulate: See `Float8Precision`.

    Raises:
        UserError: If the family names no layers, or the weights are sharded.
    """
    layers, _ = network.lora_layers()
    if any(isinstance(parameter, DTensor) for parameter in layers.parameters()):
        raise UserError(
            "Float8Precision is for one device or DDP, not for FullySharded; choose "
            "precision: bf16-mixed, or another strategy"
        )
    float8 = _torchao_float8()
    float8.convert_to_float8_training(
        layers,
        config=float8.Float8LinearConfig(emulate=emulate, pad_inner_dim=True),
        module_filter_fn=lambda part, _: (
            part.in_features % _MULTIPLE == 0 and part.out_features % _MULTIPLE == 0
        ),
    )


def _torchao_float8() -> ModuleType:
    """The library.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import torchao.float8
    except ImportError:
        raise UserError(
            "Float8Precision needs the package torchao; install it with: pip install "
            '"showo-turbo[float8]", or train with precision: bf16-mixed'
        ) from None
    found: ModuleType = torchao.float8
    return found


def check_hardware() -> None:
    """Raise if there is no GPU that multiplies in float8.

    Raises:
        UserError: Naming what is there.
    """
    found: tuple[int, int] | None = None
    if torch.cuda.is_available():
        found = torch.cuda.get_device_capability()
        if found >= LEAST_CAPABILITY:
            return
    least = ".".join(map(str, LEAST_CAPABILITY))
    what = "no GPU" if found is None else f"one of {'.'.join(map(str, found))}"
    raise UserError(
        f"Float8Precision needs a GPU of compute capability {least} or more, and there is {what}; "
        "leave out configs/hardware/float8.yaml"
    )
