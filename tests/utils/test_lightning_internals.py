"""Whether the installed Lightning still has what is used beside its public interface."""

import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.loops import _EvaluationLoop, _TrainingEpochLoop
from lightning.pytorch.strategies import ModelParallelStrategy
from packaging.requirements import Requirement

from showo_turbo.utils.lightning_internals import PRIVATE, RESTORING_MODULE

from ..test_packaging import read_setup

ROOT = Path(__file__).parents[2]
MADE = {
    LightningModule: LightningModule,
    ModelCheckpoint: ModelCheckpoint,
    WeightAveraging: WeightAveraging,
    ModelParallelStrategy: ModelParallelStrategy,
    Trainer: lambda: Trainer(accelerator="cpu", logger=False, enable_checkpointing=False),
}


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in PRIVATE.items() for name in names]
)
def test_lightning_still_has(owner, name):
    place = MADE[owner]() if owner in MADE else owner
    assert hasattr(place, name), (
        f"{owner.__name__}.{name} is gone in Lightning {version('lightning')}; adapt "
        "utils/lightning_internals.py, or lower the upper bound in setup.cfg"
    )


def test_the_module_that_restores_checkpoints():
    names = vars(__import__(RESTORING_MODULE, fromlist=["*"]))
    (connector,) = (entry for name, entry in names.items() if name == "_CheckpointConnector")
    assert callable(connector.restore)


def test_the_loops_that_the_kill_benchmark_marks():
    assert all(inspect.isclass(loop) for loop in (_EvaluationLoop, _TrainingEpochLoop))
    assert callable(_TrainingEpochLoop.advance) and callable(_EvaluationLoop.run)


@pytest.mark.parametrize("name", ["lightning", "transformers"])
def test_its_versions_have_upper_bounds(name):
    lines = read_setup()["options"]["install_requires"].splitlines()
    (bound,) = (Requirement(line) for line in lines if line.startswith(name))
    assert any(part.operator == "<" for part in bound.specifier)
    assert bound.specifier.contains(version(name)), f"{name} {version(name)} was not tried"


def test_nothing_else_is_used_elsewhere():
    """Attributes of Lightning's objects that begin with an underscore."""
    owners = r"(?:trainer|strategy|loop|connector|plugin|pl_module)"
    private = re.compile(rf"\b{owners}\._[a-z]\w*")
    own = Path("src/showo_turbo/utils/lightning_internals.py")
    found = {
        path.relative_to(ROOT): private.findall(path.read_text())
        for folder in ("src", "callbacks")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert found.pop(own)
    assert not {path: uses for path, uses in found.items() if uses}
