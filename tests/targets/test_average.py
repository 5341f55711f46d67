"""Lightning's EMA callback around `ShowoTurbo`: validated, saved, resumed, exported, a target."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

from showo_turbo.callbacks import Curriculum, ExportStudent
from showo_turbo.curriculum import Stage
from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.targets import AverageTarget, StudentTarget
from showo_turbo.training import measured as measuring

from ..callbacks.runs import make_trainer, turbo_data, turbo_module

DECAY = 0.5
STAGE = Stage(
    epochs=2,
    sampling=SamplingChanges(sampling_steps=2),
    image_segments=1,
    image_trajectories=8,
    learning_rate=0.01,
)


def weights_of(network):
    return torch.cat([value.detach().flatten().cpu() for value in network.parameters()]).clone()


class Follow(Callback):
    """Works the average out by itself: after each step, the student's weights and the average."""

    def __init__(self):
        self.students, self.averages, self.targets = [], [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.targets.append(weights_of(pl_module.consistency_target.network(pl_module)))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        weights = weights_of(pl_module.student)
        self.students.append(weights)
        before = self.averages[-1] if self.averages else weights  # the first one is a copy
        self.averages.append(DECAY * before + (1 - DECAY) * weights)


def fit(folder, *callbacks, target=None, ckpt_path=None, **options):
    module = turbo_module(folder)
    module.consistency_target = target or StudentTarget()
    follow = Follow()
    trainer = make_trainer(
        folder / "run",
        Curriculum([STAGE], batch_size=8),
        EMAWeightAveraging(decay=DECAY),
        follow,
        *callbacks,
        max_epochs=2,
        **options,
    )
    trainer.fit(module, turbo_data(folder), ckpt_path=ckpt_path)
    return module, follow


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_validation_measures_the_average(tmp_path, monkeypatch):
    measured = []
    run = measuring.run

    def noted(models, *given, **options):
        measured.append(weights_of(models["student"]().network))
        return run(models, *given, **options)

    monkeypatch.setattr(measuring, "run", noted)
    _, follow = fit(tmp_path, limit_val_batches=1, check_val_every_n_epoch=1)
    assert len(measured) == 2
    for number, found in enumerate(measured, start=1):
        step = number * len(follow.averages) // 2 - 1
        close(found, follow.averages[step])
        assert not torch.allclose(found, follow.students[step], atol=1e-4)


def test_the_average_is_exported_and_nothing_else_has_changed(tmp_path):
    module, follow = fit(tmp_path, ExportStudent())
    close(weights_of(Showo.from_pretrained(tmp_path / "run" / "student")), follow.averages[-1])
    fresh = turbo_module(tmp_path)
    fresh.configure_model()
    pixels = torch.rand(4, 3, 24, 24) * 2 - 1
    codes = module.image_tokenizer.encode(pixels)
    assert torch.equal(codes, fresh.image_tokenizer.encode(pixels))


def test_checkpoints_hold_both_and_are_resumed_from(tmp_path):
    kept = ModelCheckpoint(tmp_path / "kept", save_top_k=-1, filename="{epoch}")
    module, follow = fit(tmp_path, kept, enable_checkpointing=True)
    path = tmp_path / "kept" / "epoch=0.ckpt"
    saved = torch.load(path, weights_only=True)
    half = len(follow.students) // 2 - 1
    for part, expected in (
        ("state_dict", follow.averages[half]),
        ("current_model_state", follow.students[half]),
    ):
        assert all(key.startswith("student.") for key in saved[part])
        close(torch.cat([value.flatten() for value in saved[part].values()]), expected)

    resumed, _ = fit(tmp_path, ckpt_path=path)
    assert torch.equal(weights_of(resumed.student), weights_of(module.student))


def test_as_the_consistency_target(tmp_path):
    module, follow = fit(tmp_path, target=AverageTarget())
    close(follow.targets[0], weights_of(module.teacher))
    for found, expected in zip(follow.targets[1:], follow.averages[:-1], strict=True):
        close(found, expected)
        assert not torch.equal(found, weights_of(module.teacher))


@pytest.mark.bad_input
def test_a_target_that_nobody_averages(tmp_path):
    module = turbo_module(tmp_path)
    module.consistency_target = AverageTarget()
    with pytest.raises(UserError, match="no callback keeps an average"):
        make_trainer(tmp_path / "run", Curriculum([STAGE])).fit(module, turbo_data(tmp_path))
    assert not (tmp_path / "run" / "curriculum").exists()
