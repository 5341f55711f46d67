"""No network beside the student that is not used."""

import pytest
import torch
from lightning.pytorch import Callback

from showo_turbo.callbacks import Curriculum
from showo_turbo.curriculum import Stage
from showo_turbo.curriculum.teacher import same_weights
from showo_turbo.models.modes import evaluating
from showo_turbo.models.registry import load_model
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.targets import StudentTarget, TeacherTarget
from showo_turbo.trajectories import collector, fingerprint_module

from ..tiny import tiny_showo
from .runs import make_trainer, turbo_data, turbo_module

STAGES = [
    Stage(
        epochs=1,
        sampling=SamplingChanges(sampling_steps=2),
        image_segments=1,
        image_trajectories=8,
        learning_rate=0.01,
    )
] * 2


class Networks(Callback):
    """Notes which networks are in the module while it trains."""

    def __init__(self):
        self.seen = set()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.seen.add(frozenset(name for name, _ in module.named_children()))


@pytest.fixture
def collected_by(monkeypatch):
    """The networks that images are collected with."""
    found = []
    given = collector.collect_images

    def noted(teacher, *arguments, **options):
        found.append(teacher)
        return given(teacher, *arguments, **options)

    monkeypatch.setattr(collector, "collect_images", noted)
    return found


def fit(folder, target, stages=STAGES, **options):
    module, networks = turbo_module(folder), Networks()
    module.consistency_target = target
    curriculum = Curriculum(list(stages), batch_size=8)
    make_trainer(folder / "run", curriculum, networks, max_epochs=-1, **options).fit(
        module, turbo_data(folder)
    )
    return module, networks.seen


def test_the_student_collects_and_no_teacher_lies_beside_it(tmp_path, collected_by):
    module, seen = fit(tmp_path, StudentTarget())
    assert collected_by == [module.student] * len(STAGES)
    assert seen == {frozenset({"student", "image_tokenizer"})}
    # Whoever asks for it gets the one of the last round, as it was saved.
    saved = load_model(tmp_path / "run/curriculum/round-1/teacher")
    assert fingerprint_module(module.teacher) == fingerprint_module(saved)
    assert module.teacher is module.teacher and not module.teacher.training
    assert not any(parameter.requires_grad for parameter in module.teacher.parameters())
    assert not same_weights(module.teacher, module.student), "the last stage has trained"


def test_a_target_that_needs_the_teacher_keeps_it(tmp_path, collected_by):
    module, seen = fit(tmp_path, TeacherTarget())
    assert collected_by == [module.teacher] * len(STAGES)
    assert seen == {frozenset({"student", "teacher", "image_tokenizer"})}


def test_trajectories_are_those_of_a_teacher_of_its_own(tmp_path):
    stores = []
    for target in (StudentTarget(), TeacherTarget()):
        folder = tmp_path / type(target).__name__
        fit(folder, target, STAGES[:1])
        store = folder / "run/curriculum/round-0/images"
        stores.append({path.name: path.read_bytes() for path in store.glob("*.safetensors")})
    assert stores[0] and stores[0] == stores[1]


def test_a_copy_in_autocast_s_type_collects_the_same(tmp_path, monkeypatch, collected_by):
    stores = []
    for name, is_student in (("student", True), ("copy", False)):
        if not is_student:
            monkeypatch.setattr("showo_turbo.curriculum.teacher.same_weights", lambda *_: False)
        fit(tmp_path / name, StudentTarget(), STAGES[:1], precision="bf16-mixed")
        store = tmp_path / name / "run/curriculum/round-0/images"
        stores.append({path.name: path.read_bytes() for path in store.glob("*.safetensors")})
    assert stores[0] and stores[0] == stores[1]
    types = [network.showo.lm_head.weight.dtype for network in collected_by]
    assert types == [torch.float32, torch.bfloat16]


def test_weights_are_compared_bit_for_bit():
    network, other = tiny_showo(0), tiny_showo(0)
    assert same_weights(network, other)
    with torch.no_grad():
        other.showo.lm_head.bias[3] = other.showo.lm_head.bias[3].nextafter(torch.tensor(9.0))
    assert not same_weights(network, other)


def test_submodules_keep_their_own_modes():
    network = tiny_showo(0).train()
    network.showo.lm_head.eval()
    with evaluating(network):
        assert not any(part.training for part in network.modules())
    assert network.training and not network.showo.lm_head.training
