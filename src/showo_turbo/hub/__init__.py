"""The hub of models and the sources of data sets: what goes there and what comes from there."""

from .datasets import DATASETS, download_dataset
from .push import check_push, push_model

__all__ = ["DATASETS", "check_push", "download_dataset", "push_model"]
