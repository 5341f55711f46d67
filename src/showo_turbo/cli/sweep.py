"""`showo-turbo sweep`: many runs of one experiment, on Optuna."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from ..errors import UserError
from ..evaluation.tables import make_console, to_rich
from ..sweeps import SearchSpace, Sweep, SweepSettings, write_results
from .config_files import read_config
from .full_config import full_config
from .home import local_path
from .messages import OneLineErrors
from .plain_options import PlainOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = PlainOptions(
        prog="showo-turbo sweep",
        description="Run a hyperparameter search. If it is interrupted, the same command "
        "continues, and reruns each failed trial once. Options that are not listed here are those "
        "of fit.",
    )
    add = parser.add_argument
    add("-c", "--config", action="append", required=True, help="YAML of the experiment; repeatable")
    add("--sweep", type=local_path, required=True, help="YAML of the sweep: see configs/sweeps")
    add("--folder", type=local_path, help="where the runs go; by default runs/sweeps/<study>")
    add(
        "--storage",
        help="URL of a database that several machines share, such as postgresql://...; trials of "
        "a machine that has been silent for a minute are continued by the others",
    )
    options, further = parser.parse_known_args(list(arguments))
    sweep(options.config, options.sweep, options.folder, options.storage, further)


def sweep(
    configs: Sequence[str],
    sweep_file: Path,
    folder: Path | None = None,
    storage: str | None = None,
    arguments: Sequence[str] = (),
) -> None:
    """Run a hyperparameter search: grid, random or TPE.

    Args:
        configs: YAML files of the experiment.
        sweep_file: YAML file of the sweep.
        folder: Where the runs go.
        storage: URL of a database; a file in `folder` by default.
        arguments: More options of `fit`.

    Raises:
        UserError: If a file is wrong, the study was begun with another space, or all trials failed.
    """
    settings = read_settings(sweep_file)
    names = [part for name in configs for part in ("-c", name)]
    space = SearchSpace(settings, full_config([*names, *arguments]))
    check_examples(space)
    folder = folder or Path("runs/sweeps") / settings.study
    work = Sweep(space, folder, storage)
    try:
        work.run()
    finally:
        figures = write_results(work.study, space, folder)
        make_console().print(to_rich([figures]))
        print(f"written: {folder}/sweep.json, trials.csv and plots")
    if not any(row[-3] != "0" or row[-2] != "0" for row in figures.rows):
        raise UserError(f"every trial of the sweep failed; see the output.log of each in {folder}")


def read_settings(path: Path) -> SweepSettings:
    """Read a sweep file.

    Raises:
        UserError: If it is missing, or says what a sweep does not know.
    """
    content = read_config(str(path))
    known = [field.name for field in fields(SweepSettings)]
    for name in content:
        if name not in known:
            raise UserError(f"{path} has {str(name)!r}; expected {', '.join(known)}, correct it")
    parser = OneLineErrors(prog="showo-turbo sweep")
    parser.command = parser.prog
    parser.add_class_arguments(SweepSettings, as_group=False)
    try:
        values = parser.instantiate(parser.parse_object(content))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    # As they are written: the parser would complete the options of classes in them.
    dotted = ("parameters", "variants", "overrides")
    written = {name: content[name] for name in dotted if content.get(name)}
    return SweepSettings(**(vars(values) | written))


def check_examples(space: SearchSpace) -> None:
    """Let the parser look at every value of a space before the first trial begins.

    Raises:
        UserError: If a value does not fit its key.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trial.yaml"
        for chosen in space.examples():
            config = space.configuration(chosen, folder)
            path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
            try:
                full_config(["-c", str(path)])
            except UserError as error:
                raise UserError(f"with {_shown(chosen)}: {error}") from None


def _shown(chosen: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value!r}" for key, value in chosen.items())
