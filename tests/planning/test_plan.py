"""What runs need: the shipped configurations, and a step of a small network as it is measured."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from showo_turbo.cli.full_config import full_config
from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo
from showo_turbo.planning import estimate, read_run
from showo_turbo.planning.live_bytes import LiveBytes
from showo_turbo.planning.stages import names_base
from showo_turbo.planning.step import step_bytes
from showo_turbo.training.lora import LoRAOptions, add_lora

from ..support import full_step

CONFIGS = Path(__file__).parents[2] / "configs"
GB = 10**9
PARAMETERS = 24 * (4 * 2048**2 + 2 * 4 * 2048**2) + 2 * 58498 * 2048
"""Matrices of the released network by hand: attention, feed-forward, embeddings and head."""

LIMITS = {
    # overlay: devices, GB of training, GB of collecting
    "single_gpu": (1, 26, 14),
    "24gb": (1, 20, 14),
    "80gb": (1, 33, 14),
    "8x24gb": (8, 12, 12),
}


@cache
def planned(name, *overlays, devices=None):
    files = [CONFIGS / "turbo.yaml", CONFIGS / f"{name}.yaml"]
    files = files if name.startswith("turbo_") else files[1:]
    files += [CONFIGS / "hardware" / f"{overlay}.yaml" for overlay in overlays]
    return read_run(full_config([part for file in files for part in ("-c", str(file))]), devices)


def check_24gb(found):
    """A released network fits a card of 24 GB, for a run of hours."""
    assert PARAMETERS < found.parameters < 1.01 * PARAMETERS
    for phase in found.phases:
        assert phase.parts["weights"] > 4 * PARAMETERS
        assert phase.total < 24 * GB, (phase.name, phase.parts)
    assert found.steps > 1000 and found.hours(1e14, 1) > 1
    assert found.disk["checkpoint"] > 6 * PARAMETERS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turbo_256_renewed", "turbo_512_renewed"])
def test_renewed_runs_on_one_card(name):
    check_24gb(estimate(planned(name, "24gb")))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turbo_256", "turbo_512"])
@pytest.mark.parametrize("overlay", LIMITS)
def test_overlays_keep_to_their_cards(name, overlay):
    devices, training, collecting = LIMITS[overlay]
    run = planned(name, overlay)
    assert run.devices == devices
    needed = estimate(run)
    if overlay == "24gb":
        check_24gb(needed)
    found = {phase.name: phase for phase in needed.phases}
    assert found["training"].total < training * GB, found["training"].parts
    assert found["collecting"].total < collecting * GB, found["collecting"].parts


def test_the_quickstart():
    run = planned("quickstart")
    found = estimate(run)
    assert found.peak.total < 1.2 * GB and run.checkpointing is None
    assert [stage.guided for stage in run.stages] == [True, False, False]
    assert found.steps == (4 + 4 + 5) * 5120 // 64


@pytest.mark.bad_input
def test_a_family_whose_sizes_are_not_known(tmp_path, monkeypatch):
    examples = CONFIGS.parent / "examples" / "extend"
    monkeypatch.syspath_prepend(str(examples))
    import own_family

    base = own_family.LabelMaskGIT(
        own_family.LabelMaskGITConfig(("a",), hidden_size=16, layers=1, heads=2)
    )
    base.save_pretrained(tmp_path / "base")
    (tmp_path / "own.yaml").write_text(
        f"model: {{init_args: {{student: {tmp_path}/base, family: own_family.LabelMaskGIT}}}}"
    )
    files = ["-c", str(CONFIGS / "quickstart.yaml"), "-c", str(tmp_path / "own.yaml")]
    with pytest.raises(UserError, match=r"of LabelMaskGIT: .* has no .*max_text_length"):
        read_run(full_config(files))


def test_options_change_their_part():
    run = planned("quickstart")
    run = replace(run, model=replace(run.model, layers=2))

    def training(**changes):
        return estimate(replace(run, **changes)).phases[0].parts

    found = estimate(run)
    parts, parameters = found.phases[0].parts, found.parameters
    assert training(state_bytes=0.0)["states"] == 0 < parts["states"]
    assert training(teacher=True)["weights"] - parts["weights"] == 4 * parameters
    held = [training(checkpointing=way)["activations"] for way in ("layers", "elementwise", None)]
    assert held[0] < held[1] < held[2] == parts["activations"]
    assert training(bucket_copies=True)["exchange"] == 4 * parameters
    base = estimate(replace(run, base=True, accumulated=100))
    assert base.phases[0].parts["weights"] - parts["weights"] == 4 * parameters
    assert base.steps == 4 + 4 + 5 and base.operations == found.operations
    apart, together = training(by_stream=True), training(by_stream=False)
    assert apart["activations"] + apart["logits"] < together["activations"] + together["logits"]


def test_tensors_without_contents_take_what_real_ones_take(monkeypatch):
    """The same step with contents: the peak of live bytes is the same."""
    run = replace(planned("quickstart"), bfloat16=False)
    _, without = step_bytes(run)

    class Real:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr("showo_turbo.planning.step.FakeTensorMode", Real)
    torch.manual_seed(0)
    _, real = step_bytes(run)
    assert sum(without.values()) == pytest.approx(sum(real.values()), rel=0.05)
    assert LiveBytes().peak.keys() == real.keys()


@pytest.mark.parametrize(("checkpointing", "by_stream"), [(None, False), ("layers", True)])
def test_a_deep_network_takes_what_shallow_ones_tell(checkpointing, by_stream, monkeypatch):
    run = planned("quickstart")
    run = replace(
        run,
        model=replace(run.model, layers=11),
        checkpointing=checkpointing,
        by_stream=by_stream,
        streams=planned("turbo_256").streams,
    )
    _, said = step_bytes(run)
    monkeypatch.setattr("showo_turbo.planning.step.RUN_LAYERS", (6, 6))
    network, found = step_bytes(run)
    assert len(network.showo.model.layers) == 11
    assert sum(said.values()) == pytest.approx(sum(found.values()), rel=0.003)
    within = 0.01 * sum(found.values())
    assert said == {name: pytest.approx(value, abs=within) for name, value in found.items()}


@pytest.mark.parametrize(
    ("checkpointing", "rank"), [(None, 0), ("layers", 0), ("elementwise", 0), ("layers", 8)]
)
def test_a_step_of_training_takes_what_is_planned(checkpointing, rank):
    """The package's own step, over real tensors: its losses, masks and branches of answers."""
    run = planned("quickstart")
    model = replace(run.model, layers=2)
    run = replace(
        run,
        model=model,
        bfloat16=True,
        by_stream=True,
        checkpointing=checkpointing,
        lora=LoRAOptions(rank) if rank else None,
        batches={"image": 8, "text": 2, "language": 4},
        streams=planned("turbo_256").streams,
    )
    _, said = step_bytes(run)
    network = Showo(model).train()
    if run.lora is not None:
        add_lora(network, run.lora)
    if checkpointing:
        network.gradient_checkpointing_enable(checkpointing == "elementwise")
    batches = full_step.batches_of(run)
    there = [*network.parameters(), *network.buffers()]
    meter = LiveBytes(there, (model.codebook_size, model.text_vocabulary_size))
    meter.watch(p for p in network.parameters() if p.requires_grad)
    with meter:
        full_step.step(run, network, batches)
    assert sum(meter.peak.values()) == pytest.approx(sum(said.values()), rel=0.1)


def test_who_collects_decides_what_is_held():
    """Bytes of weights while collecting, in float32."""
    run = planned("quickstart")
    run = replace(run, stages=tuple(replace(stage, needs_base=False) for stage in run.stages))

    def held(**changes):
        found = estimate(replace(run, bfloat16=False, **changes))
        return found.phases[1].parts["weights"], 4 * found.parameters

    student, own = held()
    assert held(teacher=True)[0] == student + own
    assert held(perturbed=True)[0] == student + own
    assert held(perturbed=True, teacher=True) == held(teacher=True)
    adapted, whole = held(lora=LoRAOptions(8))
    assert whole > own and adapted == student - own + 2 * whole
    stages = tuple(replace(stage, needs_base=True) for stage in run.stages)
    assert held(stages=stages)[0] == student + own


def test_a_source_that_generates_with_the_base_is_seen():
    kind = "showo_turbo.trajectories"
    named = {"class_path": f"{kind}.Sampled", "init_args": {"network": "base"}}
    for source, expected in (
        (None, False),
        ({"class_path": f"{kind}.Sampled"}, False),
        (named, True),
        ({"class_path": f"{kind}.Mixed", "init_args": {"sources": [named]}}, True),
        ({"class_path": f"{kind}.Inpainted"}, True),
        ({"class_path": f"{kind}.Inpainted", "init_args": {"network": "teacher"}}, False),
    ):
        assert names_base(source) is expected


@pytest.mark.bad_input
def test_too_little_memory_names_the_part(monkeypatch):
    from showo_turbo.cli.plan import plan

    files = [str(CONFIGS / "quickstart.yaml")]
    plan(files, memory=8)
    with pytest.raises(UserError, match=r"^no: \w+ needs .* than the 0\.01 GB .* most of it"):
        plan(files, memory=0.01)
    with pytest.raises(UserError, match="--memory is -1"):
        plan(files, memory=-1)
    with pytest.raises(UserError, match="--devices is 0"):
        plan(files, devices=0)
