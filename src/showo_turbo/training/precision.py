"""The precision that the hardware is fast in."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import Precision

from ..errors import UserError

CPU_FEATURES = ("avx512_bf16", "amx_bf16", "bf16")
"""Instructions that multiply in bfloat16; other CPUs emulate it, slower than float32."""


class AutoPrecision(Precision):
    """Autocast to bfloat16 on devices that multiply in it, float32 on others.

    Where Lightning's `precision: bf16-mixed` is slower than float32 on a CPU without instructions
    for it, this is as fast as the machine allows, so that one configuration serves all.

    Example:
        YAML::

            trainer:
              plugins:
                - class_path: showo_turbo.training.precision.AutoPrecision

    Attributes:
        precision: `bf16-mixed` or `32-true`, which of the two it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.devices = bfloat16_devices()
        self.precision = "bf16-mixed" if self.devices else "32-true"

    @contextmanager
    def forward_context(self) -> Generator[None, None, None]:
        """Autocast, on the devices where it pays."""
        with ExitStack() as contexts:
            for device in self.devices:
                contexts.enter_context(torch.autocast(device, torch.bfloat16, cache_enabled=False))
            yield


def check_trainable(trainer: Trainer) -> None:
    """Raise on weights in float16, in which the denominators of AdamW's steps are 0.

    Raises:
        UserError: If these are asked for.
    """
    if str(trainer.precision) == "16-true":
        raise UserError(
            "trainer.precision is 16-true, in which the steps of optimizers become NaN; expected "
            "one to train in, such as 32-true, bf16-mixed or 16-mixed"
        )


def bfloat16_devices() -> list[str]:
    """The kinds of device here that have instructions for bfloat16: `cpu`, `cuda`."""
    found = []
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    if any(capabilities.get(name) for name in CPU_FEATURES):
        found.append("cpu")
    if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False):
        found.append("cuda")
    return found
