"""Runs of `showo-turbo fit` in two processes on the CPU, next to runs in one."""

import signal
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from .support.watched_run import Run, small_run, whole

LOSS_TOLERANCE = {"rel": 1e-5, "abs": 1e-6}
"""Halves of a batch are summed in another order than the whole, step after step. The absolute part
is for divergences of nearly equal distributions, which are differences of numbers around 1."""

FSDP = {
    "auto_wrap_policy": ["transformers.models.phi.modeling_phi.PhiDecoderLayer"],
    "state_dict_type": "full",
}

BY_LAYER = {
    "strategy": {"class_path": "showo_turbo.training.sharding.FullySharded"},
    "module": {"backward_by_stream": True, "gradient_checkpointing": True},
}
"""As in `configs/hardware/fsdp.yaml`, with `configs/turbo.yaml`."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    small_run.write_model(folder)
    return folder


@pytest.fixture(scope="module")
def one(model, python, tmp_path_factory):
    """One process with the batch that two have together."""
    run = Run(tmp_path_factory.mktemp("one") / "run", model, python)
    whole(run.fit(4, processes=1))
    return run


@pytest.fixture(scope="module")
def two(model, python, tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("two") / "run", model, python)
    whole(run.fit(2, processes=2))
    return run


def test_trajectories_do_not_depend_on_the_number_of_processes(one, two):
    # Later teachers are students of sums in another order.
    assert one.files("curriculum/round-0") == two.files("curriculum/round-0")


def test_each_shard_is_collected_once(two):
    shards = [[note["shard"] for note in two.notes(rank) if "shard" in note] for rank in (0, 1)]
    assert all(shards), "both processes collect"
    assert set(Counter(shards[0] + shards[1]).values()) == {1}
    stored = set((two.folder / "run/curriculum").rglob("*s-*.safetensors"))
    assert {two.folder / shard for shard in shards[0] + shards[1]} == stored


def test_both_switch_stages_together(two):
    first, second = (
        [(note["step"], note["epoch"], note["stage"]) for note in two.batches(rank)]
        for rank in (0, 1)
    )
    assert first == second
    assert {stage for _, _, stage in first} == {0, 1}


def test_a_global_batch_is_the_same_samples(one, two):
    together = [
        sorted(a["samples"] + b["samples"])
        for a, b in zip(two.batches(0), two.batches(1), strict=True)
        if a["stage"] == 0
    ]
    assert together == [sorted(n["samples"]) for n in one.batches() if n["stage"] == 0]


def test_losses_are_those_of_one_process(one, two):
    alone, joint = one.losses(), two.losses()
    assert alone.keys() == joint.keys()
    assert len(alone) > 6 * 9
    first_stage = {name for name in alone if int(name.rpartition(" ")[2]) < 6}
    for name in first_stage:
        assert joint[name] == pytest.approx(alone[name], **LOSS_TOLERANCE), name


def test_streams_one_after_the_other(model, one, python, tmp_path):
    """As in `configs/hardware/ddp.yaml`, with `configs/turbo.yaml`: exchanged once a step."""
    run = Run(tmp_path / "run", model, python)
    copies = {"class_path": "DDPStrategy", "init_args": {"gradient_as_bucket_view": True}}
    whole(run.fit(2, processes=2, strategy=copies, module={"backward_by_stream": True}))
    alone, joint = one.losses(), run.losses()
    assert alone.keys() == joint.keys()
    for name in (name for name in alone if int(name.rpartition(" ")[2]) < 6):
        assert joint[name] == pytest.approx(alone[name], **LOSS_TOLERANCE), name


def samples_of_the_run(run):
    """Samples by epoch, of all processes before and after the run was resumed."""
    by_epoch = {}
    for rank in (0, 1):
        if not (run.folder / f"notes-{rank}.jsonl").exists():
            continue
        for note in run.batches(rank):
            by_epoch.setdefault(note["epoch"], []).extend(note["samples"])
    return by_epoch


def once_each(by_epoch):
    # Twelve trajectories an epoch, each at one drawn step.
    assert sorted(by_epoch) == [0, 1, 2]
    for samples in by_epoch.values():
        assert set(Counter(samples).values()) == {1}
        assert len({sample.rpartition(",")[0] for sample in samples}) == 12


def test_a_process_that_dies_ends_the_run_with_a_message(model, python, tmp_path):
    """It dies before it has consumed anything of step 1; one process goes on from there."""
    rank = 0  # the other one dies in `test_fully_sharded_networks`
    run = Run(tmp_path / "run", model, python)
    ended = run.fit(2, processes=2, die=f"{rank} at 1")
    assert ended.returncode != 0
    assert "another process of this run has died" in ended.stderr
    assert run.batches(rank), ended.stderr[-3000:]  # It had trained by then.
    # The batch that the survivor had begun was lost with the step.
    survivor = run.folder / f"notes-{1 - rank}.jsonl"
    kept = [line for line in survivor.read_text().splitlines() if '"step": 1,' not in line]
    survivor.write_text("".join(f"{line}\n" for line in kept))
    last = torch.load(run.folder / "run/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 1
    whole(run.fit(2, processes=1))
    once_each(samples_of_the_run(run))


def test_a_run_of_one_process_goes_on_in_two(model, python, tmp_path):
    run = Run(tmp_path / "run", model, python)
    assert run.fit(2, processes=1, die="0 at 2").returncode == -signal.SIGKILL
    whole(run.fit(2, processes=2))
    once_each(samples_of_the_run(run))


def test_fully_sharded_networks(model, one, python, tmp_path):
    """Collected, trained, saved, killed, resumed and exported, with the losses of one process."""
    run = Run(tmp_path / "run", model, python)
    sharded = {"strategy": {"class_path": "my_callbacks.CPUFSDP", "init_args": FSDP}}
    ended = run.fit(2, processes=2, die="1 at 7", **sharded)
    assert "another process of this run has died" in ended.stderr
    assert len(run.batches(0)) in (7, 8)
    whole(run.fit(2, processes=2, **sharded))
    assert run.files("curriculum/round-0") == one.files("curriculum/round-0")
    alone, joint = one.losses(), run.losses()
    for name in (name for name in alone if int(name.rpartition(" ")[2]) < 6):
        assert joint[name] == pytest.approx(alone[name], **LOSS_TOLERANCE), name
    exported = load_file(run.folder / "run/student/pytorch_model.safetensors")
    other = load_file(one.folder / "run/student/pytorch_model.safetensors")
    assert exported.keys() == other.keys()
    assert all(exported[name].shape == other[name].shape for name in other)


def test_networks_sharded_by_layer(model, one, python, tmp_path):
    """Killed, resumed from checkpoints in parts by two processes and by one, and exported."""
    run = Run(tmp_path / "run", model, python)
    ended = run.fit(2, processes=2, die="1 at 4", **BY_LAYER)
    assert "another process of this run has died" in ended.stderr
    last = run.folder / "run/checkpoints/last.ckpt"
    assert {part.name for part in last.iterdir()} > {"meta.pt", ".metadata"}
    ended = run.fit(2, processes=2, die="0 at 8", **BY_LAYER)
    assert "another process of this run has died" in ended.stderr
    whole(run.fit(4, processes=1, **BY_LAYER))
    assert run.files("curriculum/round-0") == one.files("curriculum/round-0")
    alone, joint = one.losses(), run.losses()
    assert alone.keys() == joint.keys()
    for name in (name for name in alone if int(name.rpartition(" ")[2]) < 6):
        assert joint[name] == pytest.approx(alone[name], **LOSS_TOLERANCE), name
    exported = load_file(run.folder / "run/student/pytorch_model.safetensors")
    other = load_file(one.folder / "run/student/pytorch_model.safetensors")
    assert {k: v.shape for k, v in exported.items()} == {k: v.shape for k, v in other.items()}


def test_fully_sharded_adapters(model, python, tmp_path):
    """Only they are trained, in the checkpoints they stay apart, and the export is merged."""
    one, two = (Run(tmp_path / name, model, python) for name in ("one", "two"))
    whole(one.fit(4, processes=1, lora={"rank": 2}))
    sharded = {"strategy": {"class_path": "my_callbacks.CPUFSDP", "init_args": FSDP}}
    whole(two.fit(2, processes=2, lora={"rank": 2}, **sharded))
    alone, joint = one.losses(), two.losses()
    for name in (name for name in alone if int(name.rpartition(" ")[2]) < 6):
        assert joint[name] == pytest.approx(alone[name], **LOSS_TOLERANCE), name
    before, after = (
        load_file(folder / "pytorch_model.safetensors")
        for folder in (model, two.folder / "run/student")
    )
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    state = torch.load(two.folder / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    adapted = {
        name.removeprefix("student.").replace(".lora_A.default.weight", ".weight")
        for name in state
        if ".lora_A." in name
    }
    assert changed == adapted and len(adapted) > 4
