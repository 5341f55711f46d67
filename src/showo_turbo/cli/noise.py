"""What libraries say that is of no use to whoever runs a command."""

import logging
import warnings

from lightning.pytorch.utilities import rank_zero


def leave_out_noise() -> None:
    """Leave out Lightning's advertisements, and warnings of what is meant to be as it is.

    These are a deprecation that only Lightning can see to, and frozen networks in eval mode.
    """
    for message in (".*treespec, LeafSpec.*", r".*module\(s\) in eval mode at the start.*"):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger(rank_zero.__name__).addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless" not in record.getMessage()
