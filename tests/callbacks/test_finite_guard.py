"""Runs of `ShowoTurbo` in which a number goes wrong at a chosen step."""

import json
import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from showo_turbo.callbacks import Curriculum, FiniteGuard
from showo_turbo.cli.main import main
from showo_turbo.cli.replay import replay
from showo_turbo.curriculum import Stage
from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.trajectories.batch_file import load_batch

from .runs import make_trainer, turbo_data, turbo_module

TWO_STEPS = SamplingChanges(sampling_steps=2)
STAGES = [Stage(epochs=2, sampling=TWO_STEPS, image_segments=1, image_trajectories=8)]
"""Two steps an epoch."""


class Poison(Callback):
    """Makes the loss or a gradient of one step not a number."""

    def __init__(self, step, what, value=math.nan):
        self.step = step
        self.what = what
        self.value = value
        self.weights = []

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        self.weights.append(module.student.showo.lm_head.weight.detach().clone())
        if trainer.global_step == self.step and self.what == "batch":
            batch["image"].q_log_probs.fill_(self.value)

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step == self.step and self.what == "gradient":
            module.student.showo.lm_head.weight.grad[0, 0] = self.value


class Losses(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.seen.append(float(outputs["loss"]))


@pytest.fixture
def fit(tmp_path):
    def run(*callbacks):
        module = turbo_module(tmp_path)
        checkpoints = ModelCheckpoint(
            tmp_path / "checkpoints", every_n_train_steps=1, save_top_k=-1, save_last=True
        )
        trainer = make_trainer(
            tmp_path,
            Curriculum(STAGES, batch_size=8, shard_size=8),
            *callbacks,
            checkpoints,
            max_epochs=-1,
            enable_checkpointing=True,
        )
        trainer.fit(module, turbo_data(tmp_path))
        return module

    return run


@pytest.mark.parametrize(
    ("what", "value"), [("batch", math.nan), ("batch", math.inf), ("gradient", -math.inf)]
)
def test_the_run_stops_and_what_led_there_is_kept(fit, tmp_path, what, value):
    with pytest.raises(UserError, match=r"step 1 is not finite .*showo-turbo replay") as error:
        fit(Poison(1, what, value), FiniteGuard())
    folder = tmp_path / "incidents/step-1"
    assert str(folder) in str(error.value) and "last.ckpt" in str(error.value)
    incident = json.loads((folder / "incident.json").read_text())
    assert (incident["step"], incident["epoch"], incident["processes"]) == (1, 0, 1)
    assert incident["data"]["seed"] == 0
    assert incident["losses"].keys() >= {"loss", "image_regularizer", "language"}
    if what == "batch":
        assert incident["losses"]["image_regularizer"] in ("nan", "inf", "-inf")
        assert isinstance(incident["losses"]["language"], float)
    assert "student.showo.lm_head.weight" in incident["gradients_not_finite"]
    batch = load_batch(folder / "batch-0-1.safetensors")
    assert batch["image"].q_log_probs.isfinite().all() == (what == "gradient")
    # The last checkpoint is that of the step before, with weights that are numbers.
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 1
    assert all(value.isfinite().all() for value in last["state_dict"].values())


def test_a_step_that_may_be_skipped_leaves_the_weights_alone(fit, tmp_path):
    poison, losses = Poison(1, "gradient"), Losses()
    module = fit(poison, FiniteGuard(skip=1), losses)
    assert torch.equal(poison.weights[1], poison.weights[2])
    assert not torch.equal(poison.weights[2], poison.weights[3])
    assert len(losses.seen) == 4
    assert all(p.isfinite().all() for p in module.student.parameters())
    assert (tmp_path / "incidents/step-1/incident.json").is_file()
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert last["callbacks"]["FiniteGuard"] == {"skipped": 1}


def test_no_more_than_allowed_are_skipped(fit):
    with pytest.raises(UserError, match="step 2 is not finite"):
        fit(Poison(1, "gradient"), Poison(2, "batch"), FiniteGuard(skip=1))


def test_a_sound_run_is_the_same_with_the_guard(fit, tmp_path):
    with_guard = Losses()
    fit(FiniteGuard(), with_guard)
    without = Losses()
    fit(without)
    assert with_guard.seen == without.seen
    assert not (tmp_path / "incidents").exists()


def test_the_batch_is_replayed(fit, tmp_path, capsys):
    with pytest.raises(UserError):
        fit(Poison(1, "batch"), FiniteGuard())
    folder = tmp_path / "incidents/step-1"
    incident = json.loads((folder / "incident.json").read_text())
    main(["replay", str(folder), "--device", "cpu"])
    shown = capsys.readouterr().out
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:4]
        for line in shown.splitlines()
        if "│" in line
    }
    for name, recorded in incident["losses"].items():
        if "/" in name:
            continue
        replayed, run = (cell.strip() for cell in rows[name])
        assert run == str(recorded)
        assert float(replayed) == pytest.approx(float(recorded), rel=1e-6, nan_ok=True)
    assert "first output that is not finite: none" in shown  # the numbers went wrong in the loss
    assert "student.showo.lm_head.weight" in shown.split("gradients that are not finite:")[1]


def test_a_network_that_overflows_is_found_out(fit, tmp_path, capsys):
    """A weight that became infinite: replaying names the module where it shows first."""

    class Break(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_index):
            with torch.no_grad():
                module.student.showo.model.layers[1].mlp.fc1.weight[0, 0] = math.inf

    with pytest.raises(UserError, match="step 0 is not finite"):
        fit(Break(), FiniteGuard())
    main(["replay", str(tmp_path / "incidents/step-0"), "--device", "cpu"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "first output that is not finite: student.showo.model.layers.1.mlp.fc1" in shown


@pytest.mark.bad_input
def test_what_is_no_incident_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"incident\.json does not exist"):
        replay(tmp_path)
    (tmp_path / "incident.json").write_text("{}")
    with pytest.raises(UserError, match="describes no incident"):
        replay(tmp_path)
    with pytest.raises(UserError, match="skip is -1"):
        FiniteGuard(skip=-1)
