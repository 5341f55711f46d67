"""`showo-turbo download`: published data sets, to where the configurations look for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..hub.datasets import Destination, download_dataset
from .command_line import run_function

Name = Literal["coco-captions", "llava", "refinedweb", "geneval", "hpd"]


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(download, arguments, name="download")


def download(
    name: Name,
    folder: Path = Path("data"),
    parts: list[str] | str | None = None,
    files: int = 1,
    keep_archives: bool = False,
) -> None:
    """Download a published dataset to the path that the configurations use.

    Each comes from its own source. What breaks off is continued by the same command, what is there
    is not fetched again, and every file is checked: against the digest that is known or that the
    hub keeps, else by its content.

    Args:
        name: Which one: `coco-captions`, `llava`, `refinedweb`, `geneval` or `hpd`.
        folder: Folder of all data sets.
        parts: What of it, such as `[captions, val2014]`. `coco-captions` has `captions` (the
            default), `train2017` and `val2014`, images of 19 and 7 GB; `llava` has `instructions`
            (the default) and the images `coco`, `gqa`, `textvqa` and `vg`.
        files: How many files of `refinedweb`, of terabytes in all.
        keep_archives: Keep archives once they are unpacked.
    """
    chosen = [parts] if isinstance(parts, str) else list(parts or ())
    download_dataset(name, Destination(folder, files, keep_archives), chosen)
