"""Averages that hold nothing are refused, and those that have not begun are the student."""

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging

from showo_turbo.callbacks import Curriculum, ExportStudent
from showo_turbo.curriculum import Stage
from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.training import measured as measuring

from ..callbacks.runs import make_trainer, turbo_data, turbo_module

STAGE = Stage(
    epochs=2,
    sampling=SamplingChanges(sampling_steps=2),
    image_segments=1,
    image_trajectories=8,
    learning_rate=0.01,
)


def weights_of(network):
    return torch.cat([value.detach().flatten() for value in network.parameters()]).clone()


def fit(folder, *callbacks, stages=(STAGE,), **options):
    module = turbo_module(folder)
    trainer = make_trainer(
        folder / "run", Curriculum(list(stages), batch_size=8), *callbacks, **options
    )
    trainer.fit(module, turbo_data(folder))
    return module


def test_an_average_that_never_begins_is_the_student(tmp_path, monkeypatch):
    measured = []
    run = measuring.run

    def noted(models, *given, **options):
        measured.append(weights_of(models["student"]().network))
        return run(models, *given, **options)

    monkeypatch.setattr(measuring, "run", noted)
    late = EMAWeightAveraging(decay=0.5, update_starting_at_step=1000)
    options = {"max_epochs": 2, "limit_val_batches": 1, "check_val_every_n_epoch": 1}
    with pytest.warns(UserWarning, match="the average of EMAWeightAveraging never began"):
        module = fit(tmp_path / "ema", late, ExportStudent(), **options)
    plain = fit(tmp_path / "plain", **options)
    assert torch.equal(weights_of(module.student), weights_of(plain.student))
    exported = Showo.from_pretrained(tmp_path / "ema/run/student")
    assert torch.equal(weights_of(exported), weights_of(plain.student))
    assert not torch.equal(weights_of(exported), weights_of(module.teacher))
    half = len(measured) // 2
    for ours, theirs in zip(measured[:half], measured[half:], strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.bad_input
def test_an_average_of_nothing_is_refused(tmp_path):
    swa = StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
    with pytest.raises(UserError, match="would average nothing"):
        fit(tmp_path, swa, max_epochs=2)
    assert not list(tmp_path.rglob("round-*"))


@pytest.mark.bad_input
@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_weights_of_another_type_are_refused(tmp_path, precision):
    with pytest.raises(UserError, match=f"precision is {precision}"):
        fit(tmp_path, precision=precision)
    assert not list(tmp_path.rglob("round-*"))


def test_stages_that_did_not_run_are_named(tmp_path):
    said = "ended in stage 1 of 3, and did not run stage 2 and 3; with max_epochs -1"
    with pytest.warns(UserWarning, match=said):
        fit(tmp_path, stages=[STAGE] * 3, max_epochs=1)
