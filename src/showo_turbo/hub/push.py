"""A model folder goes to the hub, with a card made from its run, in one commit."""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, get_token
from huggingface_hub.utils._validators import validate_repo_id

from ..errors import UserError, shown
from ..inference.model_card import CARD_FILE
from ..models.checkpoints import read_config
from .card import GRID, check_license, run_card
from .client import hub_client, hub_errors

STUDENT_FOLDER = "student"
"""Where a run keeps the model that it has exported."""

_ONLY_OF_THE_HUB = {".gitattributes"}
"""Files that a new repository has."""


def find_model(folder: Path) -> tuple[Path, Path | None]:
    """The model folder that a folder is or holds, and the folder of its run.

    Args:
        folder: A model folder, or the folder of a run that has exported its student.

    Returns:
        The model folder; and the run's, None where it is not one.

    Raises:
        UserError: If there is no model.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; expected a model's or a run's, correct it")
    if (folder / STUDENT_FOLDER / "config.json").is_file():
        return folder / STUDENT_FOLDER, folder
    read_config(folder)
    above = folder.resolve().parent
    return folder, above if (above / "report.json").is_file() else None


def check_name(name: str) -> None:
    """Raise if a model cannot be called so on the hub.

    Raises:
        UserError: Naming the form.
    """
    try:
        validate_repo_id(name)
    except ValueError:
        raise UserError(
            f"{shown(name)} is not a name of the hub; expected user/name, correct it"
        ) from None
    if name.count("/") != 1:
        raise UserError(f"{shown(name)} names no user; expected user/name, correct it")


def check_push(name: str, license: str | None = None, overwrite: bool = False) -> None:
    """Raise before anything is done on what would end a push: name, licence, token.

    Args:
        name: `user/name`.
        license: An identifier of the hub.
        overwrite: Whether the model may exist.

    Raises:
        UserError: If the name is malformed or taken, or there is no token.
    """
    check_license(license)
    check_name(name)
    if get_token() is None:
        raise UserError(
            "there is no token of the hub; expected one that may write, log in with "
            "`hf auth login` or set HF_TOKEN"
        )
    if not overwrite and _files_of(name):
        raise UserError(
            f"{name} exists on the hub and holds files; name another, or write into it with "
            "--overwrite"
        )


def push_model(
    folder: Path,
    name: str,
    license: str | None = None,
    private: bool = False,
    overwrite: bool = False,
    message: str = "Model and card",
) -> str:
    """Write a model folder to the hub, in one commit: all of it is there, or nothing.

    A push that broke off is given again; files that the hub has received are not sent twice.

    Args:
        folder: See `find_model`.
        name: `user/name`.
        license: An identifier of the hub, for the card.
        private: Whether only its owner may see it.
        overwrite: Whether it may exist already.
        message: Of the commit.

    Returns:
        The model's address.

    Raises:
        UserError: See `check_push`; or if the hub does not take it.
    """
    model, run = find_model(folder)
    check_push(name, license, overwrite)
    card = run_card(model, run, name, license)
    files = {
        path.relative_to(model).as_posix(): path
        for path in sorted(model.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    files.pop(CARD_FILE, None)
    if run is not None and (run / GRID).is_file():
        files[GRID] = run / GRID
    operations = [CommitOperationAdd(place, path) for place, path in files.items()]
    operations.append(CommitOperationAdd(CARD_FILE, card.encode()))
    with hub_errors(f"{name} could not be written"):
        client = hub_client()
        address = client.create_repo(name, private=private, exist_ok=True)
        client.create_commit(name, operations, commit_message=message)
    return str(address)


def _files_of(name: str) -> list[str]:
    """What a model on the hub holds; nothing if there is no such model."""
    with hub_errors(f"{name} could not be looked up"):
        client = hub_client()
        if not client.repo_exists(name):
            return []
        return sorted(set(client.list_repo_files(name)) - _ONLY_OF_THE_HUB)
