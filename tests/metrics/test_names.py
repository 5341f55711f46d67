"""The metrics by their short names."""

import subprocess
import sys

import pytest
from torchmetrics import Metric

import showo_turbo.metrics as metrics


def test_every_name_is_a_documented_metric():
    assert len(metrics.__all__) == 11
    for name in metrics.__all__:
        kind = getattr(metrics, name)
        assert issubclass(kind, Metric)
        assert "Unit:" in kind.__doc__, f"{name} does not tell its unit"
    with pytest.raises(AttributeError, match=r"attribute.*BLEU"):
        metrics.BLEU  # noqa: B018


@pytest.mark.slow
def test_large_libraries_are_not_imported_early():
    code = "import showo_turbo.evaluation, sys; print('open_clip' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "False", done.stderr
