from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.strategies import FSDPStrategy
from torch.optim.lr_scheduler import LambdaLR, LinearLR, SequentialLR

from showo_turbo.callbacks import CollapseAlarm, Curriculum, collapse_alarm
from showo_turbo.callbacks.collapse_alarm import CollapseLimits
from showo_turbo.curriculum import Stage
from showo_turbo.data import DistillationDataModule
from showo_turbo.errors import UserError
from showo_turbo.evaluation.collapse import ImageSigns, TextSigns
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.training.schedules import WarmupStableDecay

from .runs import Bystander, make_trainer, turbo_data, turbo_module

STAGES = [
    Stage(
        epochs=3,
        sampling=SamplingChanges(sampling_steps=2, token_temperature=1.0),
        image_segments=1,
        image_trajectories=8,
        learning_rate=1e-4,
    )
]
"""Two steps an epoch, on images that differ by their seeds."""
OF_ENTROPY = CollapseLimits(agreement=0.0)
"""Random networks agree by chance."""


class Collapse(Callback):
    """Has the student draw one code everywhere from the end of some steps on."""

    def __init__(self, *steps):
        self.steps = set(steps)
        self.rates = []
        self.weights = {}
        self.moments = {}

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        head = module.student.showo.lm_head.weight
        self.moments[trainer.global_step] = {
            name: value.clone() for name, value in trainer.optimizers[0].state[head].items()
        }
        self.weights[trainer.global_step] = module.student.showo.lm_head.weight.detach().clone()
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        if trainer.global_step in self.steps:
            self.steps.remove(trainer.global_step)
            head = module.student.showo.lm_head
            with torch.no_grad():
                head.weight.zero_()
                head.bias[module.student.vocabulary.image_offset] = 40.0


@pytest.fixture
def fit(tmp_path):
    def run(*callbacks, stages=STAGES, ckpt_path=None, **options):
        trainer = make_trainer(
            tmp_path,
            Curriculum(stages, batch_size=8, shard_size=8),
            *callbacks,
            max_epochs=-1,
            **options,
        )
        module = turbo_module(tmp_path)
        module.sampling = ImageSampling(4, token_temperature=1.0)
        trainer.fit(module, turbo_data(tmp_path), ckpt_path=ckpt_path)
        return trainer

    return run


@pytest.mark.parametrize(
    ("signs", "wrong"),
    [
        ({"code_entropy": 0.5, "repetitive": 0.1, "image_agreement": 0.4}, []),
        ({"code_entropy": 0.49}, ["the entropy of codes is 0.49 of the teacher's, below 0.5"]),
        ({"repetitive": 0.25}, ["25% of the answers repeat themselves, above 10%"]),
        ({"image_agreement": 0.39}, ["image_agreement is 0.39 after 0.80, below 0.5 of it"]),
        ({"text_agreement": 0.1}, []),
    ],
)
def test_limits_by_hand(signs, wrong):
    assert CollapseLimits().exceeded(signs, {"image_agreement": 0.8}) == wrong


def test_a_collapse_stops_the_run_and_names_the_last_good_checkpoint(fit, tmp_path):
    collapse = Collapse(4)
    with pytest.raises(UserError, match=r"collapses at step 4: the entropy of codes is 0\.00") as e:
        fit(collapse, CollapseAlarm(every_n_steps=2, limits=OF_ENTROPY))
    good = tmp_path / "collapse_alarm/good.ckpt"
    assert f"step 2 is kept in {good}" in str(e.value)
    state = torch.load(good, weights_only=True)
    assert state["global_step"] == 2
    assert torch.equal(state["state_dict"]["student.showo.lm_head.weight"], collapse.weights[2])


def test_a_run_goes_back_with_a_lower_rate_and_stops_when_that_does_not_help(fit):
    collapse = Collapse(4)
    alarm = {"every_n_steps": 2, "action": "roll_back", "limits": OF_ENTROPY}
    trainer = fit(collapse, CollapseAlarm(**alarm))
    assert trainer.global_step == 6
    assert torch.equal(collapse.weights[4], collapse.weights[2]), "as it was after two steps"
    assert collapse.moments[2], "the optimizer has moments"
    for name, value in collapse.moments[2].items():
        assert torch.equal(collapse.moments[4][name], value)
    assert not torch.equal(collapse.weights[5], collapse.weights[4]), "and training goes on"
    assert collapse.rates == pytest.approx([1e-4] * 4 + [5e-5] * 2)
    with pytest.raises(UserError, match="collapses at step 6"):
        fit(Collapse(4, 6), CollapseAlarm(**alarm, rollbacks=1))


def in_sequence(optimizer):
    parts = [LinearLR(optimizer, 1.0, 1.0, total_iters=1), LambdaLR(optimizer, lambda step: 1.0)]
    return SequentialLR(optimizer, parts, milestones=[1])


@pytest.mark.parametrize(
    "schedule",
    [
        partial(WarmupStableDecay, warmup_steps=1, total_steps=100, decay_steps=1),
        in_sequence,
    ],
    ids=["from the first rate", "in sequence"],
)
def test_a_schedule_goes_on_from_the_lower_rate(fit, schedule):
    stage = replace(STAGES[0], epochs=4, lr_scheduler=schedule, lr_interval="step")
    collapse = Collapse(4)
    alarm = CollapseAlarm(every_n_steps=2, action="roll_back", limits=OF_ENTROPY)
    fit(collapse, alarm, stages=[stage])
    assert collapse.rates[1:] == pytest.approx([1e-4] * 3 + [5e-5] * 4)


class Scripted(CollapseAlarm):
    """Finds the agreements that it is given, one after the other."""

    def __init__(self, *agreements, **options):
        super().__init__(every_n_steps=1, **options)
        self.agreements = list(agreements)

    def measure(self, trainer, module):
        return {"image_agreement": self.agreements.pop(0)}


def test_agreement_is_compared_with_the_best_so_far(fit):
    with pytest.raises(UserError, match=r"step 4: image_agreement is 0\.39 after 0\.80"):
        fit(Scripted(0.7, 0.8, 0.41, 0.39))


@pytest.fixture
def found(monkeypatch):
    """Signs as if they had been measured; the student is to be in eval mode then."""
    signs = SimpleNamespace(images=ImageSigns(1.0, 0.9), texts=TextSigns(0.0, 0.9))

    def of(name):
        def measured(student, records, options):
            assert not student.training
            return getattr(signs, name)

        return measured

    monkeypatch.setattr(collapse_alarm, "image_signs", of("images"))
    monkeypatch.setattr(collapse_alarm, "text_signs", of("texts"))
    return signs


class Worse(Callback):
    """Agreement falls with a stage's first step, before the alarm measures."""

    def __init__(self, signs, step):
        self.signs, self.step = signs, step

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if trainer.global_step == self.step:
            self.signs.images = ImageSigns(1.0, 0.2)


def test_other_trajectories_have_another_best_agreement(fit, found):
    alarm = CollapseAlarm(every_n_steps=1)
    trainer = fit(Worse(found, 6), alarm, stages=[*STAGES, *STAGES])
    assert trainer.global_step == 12
    with pytest.raises(UserError, match=r"step 4: image_agreement is 0\.20 after 0\.90"):
        found.images = ImageSigns(1.0, 0.9)
        fit(Worse(found, 3), CollapseAlarm(every_n_steps=1))


def test_answers_are_measured_where_they_are_trained_on(fit, found, monkeypatch):
    monkeypatch.setattr(DistillationDataModule, "first_texts", lambda data, count: [None] * count)
    trainer = fit(CollapseAlarm(every_n_steps=1, images=0))
    assert float(trainer.callback_metrics["collapse/text_agreement"]) == pytest.approx(0.9)
    assert "collapse/code_entropy" not in trainer.callback_metrics
    found.texts = TextSigns(0.5, 0.9)
    with pytest.raises(UserError, match="50% of the answers repeat themselves"):
        fit(CollapseAlarm(every_n_steps=1, images=0))


def test_a_run_goes_on_from_the_last_good_checkpoint(fit, tmp_path):
    options = {"every_n_steps": 2, "limits": OF_ENTROPY}
    whole = Collapse()
    fit(whole)
    with pytest.raises(UserError, match="collapses at step 4"):
        fit(Collapse(4), CollapseAlarm(**options))
    resumed = Collapse()
    good = tmp_path / "collapse_alarm/good.ckpt"
    trainer = fit(resumed, CollapseAlarm(**options), ckpt_path=good)
    assert trainer.global_step == 6
    assert min(resumed.weights) == 2
    for step, weights in resumed.weights.items():
        assert torch.equal(weights, whole.weights[step])


def test_a_run_goes_back_to_checkpoints_of_its_own_only(fit, tmp_path):
    alarm = {"every_n_steps": 2, "action": "roll_back", "limits": OF_ENTROPY}
    fit(CollapseAlarm(**alarm))
    assert (tmp_path / "collapse_alarm/good.ckpt").is_file()
    with pytest.raises(UserError, match="collapses at step 2") as e:
        fit(Collapse(2), CollapseAlarm(**alarm))
    assert "is kept in" not in str(e.value)


def test_a_warning_leaves_the_run_alone(fit, tmp_path):
    with pytest.warns(UserWarning, match="seems to collapse at step 2"):
        trainer = fit(Collapse(2), CollapseAlarm(every_n_steps=1, action="warn"))
    assert trainer.global_step == 6
    assert not (tmp_path / "collapse_alarm").exists()


def test_the_signs_are_logged_and_the_run_is_the_same_with_them(fit):
    with_alarm, without = Collapse(), Collapse()
    alarm = CollapseAlarm(every_n_steps=1, limits=CollapseLimits(0, 1, 0))
    trainer = fit(with_alarm, alarm)
    logged = trainer.callback_metrics
    signs = alarm.measure(trainer, trainer.lightning_module)  # nothing is trained after the last
    assert signs["code_entropy"] > 0
    for name in ("code_entropy", "image_agreement"):
        assert float(logged[f"collapse/{name}"]) == pytest.approx(signs[name])
    assert "collapse/repetitive" not in logged, "no text is trained on"
    fit(without)
    assert with_alarm.weights.keys() == without.weights.keys()
    for step, weights in with_alarm.weights.items():
        assert torch.equal(weights, without.weights[step])


def test_what_it_compares_with_is_in_the_checkpoint():
    alarm, resumed = CollapseAlarm(), CollapseAlarm()
    alarm.taken_back, alarm._best = 1, {"image_agreement": 0.5}
    alarm._measured_on, alarm._measured_at, alarm._good_step = "abc", 7, 5
    resumed.load_state_dict(alarm.state_dict())
    assert resumed.state_dict() == alarm.state_dict()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_n_steps": 0}, "every_n_steps is 0; expected at least 1"),
        ({"images": -1}, "images is -1; expected at least 0"),
        ({"images": 1}, "images is 1 and texts is 16; expected at least 2 images"),
        ({"images": 0, "texts": 0}, "images is 0 and texts is 0; expected at least 2 images"),
        ({"action": "restart"}, "action is 'restart'; choose warn, stop, roll_back"),
        ({"learning_rate_factor": 0.0}, r"learning_rate_factor is 0\.0; expected above 0"),
    ],
)
def test_options(options, message):
    with pytest.raises(UserError, match=message):
        CollapseAlarm(**options)


@pytest.mark.bad_input
def test_limits_are_shares():
    with pytest.raises(UserError, match=r"limits\.repetitive is 2"):
        CollapseLimits(repetitive=2)


@pytest.mark.bad_input
def test_only_a_student_is_watched(tmp_path):
    trainer = make_trainer(tmp_path, CollapseAlarm())
    with pytest.raises(UserError, match="watches ShowoTurbo, not Bystander"):
        trainer.fit(Bystander())


@pytest.mark.bad_input
def test_trajectories_are_needed(tmp_path):
    trainer = make_trainer(tmp_path, CollapseAlarm())
    with pytest.raises(UserError, match="there are none in NoneType"):
        trainer.fit(turbo_module(tmp_path), torch.zeros(2, 1))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("strategy", "callbacks", "message"),
    [
        (object.__new__(FSDPStrategy), [], "weights that FSDPStrategy shards; choose 'stop'"),
        (None, [EMAWeightAveraging()], "EMAWeightAveraging would keep the collapsed weights"),
    ],
    ids=["sharded", "averaged"],
)
def test_runs_that_cannot_be_taken_back(tmp_path, strategy, callbacks, message):
    module, data = turbo_module(tmp_path), turbo_data(tmp_path)
    trainer = SimpleNamespace(
        datamodule=data, strategy=strategy, callbacks=callbacks, default_root_dir=tmp_path
    )
    with pytest.raises(UserError, match=message):
        CollapseAlarm(action="roll_back").setup(trainer, module, "fit")
    CollapseAlarm(action="stop").setup(trainer, module, "fit")
