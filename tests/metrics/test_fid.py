import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image

from showo_turbo.errors import UserError
from showo_turbo.metrics.fid import FID


class Grid(torch.nn.Module):
    """The mean brightness of each sixteenth of an image."""

    num_features = 16

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.double().mean(1), 4).flatten(1) / 50


@pytest.fixture
def real(tmp_path):
    random = np.random.default_rng(0)
    for index in range(40):
        array = random.integers(0, 200, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / f"{index:02d}.png")
    return tmp_path


def features(images):
    return Grid()(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)).numpy()


def frechet(first, second):
    """The distance of two Gaussians, after its definition."""
    means = first.mean(0) - second.mean(0)
    a, b = np.cov(first.T), np.cov(second.T)
    return means @ means + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)


def test_the_distance_by_its_definition(real):
    drawn = np.random.default_rng(1).integers(50, 255, (40, 16, 16, 3), dtype=np.uint8)
    pixels = torch.from_numpy(drawn).permute(0, 3, 1, 2) / 127.5 - 1
    metric = FID(real, resolution=16, network=Grid(), batch_size=7)
    metric.update(pixels[:15])
    metric.update(pixels[15:])
    photographs = [np.array(Image.open(path)) for path in sorted(real.glob("*.png"))]
    expected = frechet(features(photographs), features(list(drawn)))
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-3)
    metric.reset()
    metric.update(pixels)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-3)


def test_missing_files(real, tmp_path):
    with pytest.raises(UserError, match="holds 0 images"):
        FID(tmp_path / "nothing")
    with pytest.raises(UserError, match="weights-inception-2015-12-05"):
        FID(real)
