"""The metrics by their short names, and what tables call them."""

import jsonargparse
import pytest
from torchmetrics import MeanMetric, Metric

import showo_turbo.metrics as metrics
from showo_turbo.errors import UserError
from showo_turbo.metrics.names import NamedMetric, metric_names
from showo_turbo.shapes import ShapesScore


def test_every_name_is_a_documented_metric():
    assert len(metrics.__all__) == 10
    for name in metrics.__all__:
        kind = getattr(metrics, name)
        assert issubclass(kind, Metric)
        assert "Unit:" in kind.__doc__, f"{name} does not tell its unit"
    with pytest.raises(AttributeError, match=r"attribute.*BLEU"):
        metrics.BLEU  # noqa: B018


def test_a_metric_is_called_by_its_class_or_as_told():
    scores = [ShapesScore(), ShapesScore(name="shapes, again"), MeanMetric()]
    assert metric_names(scores) == ["ShapesScore", "shapes, again", "MeanMetric"]
    with pytest.raises(UserError, match="2 metrics are called 'ShapesScore'; expected a name"):
        metric_names([scores[0], ShapesScore()])


@pytest.mark.parametrize(
    "path",
    [
        *(f"metrics.{name}" for name in ("CLIPScore", "FID", "GenEval", "HPSv2", "ImageReward")),
        "shapes.ShapesScore",
    ],
)
def test_the_name_can_be_set_in_yaml(path):
    assert path == "shapes.ShapesScore" or issubclass(getattr(metrics, path[8:]), NamedMetric)
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--metric", type=Metric)
    required = {"real": "photographs"} if path == "metrics.FID" else {}
    found = parser.parse_object(
        {
            "metric": {
                "class_path": f"showo_turbo.{path}",
                "init_args": {"name": "another", **required},
            }
        }
    )
    assert found.metric.init_args.name == "another"
    assert "categories" not in found.metric.init_args
