"""Input that would do more than be read."""

import os
import tempfile
from pathlib import Path
from uuid import uuid4

CANARY = Path(tempfile.gettempdir()) / f"showo-turbo-canary-{uuid4().hex}"
"""What it would leave behind; no other test run has a folder of this name."""


class Malicious:
    """Runs code when a careless program unpickles it."""

    def __reduce__(self):
        return os.mkdir, (str(CANARY),)
