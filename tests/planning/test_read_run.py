"""What of a configuration decides a plan, and what a plan rejects."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from lightning.pytorch.strategies import FSDPStrategy

from showo_turbo.cli.full_config import full_config
from showo_turbo.errors import UserError
from showo_turbo.losses import ImageCrossEntropy
from showo_turbo.planning import estimate, read_run
from showo_turbo.planning.stages import begun_stages
from showo_turbo.training.stream_backward import check_stream_backward
from showo_turbo.trajectories import TrajectoryStore
from showo_turbo.utils.dotted_keys import with_value

CONFIGS = Path(__file__).parents[2] / "configs"
STAGES = "trainer.callbacks.Curriculum.init_args.stages"
DDP = {"class_path": "DDPStrategy", "init_args": {"gradient_as_bucket_view": True}}
SHARDED = {"class_path": "showo_turbo.training.sharding.FullySharded"}


class KeepsTheBase(ImageCrossEntropy):
    """A term that asks for the model that training started from."""

    needs_base = True


@cache
def quickstart():
    return full_config(["-c", str(CONFIGS / "quickstart.yaml")])


def changed(changes, devices=None):
    config = quickstart()
    for key, value in changes.items():
        config = with_value(config, key, value)
    return read_run(config, devices)


@pytest.mark.parametrize(
    ("strategy", "devices", "nodes", "count", "sharded", "copies"),
    [
        ("auto", 1, 1, 1, False, False),
        ("auto", 2, 1, 2, False, True),
        ("auto", 1, 2, 2, False, True),
        ("ddp", "0,1", 1, 2, False, True),
        (DDP, [0, 1, 2], 2, 6, False, False),
        (SHARDED, "4", 2, 8, True, False),
    ],
)
def test_devices_and_how_they_share(strategy, devices, nodes, count, sharded, copies):
    keys = {"strategy": strategy, "devices": devices, "num_nodes": nodes}
    run = changed({f"trainer.{key}": value for key, value in keys.items()})
    assert (run.devices, run.sharded, run.bucket_copies) == (count, sharded, copies)
    assert changed({"trainer.num_nodes": nodes}, devices=3).devices == 3


@pytest.mark.parametrize(
    ("precision", "half"),
    [("32-true", False), ("16-mixed", True), (16, True), ("bf16-mixed", True)],
)
def test_the_width_of_activations(precision, half):
    run = changed({"trainer.precision": precision, "trainer.plugins": []})
    assert run.bfloat16 is half


@pytest.mark.bad_input
def test_backward_passes_that_fit_rejects():
    class Trainer:
        strategy = FSDPStrategy.__new__(FSDPStrategy)
        precision_plugin = None

    with pytest.raises(UserError) as theirs:
        check_stream_backward(Trainer)
    by_stream = {"model.init_args.backward_by_stream": True}
    with pytest.raises(UserError) as ours:
        changed(by_stream | {"trainer.strategy": "fsdp"})
    assert str(ours.value) == str(theirs.value)
    assert changed({"trainer.strategy": "fsdp"}, devices=2).sharded
    scaled = by_stream | {"trainer.precision": "16-mixed", "trainer.plugins": []}
    with pytest.raises(UserError, match="but 16-mixed scales the loss of the step as a whole"):
        changed(scaled)
    assert changed(scaled | {"trainer.accelerator": "cpu"}).bfloat16


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("term", "asked"),
    [
        ("DistributionMatching", "draft"),
        ("DraftAndCorrect", "draft"),
        ("GuidanceDistillation", "base_logits"),
        ("SelfCorrection", "corrupted"),
        ("ChainedTextConsistency", "chained_logits"),
    ],
)
def test_terms_that_are_not_estimated(term, asked):
    given = {"class_path": f"showo_turbo.losses.{term}", "init_args": {"weight": 0.0}}
    losses = quickstart()["model"]["init_args"]["losses"] | {"own": given}
    unused = {"model.init_args.losses": losses}
    assert changed(unused).base == (asked in ("draft", "base_logits"))
    message = rf"^plan cannot estimate the loss term own: {term} asks for {asked}; leave it out.*$"
    with pytest.raises(UserError, match=message):
        changed(unused | {f"{STAGES}.1.loss_weights": {"own": 1.0}})
    with pytest.raises(UserError, match=message):
        changed({"model.init_args.losses": losses | {"own": given | {"init_args": {}}}})


def test_a_term_that_needs_the_base():
    assert not changed({}).base
    losses = {"own": {"class_path": f"{__name__}.KeepsTheBase"}}
    assert changed({"model.init_args.losses": losses}).base


@pytest.mark.bad_input
def test_trajectories_without_a_number():
    for kind, of in (("image", "captions"), ("text", "questions")):
        unknown = {f"{STAGES}.2.{kind}_trajectories": None}
        message = (
            f"^stage 3 trains on trajectories of all {of} of the data, and plan needs their number;"
            f" name it in {kind}_trajectories of the stage$"
        )
        with pytest.raises(UserError, match=message):
            changed(unknown)
        unused = changed(unknown | {f"data.init_args.batch_sizes.{kind}": 0})
        assert all(f"{kind}s" not in stage.collects for stage in unused.stages)


def test_stored_trajectories(tmp_path, monkeypatch):
    class Store:
        complete, num_samples = True, 1000

    monkeypatch.setattr(TrajectoryStore, "inspect", lambda folder: Store)
    stored = {"data.init_args.trajectories": {"images": str(tmp_path), "texts": None}}
    unknown = {f"{STAGES}.0.image_trajectories": None}
    first, second, *_ = changed(stored | unknown).stages
    assert (first.images, first.texts, first.collects) == (1000, 512, {"texts"})
    assert (second.images, second.collects) == (5120, {"images", "texts"})
    # The first of two rounds is stored.
    refreshed = {f"{STAGES}.0.refresh_every_n_epochs": 2, f"{STAGES}.0.images_per_caption": 2}
    first, second, *_ = changed(stored | refreshed).stages
    assert (first.epochs, first.rounds, first.images) == (2, 1, 1000)
    assert (second.epochs, second.rounds, second.images) == (2, 1, 2 * 5120)
    missing = {"data.init_args.trajectories": {"images": "nowhere/images"}}
    assert changed(missing).stages[0].images == 5120
    message = r"^stage 1 trains on trajectories of nowhere/images, which is missing, and plan needs"
    with pytest.raises(UserError, match=message):
        changed(missing | unknown)


def test_a_run_that_ends_before_its_stages_do():
    whole = changed({})
    steps = [epochs * 80 for epochs in (4, 4, 5)]  # 5,120 trajectories in batches of 64
    assert estimate(whole).steps == sum(steps)
    short = changed({"trainer.max_steps": steps[0] + 100})
    found = estimate(short)
    assert found.steps == steps[0] + 100
    # Two stages are begun, and two epochs of the second.
    assert found.disk["teachers"] == pytest.approx(estimate(whole).disk["teachers"] * 2 / 3)
    one_epoch = estimate(whole).operations["training"] / sum(steps)
    assert found.operations["training"] == pytest.approx(one_epoch * found.steps)
    assert begun_stages(whole.stages, lambda stage: 80, 0) == ()


def test_an_epoch_of_some_samples():
    run = changed({"data.init_args.samples_per_epoch": 640})
    assert estimate(run).steps == 10 * sum(stage.epochs for stage in run.stages)
    stage = replace(run.stages[0], epochs=6, rounds=3)
    (cut,) = begun_stages([stage], lambda stage: 10, 25)
    assert (cut.epochs, cut.rounds) == (3, 2)
