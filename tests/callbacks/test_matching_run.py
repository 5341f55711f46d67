"""A run with distribution matching: the networks that it needs, and where it is resumed."""

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from showo_turbo.callbacks import Curriculum
from showo_turbo.curriculum import Stage
from showo_turbo.losses import DistributionMatching, ImageCrossEntropy, LanguageModelLoss
from showo_turbo.sampling.image_sampling import SamplingChanges

from .runs import make_trainer, turbo_data, turbo_module

STAGES = [
    Stage(
        epochs=2,
        sampling=SamplingChanges(sampling_steps=2),
        image_segments=1,
        image_trajectories=8,
        learning_rate=1e-3,
    )
]


def fit(folder, epochs, resume=None):
    module = turbo_module(folder)
    module.losses = {
        "matching": DistributionMatching(auxiliary_rank=2),
        "labels": ImageCrossEntropy(),
        "language": LanguageModelLoss(),
    }
    checkpoints = ModelCheckpoint(folder / "checkpoints", save_last=True)
    trainer = make_trainer(
        folder,
        Curriculum(STAGES, batch_size=8, shard_size=8),
        checkpoints,
        max_epochs=epochs,
        enable_checkpointing=True,
    )
    trainer.fit(module, turbo_data(folder), ckpt_path=resume)
    return module, trainer, folder / "checkpoints/last.ckpt"


def test_a_resumed_run_ends_as_one_that_was_left_alone(tmp_path):
    whole, trainer, _ = fit(tmp_path / "whole", 2)
    assert trainer.callback_metrics["train/auxiliary"] > 0
    _, _, last = fit(tmp_path / "parts", 1)
    state = torch.load(last, weights_only=True)
    assert state["auxiliary"]["adapters"]
    assert not any(name.startswith(("base.", "teacher.")) for name in state["state_dict"])
    resumed, _, _ = fit(tmp_path / "parts", 2, last)
    theirs = whole.student.state_dict()
    for name, value in resumed.student.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    pairs = zip(resumed._auxiliary.parameters, whole._auxiliary.parameters, strict=True)
    assert all(torch.equal(mine, others) for mine, others in pairs)
