"""`showo-turbo replay`: run a batch that stopped a training again, and see where it goes wrong."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Trainer
from rich.console import Console
from rich.table import Table
from torch import nn

from ..inference.loading import choose_device
from ..training.incident import batch_files, non_finite_gradients, read_incident, rebuild_module
from ..training.turbo import ShowoTurbo
from ..trajectories.batch_file import load_batch
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(replay, arguments, name="replay")


def replay(folder: Path, device: str | None = None, family: str | None = None) -> None:
    """Rerun a batch that stopped a training, and find the first faulty module.

    With the student and the settings of that moment it computes the losses and their gradients.
    It prints each term, the first module whose output is not finite, and the parameters whose
    gradients are not. The losses of a step that one process trained are those of the run, but for
    the rounding of another device.

    Args:
        folder: What `FiniteGuard` wrote, such as `runs/mine/incidents/step-12`.
        device: `cpu`, `cuda`, ...; by default a GPU if there is one.
        family: Class of the student, where it is of a family of your own: its import path, such as
            `my_module.MyModel`.
    """
    incident = read_incident(folder)
    target = choose_device(device)
    plugin = Trainer(
        accelerator=target.type,
        devices=1,
        precision=incident["precision"],
        logger=False,
        enable_checkpointing=False,
    ).precision_plugin
    module = rebuild_module(folder, incident["settings"], family).to(target)
    plugin.convert_module(module)  # in place
    console = Console()
    for path in batch_files(folder):
        batch = move_data_to_device(load_batch(path), target)
        with plugin.forward_context(), _first_bad_output(module) as bad_outputs:
            losses = _losses(module, batch)
        losses["loss"].backward()
        console.print(_table(path, losses, incident["losses"]))
        console.print(f"first output that is not finite: {next(iter(bad_outputs), 'none')}")
        names = non_finite_gradients(module)
        console.print(f"gradients that are not finite: {', '.join(names) or 'none'}")
        module.zero_grad()


def _losses(module: ShowoTurbo, batch: Any) -> dict[str, torch.Tensor]:
    """The terms of the loss, and the loss."""
    means = {name: value.mean for name, value in module.loss_terms(batch).items()}
    return means | {"loss": module.weighted_sum(means)}


def _table(path: Path, losses: dict[str, torch.Tensor], recorded: dict[str, Any]) -> Table:
    table = Table("", "replayed", "in the run", title=path.name)
    for name, value in losses.items():
        table.add_row(name, f"{value.item():.8g}", str(recorded.get(name, "")))
    return table


@contextmanager
def _first_bad_output(module: nn.Module) -> Iterator[list[str]]:
    """Collect the names of submodules whose output is not finite, in the order of their calls."""
    bad: list[str] = []

    def watch(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            tensors = output if isinstance(output, (tuple, list)) else [output]
            floats = [t for t in tensors if isinstance(t, torch.Tensor) and t.is_floating_point()]
            if not all(bool(t.isfinite().all()) for t in floats):
                bad.append(name)

        return hook

    handles = [part.register_forward_hook(watch(name)) for name, part in module.named_modules()]
    try:
        yield bad
    finally:
        for handle in handles:
            handle.remove()
