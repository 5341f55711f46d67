"""Plans of the shipped configurations whose models are trained first, and of other kinds."""

from dataclasses import replace
from pathlib import Path

import pytest

from showo_turbo.cli.full_config import full_config
from showo_turbo.errors import UserError
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.models.registry import load_config
from showo_turbo.planning import estimate, read_run
from showo_turbo.trajectories import TrajectoryStore
from showo_turbo.trajectories.manifest import StoreIdentity
from showo_turbo.utils.files import write_json

CONFIGS = Path(__file__).parents[2] / "configs"
OTHERS = [*CONFIGS.glob("pretrain_*.yaml"), *CONFIGS.glob("clip_*.yaml")]


def planned(*files, devices=None):
    arguments = [part for file in files for part in ("-c", str(CONFIGS / file))]
    return read_run(full_config(arguments), devices)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Where the models are that the configurations name, without their weights."""
    shapes = load_config("shapes")
    configs = {
        "clips/model": replace(shapes, image_tokens=180, video_frames=5),
        "clips/model/image_tokenizer": replace(MAGVITv2.read_config("shapes"), temporal_halvings=2),
        "stories/model": replace(shapes, max_position_embeddings=384),
    }
    for name, config in configs.items():
        (tmp_path / "runs" / name).mkdir(parents=True, exist_ok=True)
        write_json(tmp_path / "runs" / name / "config.json", config.to_dict())
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("file", sorted(path.name for path in OTHERS))
@pytest.mark.bad_input
def test_runs_of_another_kind(file):
    with pytest.raises(UserError, match=r"^plan estimates runs of ShowoTurbo, not of Pretrain\w+"):
        planned(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps"),
    [("student_clips", (5 * 1024 + 4 * 4 * 1536) // 16), ("quickstart_mmada", 3 * 4 * 5120 // 64)],
)
def test_models_that_are_trained_first(trained, name, steps):
    found = estimate(planned(f"{name}.yaml"))
    assert found.steps == steps and 3e6 < found.parameters < 5e6
    assert [phase.name for phase in found.phases] == ["training", "collecting"]
    assert 0.5e9 < found.peak.total < 3e9


@pytest.mark.slow
def test_stories_need_no_collecting(trained):
    for kind, count in (("images", 1536), ("texts", 512)):
        identity = StoreIdentity(kind, "teacher", "prompts", count, 256, {})
        TrajectoryStore.create_or_continue(f"data/story-trajectories/{kind}", identity)
    found = estimate(planned("student_stories.yaml"))
    assert [phase.name for phase in found.phases] == list(found.operations) == ["training"]
    assert found.steps == 8 * 1536 // 32 and found.disk["trajectories"] == 0


@pytest.mark.slow
def test_mmada_on_eight_devices():
    run = planned("turbo.yaml", "turbo_mmada.yaml", "hardware/fsdp.yaml", devices=8)
    assert run.sharded and run.denoised
    found = estimate(run)
    assert 8e9 < found.parameters < 8.2e9 and found.steps == 2 * 20000 // (2 * 8)
    assert all(found.parameters / 2 < phase.total < 80e9 for phase in found.phases)


@pytest.mark.slow
def test_adapters_of_mmada_on_one_device():
    """The frozen weights, a teacher of its own that collects, and hardly anything else."""
    run = planned("turbo.yaml", "turbo_mmada.yaml", "hardware/80gb_lora.yaml")
    found = estimate(run)
    whole = estimate(replace(run, lora=None))
    assert run.lora.rank == 32 and found.trained == found.parameters - whole.parameters
    assert 5e7 < found.trained < 1e8 and whole.trained == whole.parameters
    training, collecting = found.phases
    assert training.parts["states"] == 8 * found.trained
    assert 4 * found.parameters < training.total < 48e9
    assert 6 * found.parameters < collecting.total < 64e9
    assert whole.phases[0].total > 100e9
    assert found.operations["training"] < 0.8 * whole.operations["training"]
