"""Where a study is kept: a file in the sweep's folder, or a database that machines share."""

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

STORAGE_FILE = "study.journal"

HEARTBEAT_SECONDS = 60
"""How often a process tells a database that it still works on its trial."""

SILENCE_SECONDS = 600
"""A trial whose process has not told that for so long is continued by another."""

DRIVERS = {"MySQLdb": "mysqlclient", "psycopg": '"psycopg[binary]"', "psycopg2": "psycopg2-binary"}
"""What pip calls a module that speaks to a database, where that is another name."""


def open_storage(
    folder: Path, url: str | None, take_over: Callable[["Study", "FrozenTrial"], None]
) -> "BaseStorage":
    """Open a database, or the file in the sweep's folder if there is no URL.

    Args:
        folder: The sweep's folder.
        url: A database's URL.
        take_over: Told of every trial in the database whose process has fallen silent.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if url is None:
        return JournalStorage(JournalFileBackend(str(folder / STORAGE_FILE)))
    # Renamed in Optuna 4.9.
    known = inspect.signature(RDBStorage).parameters
    name = "heartbeat_stale_trial_callback"
    callback: dict[str, Any] = {name if name in known else "failed_trial_callback": take_over}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(
            url, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=SILENCE_SECONDS, **callback
        )


def fail_silent_trials(study: "Study") -> None:
    """Let the storage look for trials whose process has fallen silent."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import fail_stale_trials

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        fail_stale_trials(study)


def opening_error(error: Exception, folder: Path, url: str | None) -> UserError:
    """What to tell of a study that cannot be opened; never the password in a URL.

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
    return UserError(f"the study in {place} cannot be opened ({reason[:200]})")


def without_password(url: str) -> str:
    """A database's URL as it may be shown, without its options."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "the database (expected a URL such as postgresql://user:password@host/name)"


def _secrets(url: str | None) -> dict[str, str]:
    """What must not be shown, and what is shown in its place."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if url is None:
        return {}
    found = {url: without_password(url)}
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return found
    options = parsed.normalized_query.get("password", ())
    return found | {secret: "***" for secret in (parsed.password, *options) if secret}
