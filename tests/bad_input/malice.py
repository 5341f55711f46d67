"""Input that would do more than be read."""

import os
import tempfile
from pathlib import Path

CANARY = Path(tempfile.gettempdir()) / f"showo-turbo-canary-{os.getpid()}"
"""What it would leave behind."""


class Malicious:
    """Runs code when a careless program unpickles it."""

    def __reduce__(self):
        return os.mkdir, (str(CANARY),)
