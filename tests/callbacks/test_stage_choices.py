"""What a stage of the curriculum chooses: pictures, states, weights, targets, captions."""

from functools import partial
from types import SimpleNamespace

import pytest
from lightning.pytorch import Callback

from showo_turbo.callbacks import Curriculum
from showo_turbo.curriculum import Stage
from showo_turbo.curriculum.trajectories import RoundTrajectories
from showo_turbo.errors import UserError
from showo_turbo.models.registry import load_model
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.shapes import ShapesChecker
from showo_turbo.targets import StudentTarget, TeacherTarget
from showo_turbo.trajectories import (
    Coupled,
    FirstAccepted,
    ImageTrajectoryDataset,
    Mixed,
    PartlyKnown,
    Sampled,
    UniformDraws,
    fingerprint_module,
)

from .runs import make_trainer, turbo_data, turbo_module

TEACHER = Sampled(SamplingChanges(sampling_steps=2))
BASE = Sampled(network="base")
DENSE = " at the |(two|three|four) (red|orange|yellow|green|blue|purple)"
stage = partial(
    Stage,
    epochs=1,
    sampling=SamplingChanges(sampling_steps=4),
    image_segments=1,
    image_trajectories=6,
)


class Watch(Callback):
    """Notes what every batch is trained with."""

    def __init__(self):
        self.weights, self.targets, self.states, self.known = [], [], [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.weights.append(module.losses["image_consistency"].weight)
        self.targets.append(type(module.consistency_target))
        self.states.append(batch["image"].step.tolist())
        begun = ~batch["image"].masked_k[batch["image"].step == 0]
        self.known += begun.any(dim=1).tolist()


def fit(folder, stages, **options):
    module = turbo_module(folder)
    for name, value in options.items():
        setattr(module, name, value)
    watch = Watch()
    curriculum = Curriculum(stages, batch_size=6, shard_size=6)
    trainer = make_trainer(folder, curriculum, watch, max_epochs=-1)
    trainer.fit(module, turbo_data(folder))
    return curriculum, watch, module


def test_each_stage_chooses_for_itself(tmp_path):
    stages = [
        stage(draws=UniformDraws(first=1.0), partly_known=PartlyKnown(share=1.0)),
        stage(
            source=Mixed([TEACHER, BASE]),
            loss_weights={"image_consistency": 0.7},
            consistency_target=TeacherTarget(),
            skip_prompts="red|blue",
        ),
        stage(),
    ]
    curriculum, watch, _ = fit(tmp_path, stages)
    batches = len(watch.weights) // 3
    assert watch.weights == [0.05] * batches + [0.7] * batches + [0.05] * batches
    kinds = [StudentTarget, TeacherTarget, StudentTarget]
    assert watch.targets == [kind for kind in kinds for _ in range(batches)]
    assert {k for states in watch.states[:batches] for k in states} == {0}
    assert {k for states in watch.states[2 * batches :] for k in states} > {0}

    samples = sum(map(len, watch.states[:batches]))
    assert watch.known[:samples] == [True] * samples and not any(watch.known[samples:])

    datasets = [
        ImageTrajectoryDataset(curriculum.round_folder(index) / "images") for index in range(3)
    ]
    drawn = [[record.prompt for record in dataset] for dataset in datasets]
    assert not any("red" in prompt or "blue" in prompt for prompt in drawn[1])
    assert not set(drawn[0]) & set(drawn[2]), "every round draws captions that no other one drew"
    assert {record.steps for record in datasets[1]} == {2, 4}
    settings = datasets[1].store.identity.settings
    base = load_model(curriculum.round_folder(0) / "teacher")
    assert settings["base"] == fingerprint_module(base)
    assert settings["base"] != datasets[1].store.identity.teacher
    assert "source" not in datasets[2].store.identity.settings


def test_pictures_of_a_caption_are_coupled_with_the_noise_that_the_student_reads(tmp_path):
    sampling = SamplingChanges(sampling_steps=2, token_temperature=1.0)
    stages = [
        stage(source=Coupled(), sampling=sampling, image_trajectories=4, images_per_caption=3),
        stage(sampling=SamplingChanges(sampling_steps=2), image_trajectories=4),
    ]
    curriculum, _, module = fit(tmp_path, stages, noise_size=8)
    first, second = (
        ImageTrajectoryDataset(curriculum.round_folder(index) / "images") for index in range(2)
    )
    assert [record.prompt for record in first][::3] == list(
        dict.fromkeys(record.prompt for record in first)
    )
    assert len(first) == 12
    assert len({record.noise_seed for record in first}) == 12
    assert module.student.noise.image.weight.abs().sum() > 0, "the noise is trained"
    teacher = load_model(curriculum.round_folder(1) / "teacher")
    assert teacher.noise_size == 8
    base = load_model(curriculum.round_folder(0) / "teacher")
    assert not base.noise.image.weight.any(), "which is without an effect at first"
    assert len(second) == 4


def test_a_stage_whose_pictures_are_all_rejected_ends_the_run(tmp_path):
    accepted = FirstAccepted([TEACHER], ShapesChecker())
    stages = [stage(source=accepted, skip_prompts=DENSE)]
    with pytest.raises(UserError, match=r"all images for 6 captions were rejected"):
        fit(tmp_path, stages)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss_weights": {"image": 1.0}}, "names image; expected one of image_consistency"),
        ({"loss_weights": {"image_consistency": -1.0}}, "weight of image_consistency is -1.0"),
        ({"images_per_caption": 4}, "images_per_caption is 4, but batch_size is 6"),
        ({"source": Coupled()}, "the student reads none"),
        ({"skip_prompts": "("}, "not a regular expression"),
        ({"source": FirstAccepted([BASE], ShapesChecker())}, "ShapesChecker cannot judge"),
        ({"source": Sampled(SamplingChanges(sampling_steps=99))}, "sampling_steps is 99"),
    ],
)
def test_choices_that_do_not_fit_are_refused_before_anything_is_collected(
    tmp_path, changes, message
):
    with pytest.raises(UserError, match=message):
        fit(tmp_path, [stage(), stage(**changes)])
    assert not list(tmp_path.rglob("round-*"))


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["source", "draws", "consistency_target"])
def test_objects_of_another_kind_are_refused(name):
    with pytest.raises(UserError, match=f"{name} is of the class str"):
        stage(**{name: "mine"})


@pytest.mark.bad_input
def test_a_part_of_a_clip_is_not_known():
    """Boxes of tokens are drawn on one grid."""
    module = SimpleNamespace(student=SimpleNamespace(config=SimpleNamespace(video_frames=5)))
    stages = [Stage(epochs=1, partly_known=PartlyKnown(share=0.3))]
    with pytest.raises(UserError, match=r"stage 1: share of partly_known is 0\.3, but .* clips"):
        RoundTrajectories(1, 8, 8).check(None, module, None, stages, 0, None)
