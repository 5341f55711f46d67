"""Where a study is kept: a file in the sweep's folder, or a database that machines share."""

from collections.abc import Callable
from pathlib import Path

from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ..errors import UserError

STORAGE_FILE = "study.db"

OLD_STORAGE_FILE = "study.journal"
"""Where earlier versions kept a study; Optuna's journal has no heartbeat."""

HEARTBEAT_SECONDS = 10
"""How often a process records in the storage that it still works on its trial."""

SILENCE_SECONDS = 60
"""A trial whose process has not done so for this long is continued by another."""

DRIVERS = {"MySQLdb": "mysqlclient", "psycopg": '"psycopg[binary]"', "psycopg2": "psycopg2-binary"}
"""What pip calls a module that speaks to a database, where that is another name."""


def open_storage(
    folder: Path, url: str | None, take_over: Callable[[Study, FrozenTrial], None]
) -> RDBStorage:
    """Open a database, or the file in the sweep's folder if there is no URL.

    Args:
        folder: The sweep's folder.
        url: A database's URL.
        take_over: Called for each trial whose process has fallen silent.

    Raises:
        UserError: If the folder's study is of an earlier version.
    """
    if url is None and (folder / OLD_STORAGE_FILE).exists():
        raise UserError(
            f"{folder / OLD_STORAGE_FILE} is the study of an earlier version; expected "
            f"{STORAGE_FILE}, so finish the sweep with that version or name another folder"
        )
    return RDBStorage(
        url or f"sqlite:///{folder.resolve() / STORAGE_FILE}",
        # Several processes may write to a file; each waits for the others.
        engine_kwargs={"connect_args": {"timeout": 60}} if url is None else None,
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=SILENCE_SECONDS,
        heartbeat_stale_trial_callback=take_over,
    )


def opening_error(error: Exception, folder: Path, url: str | None) -> UserError:
    """What to say of a study that cannot be opened; never the password in a URL.

    Args:
        error: What was raised.
        folder: The sweep's folder.
        url: The database's URL.
    """
    place = str(folder / STORAGE_FILE) if url is None else without_password(url)
    if url is not None and isinstance(error.__cause__, ModuleNotFoundError):
        module = str(error.__cause__.name).partition(".")[0]
        return UserError(
            f"the study in {place} needs the Python package {module}; install it with: "
            f"pip install {DRIVERS.get(module, module)}"
        )
    reason = " ".join(str(error).split())
    for secret, shown in _secrets(url).items():
        reason = reason.replace(secret, shown)
    return UserError(
        f"the study in {place} cannot be opened ({reason[:200]}); start the database, "
        "or name another"
    )


def without_password(url: str) -> str:
    """A database's URL as it may be shown, without its options."""
    try:
        return make_url(url).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "the database (expected a URL such as postgresql://user:password@host/name)"


def _secrets(url: str | None) -> dict[str, str]:
    """What must not be shown, and what is shown in its place."""
    if url is None:
        return {}
    found = {url: without_password(url)}
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return found
    options = parsed.normalized_query.get("password", ())
    return found | {secret: "***" for secret in (parsed.password, *options) if secret}
