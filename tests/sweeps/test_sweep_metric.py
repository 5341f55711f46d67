import json
from types import SimpleNamespace

import torch

from showo_turbo.callbacks import SweepMetric


def test_all_metrics_are_written(tmp_path):
    file = tmp_path / "folder" / "sweep_metric.jsonl"
    trainer = SimpleNamespace(
        sanity_checking=False,
        is_global_zero=True,
        global_step=7,
        callback_metrics={"val/a": torch.tensor(1.0), "val/b": torch.tensor(2.0)},
    )
    SweepMetric(file).on_validation_end(trainer, None)
    metrics = {"val/a": 1.0, "val/b": 2.0}
    assert json.loads(file.read_text()) == {"step": 7, "metrics": metrics}
