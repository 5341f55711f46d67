"""Which part of the work is this command's, where it is given on several machines."""

import os

from ..errors import UserError
from ..trajectories import Processes

SLURM_RANK, SLURM_WORLD_SIZE = "SLURM_PROCID", "SLURM_NTASKS"


def processes_of(rank: int | None, world_size: int | None) -> Processes:
    """Who shares the work, according to the options or else to Slurm.

    Args:
        rank: Which part is this command's, from 0.
        world_size: Number of parts.

    Returns:
        Separate processes, or a single one where there is one part.

    Raises:
        UserError: If only one of them is given, or they are out of range.
    """
    names = ("rank", "world_size")
    if rank is None and world_size is None and {SLURM_RANK, SLURM_WORLD_SIZE} <= os.environ.keys():
        names = (SLURM_RANK, SLURM_WORLD_SIZE)
        rank, world_size = (_slurm(name) for name in names)
    if rank is None and world_size is None:
        rank, world_size = 0, 1
    if rank is None or world_size is None:
        given, missing = names if world_size is None else reversed(names)
        raise UserError(f"{given} is given, but no {missing}; expected both or none, give both")
    if world_size < 1:
        raise UserError(f"{names[1]} is {world_size}; expected at least 1, the number of commands")
    if not 0 <= rank < world_size:
        raise UserError(
            f"{names[0]} is {rank}, but {names[1]} is {world_size}; expected a rank from 0 to "
            f"{world_size - 1}, number the commands so"
        )
    return Processes(rank, world_size, separate=world_size > 1)


def _slurm(name: str) -> int:
    """A whole number that Slurm has set.

    Raises:
        UserError: If it is none.
    """
    value = os.environ[name]
    if not value.isdecimal():
        raise UserError(
            f"{name} is {value!r}; expected a whole number, as Slurm sets it, or give rank and "
            "world_size"
        )
    return int(value)
