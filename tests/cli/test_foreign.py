"""Classes of others that cannot be built end in one line."""

import pytest
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

pytestmark = pytest.mark.bad_input


class Picky(Callback):
    def __init__(self, size: int = 3) -> None:
        if size > 3:
            raise ValueError(f"size {size} is\ntoo large")


class NeedsPackage(Logger):
    def __init__(self) -> None:
        import a_package_that_nobody_has  # noqa: F401

    name = version = "none"

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params):
        pass


@pytest.fixture
def config(tmp_path):
    def write(**trainer):
        content = {
            "model": {"class_path": "PretrainMAGVITv2"},
            "data": {
                "class_path": "ImageDataModule",
                "init_args": {"resolution": 16, "captions": None, "shapes": None},
            },
            "trainer": {"accelerator": "cpu", "default_root_dir": str(tmp_path / "run")} | trainer,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_a_callback_says_what_is_wrong_with_its_value(mistake, config, tmp_path):
    picky = {"class_path": f"{__name__}.Picky", "init_args": {"size": 4}}
    line = mistake("fit", "-c", config(callbacks=[picky]))
    assert f"{__name__}.Picky cannot be built (ValueError: size 4 is too large)" in line
    assert "correct its init_args" in line and "--debug" in line
    assert not (tmp_path / "run").exists()


def test_a_logger_says_which_package_it_lacks(mistake, config, tmp_path):
    line = mistake("fit", "-c", config(logger={"class_path": f"{__name__}.NeedsPackage"}))
    assert "NeedsPackage cannot be built (ModuleNotFoundError: No module named" in line
    assert "install what it needs" in line
    assert not (tmp_path / "run").exists()
