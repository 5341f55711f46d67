"""The metrics by their short names, and what tables call them."""

import jsonargparse
import pytest
from torchmetrics import MeanMetric, Metric

import showo_turbo.metrics as metrics
from showo_turbo.errors import UserError
from showo_turbo.metrics.names import NamedMetric, metric_names


class Sharpness(NamedMetric):
    def update(self, pixels, metadata):
        raise NotImplementedError

    compute = update


def test_every_name_is_a_documented_metric():
    assert len(metrics.__all__) == 9
    for name in metrics.__all__:
        kind = getattr(metrics, name)
        assert issubclass(kind, Metric)
        assert "Unit:" in kind.__doc__, f"{name} does not tell its unit"
    with pytest.raises(AttributeError, match=r"attribute.*BLEU"):
        metrics.BLEU  # noqa: B018


def test_a_metric_is_called_by_its_class_or_as_told():
    scores = [Sharpness(), Sharpness(name="sharpness, again"), MeanMetric()]
    assert metric_names(scores) == ["Sharpness", "sharpness, again", "MeanMetric"]
    with pytest.raises(UserError, match="2 metrics are called 'Sharpness'"):
        metric_names([scores[0], Sharpness()])


@pytest.mark.parametrize("name", ["CLIPScore", "FID", "GenEval", "HPSv2", "ImageReward"])
def test_the_name_can_be_set_in_yaml(name):
    assert issubclass(getattr(metrics, name), NamedMetric)
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--metric", type=Metric)
    required = {"real": "photographs"} if name == "FID" else {}
    found = parser.parse_object(
        {
            "metric": {
                "class_path": f"showo_turbo.metrics.{name}",
                "init_args": {"name": "another", **required},
            }
        }
    )
    assert found.metric.init_args.name == "another"
