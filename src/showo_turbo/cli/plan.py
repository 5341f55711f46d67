"""`showo-turbo plan`: what a run needs, before it is started."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..errors import UserError
from ..planning import Estimate, Run, estimate, read_run
from ..planning.estimate import ANSWER, GB, ITERATIONS
from .full_config import full_config
from .plain_options import PlainOptions

_REMEDIES = {
    "weights": "shard them: configs/hardware/8x24gb.yaml, or leave TeacherTarget out",
    "states": "take smaller moments: configs/hardware/24gb.yaml, or shard them",
    "gradients": "shard them: configs/hardware/8x24gb.yaml",
    "logits": "set backward_by_stream, or smaller data.init_args.batch_sizes",
    "activations": "set gradient_checkpointing, or smaller data.init_args.batch_sizes",
    "step": "set fused in the options of the optimizer",
    "exchange": "set gradient_as_bucket_view in the options of DDPStrategy",
    "cache": "set a smaller batch_size of the Curriculum",
}
"""What makes a part smaller."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = PlainOptions(
        prog="showo-turbo plan",
        description="Estimate the memory, time and disk space of a run before it starts, without a "
        "GPU, weights or data. Memory is per device. Options that are not listed here are those "
        "of fit.",
    )
    add = parser.add_argument
    add("-c", "--config", action="append", required=True, help="YAML of the run; repeatable")
    add("--devices", type=int, help="devices on all nodes; by default as the YAML says")
    add("--memory", type=float, help="GB of a device, to say whether they are enough")
    add("--rate", type=float, default=100.0, help="TFLOP/s that a device sustains; default 100")
    options, further = parser.parse_known_args(list(arguments))
    plan(options.config, options.devices, options.memory, options.rate, further)


def plan(
    configs: Sequence[str],
    devices: int | None = None,
    memory: float | None = None,
    rate: float = 100.0,
    arguments: Sequence[str] = (),
) -> None:
    """Estimate the memory, time and disk space of a run before it starts.

    Args:
        configs: YAML files of the run.
        devices: Devices on all nodes, in place of what they say.
        memory: GB of a device.
        rate: TFLOP/s that a device sustains.
        arguments: Further options of `fit`.

    Raises:
        UserError: If the run is of a kind that cannot be estimated, or the memory is too small.
    """
    for name, value in (("memory", memory), ("rate", rate)):
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"--{name} is {value:g}; expected a number above 0")
    files = [part for name in configs for part in ("-c", name)]
    planned = read_run(full_config([*files, *arguments]), devices)
    found = estimate(planned)
    _show(planned, found, rate)
    if memory is not None:
        _judge(found, memory)


def _show(planned: Run, found: Estimate, rate: float) -> None:
    console = Console()
    parts = list(dict.fromkeys(part for phase in found.phases for part in phase.parts))
    table = Table("GB of a device", *(phase.name for phase in found.phases))
    for part in parts:
        table.add_row(part, *(f"{phase.parts.get(part, 0) / GB:.1f}" for phase in found.phases))
    table.add_row("all", *(f"{phase.total / GB:.1f}" for phase in found.phases), style="bold")
    console.print(table)
    devices = f"{planned.devices} device{'s' if planned.devices > 1 else ''}"
    trained = f"{found.trained / 1e6:.3g} million of them trained, " if planned.lora else ""
    hours = found.hours(rate * 1e12, planned.devices)
    shares = ", ".join(f"{name} {value:.2g}" for name, value in found.operations.items())
    disk = ", ".join(f"{name} {value / GB:.1f}" for name, value in found.disk.items())
    print(
        f"{found.parameters / 1e9:.3g} billion parameters, {trained}{devices}, {found.steps} "
        f"optimizer steps, {planned.optimizer} with {planned.state_bytes:g} bytes of state a "
        "parameter"
    )
    print(
        f"time: {hours:.1f} h at {rate:g} TFLOP/s a device (operations: {shares}), without loading"
    )
    print(f"disk in GB: {disk}")
    if "collecting" in found.operations:
        iterations = "" if planned.denoised else f", {ITERATIONS} iterations a block"
        print(f"assumed: answers of {ANSWER:g} of the longest on average{iterations}")


def _judge(found: Estimate, memory: float) -> None:
    """Say whether the memory is enough, and what to change if it is not.

    Raises:
        UserError: If it is not.
    """
    peak = found.peak
    if peak.total <= memory * GB:
        print(f"yes: {peak.total / GB:.1f} of {memory:g} GB, {peak.name}")
        return
    part = max(_REMEDIES, key=lambda name: peak.parts.get(name, 0))
    raise UserError(
        f"no: {peak.name} needs {peak.total / GB:.1f} GB, more than the {memory:g} GB of a device, "
        f"most of it for {part} ({peak.parts[part] / GB:.1f} GB); {_REMEDIES[part]}"
    )
