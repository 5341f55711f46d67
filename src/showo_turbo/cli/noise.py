"""What libraries say that is of no use to whoever runs a command."""

import logging
import warnings

from lightning.pytorch.utilities import rank_zero


def leave_out_noise() -> None:
    """Leave out Lightning's advertisements, and a deprecation that only Lightning can see to."""
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    logging.getLogger(rank_zero.__name__).addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless" not in record.getMessage()
