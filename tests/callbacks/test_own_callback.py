"""A user's own callback, from a folder of his own, plugged as the page on extending says."""

import re
import sys
from pathlib import Path

import pytest

from showo_turbo.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the files of the page's section on callbacks."""
    page = (ROOT / "docs" / "extending.md").read_text()
    for name in ("my_callbacks/tell_loss.py", "mine.yaml"):
        (block,) = re.findall(rf"```\w+\n(# {re.escape(name)}\n.*?)```", page, flags=re.DOTALL)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_callbacks"]:
        del sys.modules[name]


def test_it_is_called_beside_those_of_the_configuration(here, world, capsys):
    main(
        [
            "fit",
            *("-c", str(ROOT / "configs/pretrain_magvitv2.yaml")),
            *("-c", str(ROOT / "configs/hardware/cpu.yaml")),
            *("-c", "mine.yaml", "--trainer.callbacks.every", "2"),
            *("--data.init_args.shapes.folder", str(world)),
            *("--data.init_args.shapes.images=48", "--data.init_args.shapes.documents=16"),
            *("--data.init_args.shapes.validation_images=8", "--data.init_args.batch_size=4"),
            *("--trainer.max_steps=4", "--trainer.limit_val_batches=0", "--trainer.logger=false"),
        ]
    )
    told = re.findall(
        r"step (\d+): loss -?\d+\.\d{3}$", capsys.readouterr().out, flags=re.MULTILINE
    )
    assert told == ["2", "4"]
    assert (here / "runs/pretrain_magvitv2/checkpoints/last.ckpt").exists()
