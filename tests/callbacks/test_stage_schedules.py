"""Learning rates by stage: torch's schedulers, through runs that are killed and resumed."""

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.loggers import CSVLogger
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

from showo_turbo.cli.main import main
from showo_turbo.errors import UserError

from ..cli.experiment import small_experiment
from .test_curriculum import STAGES, KillAt, Killed, checkpoint_of, run

WARMUP_COSINE = """
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


class WarmupCosine(SequentialLR):
    def __init__(self, optimizer, warmup: int = 2, total: int = 6):
        warm = LinearLR(optimizer, 0.1, total_iters=warmup)
        fall = CosineAnnealingLR(optimizer, total - warmup)
        super().__init__(optimizer, [warm, fall], milestones=[warmup])
"""


def sequential(optimizer):
    parts = [LinearLR(optimizer, 0.5, total_iters=1), CosineAnnealingLR(optimizer, 3)]
    return SequentialLR(optimizer, parts, milestones=[1])


def chained(optimizer):
    return ChainedScheduler(
        [LinearLR(optimizer, 0.5, total_iters=3), ExponentialLR(optimizer, 0.9)]
    )


ONE_CYCLE = partial(OneCycleLR, max_lr=1e-3, total_steps=8)


def stages(*schedulers, interval="step", **changes):
    """Two stages, of four and of three batches."""
    return [
        replace(stage, lr_scheduler=made, lr_interval=interval, **changes)
        for stage, made in zip(STAGES, schedulers, strict=True)
    ]


@pytest.mark.parametrize("schedulers", [(ONE_CYCLE, sequential), (chained, ONE_CYCLE)])
def test_a_resumed_run_has_the_same_rates_and_bits(
    random_shapes_model, world, tmp_path, schedulers
):
    """Killed within an epoch, at an epoch's end, at the change of stage, after it."""
    options = {"stages": stages(*schedulers)}
    whole = tmp_path / "whole"
    module, trainer, seen = run(random_shapes_model, world, whole, **options)
    rates = [rate for _, _, rate, _ in seen]
    assert len(set(rates)) > 4, "they move with every batch"
    assert len(trainer.lr_scheduler_configs) == 1
    for step in (1, 2, 4, 5):
        folder = tmp_path / f"killed-{step}"
        with pytest.raises(Killed):
            run(random_shapes_model, world, folder, callbacks=[KillAt(step)], **options)
        checkpoint = checkpoint_of(folder, step)
        resumed, _, rest = run(random_shapes_model, world, folder, ckpt_path=checkpoint, **options)
        assert rest == seen[step:]
        for key, value in module.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[key]), key


def test_rates_by_stage(random_shapes_model, world, tmp_path):
    """Each stage begins with its own rate, or the optimizer's; the monitor logs it."""
    first = replace(STAGES[0], lr_scheduler=partial(StepLR, step_size=1, gamma=0.5))
    second = replace(STAGES[1], learning_rate=None, lr_scheduler=partial(ExponentialLR, gamma=0.1))
    second = replace(second, epochs=2, refresh_every_n_epochs=1)
    third = replace(STAGES[1], learning_rate=3e-4)
    fourth = replace(STAGES[1], learning_rate=None)
    logger = CSVLogger(tmp_path)
    _, trainer, seen = run(
        random_shapes_model,
        world,
        tmp_path,
        stages=[first, second, third, fourth],
        callbacks=[LearningRateMonitor("epoch")],
        every=100,
        logger=logger,
    )
    by_epoch = [1e-3, 5e-4, 1e-3, 1e-4, 3e-4, 3e-4]
    batches = [2, 2, 3, 3, 3, 3]
    expected = [rate for rate, count in zip(by_epoch, batches, strict=True) for _ in range(count)]
    assert [rate for _, _, rate, _ in seen] == pytest.approx(expected)
    with Path(logger.log_dir, "metrics.csv").open() as file:
        logged = [row["lr-AdamW/pg1"] for row in csv.DictReader(file)]
    assert [float(rate) for rate in logged if rate] == pytest.approx(by_epoch)
    assert trainer.lr_scheduler_configs == [], "a constant rate has no scheduler"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lr_scheduler": partial(OneCycleLR, max_lr=1.0)},
            r"stage 2: the lr_scheduler cannot be made \(You must define either total_steps",
        ),
        (
            {"lr_scheduler": partial(OneCycleLR, max_lr=1.0, total_steps=2), "epochs": 4},
            "stage 2: the lr_scheduler ends before the stage's 4 epochs do",
        ),
        (
            {"lr_scheduler": partial(ReduceLROnPlateau, monitor="train/loss")},
            "stage 2: the lr_scheduler is ReduceLROnPlateau, which Lightning steps only when",
        ),
        ({"lr_scheduler": lambda optimizer: None}, "stage 2: the lr_scheduler makes a NoneType"),
        (
            {"lr_scheduler": partial(StepLR, step_size=1, gamma=-1.0)},
            "makes the learning rate -0.0005 after epoch 1; expected 0 or more",
        ),
    ],
)
def test_what_torch_refuses_is_said_before_collecting(
    random_shapes_model, world, tmp_path, changes, message
):
    with pytest.raises(UserError, match=message):
        run(random_shapes_model, world, tmp_path, stages=[STAGES[0], replace(STAGES[1], **changes)])
    assert not (tmp_path / "curriculum").exists()


@pytest.mark.bad_input
def test_steps_beyond_the_end_of_a_schedule(random_shapes_model, world, tmp_path):
    """How many steps a stage has is known once its trajectories are there."""
    short = partial(OneCycleLR, max_lr=1e-3, total_steps=3)
    with pytest.raises(UserError, match=r"OneCycleLR cannot go on at step 4 \(.*3.*\)"):
        run(random_shapes_model, world, tmp_path, stages=stages(short, short))


@pytest.mark.bad_input
def test_one_cycle_without_momentum_is_refused(random_shapes_model, world, tmp_path):
    with pytest.raises(UserError, match="momentum"):
        run(
            random_shapes_model,
            world,
            tmp_path,
            stages=stages(ONE_CYCLE, ONE_CYCLE),
            optimizer=partial(torch.optim.Adagrad, lr=1e-3),
        )
    assert not (tmp_path / "curriculum").exists()


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["learning_rate", "lr_scheduler"])
def test_rates_in_the_stages_and_in_the_model_are_refused(
    random_shapes_model, world, tmp_path, name
):
    plain = replace(STAGES[0], learning_rate=None, lr_scheduler=None)
    own = replace(plain, **{name: getattr(STAGES[0], name)})
    with pytest.raises(UserError, match=f"stage 2 has a {name}, .* not both"):
        run(random_shapes_model, world, tmp_path, stages=[plain, own], lr_scheduler=sequential)
    assert not (tmp_path / "curriculum").exists()


@pytest.mark.parametrize(
    "made",
    [ONE_CYCLE, sequential, chained, partial(ReduceLROnPlateau, monitor="train/loss", patience=0)],
)
def test_a_scheduler_of_the_model_goes_on_over_the_stages(
    random_shapes_model, world, tmp_path, made
):
    plain = [replace(stage, learning_rate=None, lr_scheduler=None) for stage in STAGES]
    _, trainer, seen = run(
        random_shapes_model, world, tmp_path, stages=plain, lr_scheduler=made, every=100
    )
    (config,) = trainer.lr_scheduler_configs
    assert len(seen) == 7
    if config.interval == "step":
        assert config.scheduler.state_dict()
        assert len({rate for _, _, rate, _ in seen}) > 3


def test_a_scheduler_of_ones_own_from_yaml(random_shapes_model, world, tmp_path, monkeypatch):
    """What was saved as the run's configuration can be read again."""
    (tmp_path / "my_sched_of_the_test.py").write_text(WARMUP_COSINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = small_experiment(random_shapes_model, world)
    (stage,) = config["trainer"]["callbacks"][0]["init_args"]["stages"]
    stage |= {
        "learning_rate": 1e-3,
        "lr_interval": "step",
        "lr_scheduler": {
            "class_path": "my_sched_of_the_test.WarmupCosine",
            "init_args": {"total": 4},
        },
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "-c", "run.yaml"])
    (saved,) = (tmp_path / "runs/base").rglob("config.yaml")
    written = yaml.safe_load(saved.read_text())["trainer"]["callbacks"]
    (curriculum,) = (entry for entry in written if entry["class_path"].endswith("Curriculum"))
    (stage,) = curriculum["init_args"]["stages"]
    assert stage["lr_scheduler"]["init_args"] == {"warmup": 2, "total": 4}
    checkpoint = torch.load(tmp_path / "runs/base/checkpoints/last.ckpt", weights_only=True)
    (state,) = checkpoint["lr_schedulers"]
    assert state["last_epoch"] == checkpoint["global_step"] == 6
    main(["fit", "-c", str(saved), "--resume", "auto"])
