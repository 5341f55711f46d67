"""`~` in options stands for the home folder, wherever a path comes from: YAML or a command line."""

import os
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

_TEXTS = {"negative_prompt", "prompt", "prompts", "question", "skip_prompts"}
"""Options that hold what somebody has written."""


def expand_home(value: Any, option: str = "") -> Any:
    """The value of an option with `~` and `~name` expanded in the paths that it is or holds.

    A text is taken for a path if it begins so and there is such a user: whether an option of a
    class is a path, its type need not say.

    Args:
        value: What was parsed.
        option: Its name.
    """
    if isinstance(value, Namespace):
        vars(value).update({name: expand_home(part, name) for name, part in vars(value).items()})
    elif isinstance(value, dict):
        return {name: expand_home(part, str(name)) for name, part in value.items()}
    elif type(value) in (list, tuple):
        return type(value)(expand_home(part, option) for part in value)
    elif isinstance(value, str | Path) and str(value).startswith("~") and option not in _TEXTS:
        return type(value)(os.path.expanduser(value))
    return value


def local_path(name: str) -> Path:
    """The path that an option names."""
    return Path(os.path.expanduser(name))
