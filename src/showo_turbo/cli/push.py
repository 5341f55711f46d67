"""`showo-turbo push`: a model folder goes to the hub."""

from collections.abc import Sequence
from pathlib import Path

from ..hub.card import check_license, run_card
from ..hub.push import check_name, find_model, push_model
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(push, arguments, name="push")


def push(
    folder: Path,
    name: str,
    license: str | None = None,
    private: bool = False,
    overwrite: bool = False,
    message: str = "Model and card",
    dry_run: bool = False,
) -> None:
    """Publish a model on the hub, with a card generated from its run.

    The card says what the model is, how it was trained and what was measured, with the grid of
    images. All is written in one commit. Give the same command again if it breaks off.

    Args:
        folder: A model folder, or the folder of a run that has exported its student.
        name: What the model is called on the hub: `user/name`.
        license: Its licence, an identifier of the hub such as `apache-2.0`; not stated by default.
        private: Only its owner sees it.
        overwrite: Write into a model that exists.
        message: Message of the commit.
        dry_run: Print the card and write nothing.
    """
    if dry_run:
        check_license(license)
        check_name(name)
        print(run_card(*find_model(folder), name, license), end="")
        return
    print(f"written: {push_model(folder, name, license, private, overwrite, message)}")
    if license is None:
        print("its card states no licence; --license names one, with --overwrite")
