"""What of a trainer's options decides how a step's memory lies on the devices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

_SHARDING = ("FullySharded", "FSDPStrategy")
_HALF = ("16", "16-mixed")


@dataclass(frozen=True)
class Hardware:
    """The devices, and how they share the work.

    Attributes:
        on_gpu: Whether an accelerator is used.
        devices: How many, on all nodes.
        sharded: Whether weights are sharded over them.
        bucket_copies: Whether gradients are exchanged as copies of themselves.
        half: Whether arithmetic is in 2 bytes, bfloat16 or float16.
    """

    on_gpu: bool
    devices: int
    sharded: bool
    bucket_copies: bool
    half: bool


def read_hardware(trainer: Mapping[str, Any], by_stream: bool, devices: int | None) -> Hardware:
    """Read the options of a trainer.

    Args:
        trainer: The options.
        by_stream: Whether streams have backward passes of their own.
        devices: On all nodes, in place of the trainer's.

    Raises:
        UserError: If the memory of the strategy is not known, the number of devices is for the
            machine to say, or there can be one backward pass only.
    """
    strategy, given = _strategy(trainer.get("strategy"))
    on_gpu, precision = trainer.get("accelerator") != "cpu", str(trainer.get("precision"))
    if by_stream:
        _check_stream_backward(strategy, on_gpu and precision in _HALF)  # on CPUs it is bf16-mixed
    count = _devices(trainer, devices)
    plugins = trainer.get("plugins") or []
    exchanged = strategy == "auto" or "ddp" in strategy.lower()
    return Hardware(
        on_gpu=on_gpu,
        devices=count,
        sharded=count > 1 and strategy in _SHARDING,
        bucket_copies=count > 1 and exchanged and not given.get("gradient_as_bucket_view"),
        half=precision in _HALF
        or precision.startswith("bf16")
        or any(name_of(plugin) in ("AutoPrecision", "Float8Precision") for plugin in plugins),
    )


def name_of(value: Any) -> str:
    """The bare name of a class that a configuration names."""
    path = value if isinstance(value, str) else (value or {}).get("class_path", "")
    return str(path).rpartition(".")[2]


def _check_stream_backward(strategy: str, scaled: bool) -> None:
    """Raise where `fit` would, since a step cannot have several backward passes.

    Raises:
        UserError: If the strategy shards the weights, or the precision scales the loss.
    """
    if strategy != "FSDPStrategy" and not scaled:
        return
    from ..training.stream_backward import SCALED, SHARDED, no_stream_backward

    sharded = strategy == "FSDPStrategy"
    raise no_stream_backward(SHARDED.format(strategy) if sharded else SCALED.format("16-mixed"))


def _strategy(value: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and options of the strategy; `auto` is DDP where there are several devices.

    Raises:
        UserError: If its memory is not known.
    """
    name = value if isinstance(value, str) else name_of(value) if value else "auto"
    name = {"fsdp": "FSDPStrategy"}.get(name, name)
    known = ("auto", "SingleDeviceStrategy", *_SHARDING)
    if name not in known and "ddp" not in name.lower():
        raise UserError(
            f"plan does not know the memory of {name}; expected DDP, FullySharded, FSDP or one "
            "device"
        )
    return name, {} if isinstance(value, str) or not value else value.get("init_args") or {}


def _devices(trainer: Mapping[str, Any], asked: int | None) -> int:
    """How many devices the run has, on all nodes.

    Raises:
        UserError: If that is for the machine to say, or is not a number.
    """
    if asked is not None:
        if asked < 1:
            raise UserError(f"--devices is {asked}; expected at least 1")
        return asked
    return _on_a_node(trainer.get("devices")) * int(trainer.get("num_nodes") or 1)


def _on_a_node(value: Any) -> int:
    if isinstance(value, list):
        return len(value)
    text = str(value)
    if text == "auto":
        return 1
    if "," in text:
        return len([index for index in text.split(",") if index.strip()])
    if not text.isdigit() or text == "0":
        raise UserError(f"trainer.devices is {text}, all of a machine; say how many by --devices 8")
    return int(text)
