"""What only a GPU shows, in about five minutes on one card: `pytest -m gpu -s`."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.fabric.utilities.throughput import get_available_flops

from showo_turbo.cli.full_config import full_config
from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo
from showo_turbo.planning import estimate, read_run
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.sampling.parallel import decode_image_codes
from showo_turbo.training.compiling import compile_layers
from showo_turbo.training.float8 import check_hardware, multiply_in_float8
from showo_turbo.training.operations import CountedLayers

from .support import full_step
from .tiny import tiny_showo

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
CONFIGS = Path(__file__).parents[1] / "configs"
LAYERS = 4
"""Of the released network's 24, with its whole vocabulary."""


def planned(*overlays):
    files = [CONFIGS / f"{name}.yaml" for name in ("turbo", "turbo_256", *overlays)]
    run = read_run(full_config([part for file in files for part in ("-c", str(file))]))
    return replace(run, model=replace(run.model, layers=LAYERS), family=Showo)


def test_decoding_is_that_of_the_cpu():
    on_cpu, on_gpu = tiny_showo().double(), tiny_showo().double().cuda()
    prompts, sampling = [[1, 2, 3], [4], []], ImageSampling(4, guidance_scale=1.5)
    images = [decode_image_codes(net, prompts, sampling, [0, 1, 2]) for net in (on_cpu, on_gpu)]
    assert torch.equal(images[0], images[1].cpu())
    answers = [
        [r.tokens for r in jacobi_decode(net, images[0], prompts, max_new_tokens=24, block_size=8)]
        for net in (on_cpu, on_gpu)
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("way", ["as it is", "elementwise", "compiled", "flex", "flex, compiled"])
def test_gradients_are_those_of_the_cpu(way):
    run = replace(planned(), bfloat16=False, language_length=40, answer_length=32)
    sizes = {"hidden_size": 64, "layers": 2, "heads": 2, "image_tokens": 16}
    run = replace(run, model=replace(run.model, **sizes))
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        network = Showo(run.model).train().to(device)
        if device == "cuda" and way == "elementwise":
            network.gradient_checkpointing_enable(True)
        if device == "cuda" and "flex" in way:
            network.flex_attention_enable()
        if device == "cuda" and "compiled" in way:
            compile_layers(network)
        full_step.step(run, network, full_step.batches_of(run, device), device)
        found.append({name: p.grad.cpu() for name, p in network.named_parameters()})
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=2e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize("overlay", ["single_gpu", "80gb"])
def test_memory_is_what_plan_says(overlay):
    """The most that a whole step holds, within a tenth."""
    run = planned(f"hardware/{overlay}")
    network = Showo(run.model).train().cuda()
    if run.checkpointing:
        network.gradient_checkpointing_enable(*([True] if run.checkpointing != "layers" else []))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    batches = full_step.batches_of(run, "cuda")
    for _ in range(2):  # the optimizer has its states in the second
        torch.cuda.reset_peak_memory_stats()
        full_step.step(run, network, batches, "cuda")
        optimizer.step()
        optimizer.zero_grad()
    parts = next(phase for phase in estimate(run).phases if phase.name == "training").parts
    # Without the image tokenizer, which is not there.
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    said = sum(v for name, v in parts.items() if name not in ("overhead", "weights")) + weights
    held = torch.cuda.max_memory_allocated()
    print(f"\n{overlay}: {held / 1e9:.2f} GB, planned {said / 1e9:.2f}")
    assert held == pytest.approx(said, rel=0.1)


@pytest.mark.parametrize("way", ["as it is", "compiled", "flex, compiled", "float8, compiled"])
def test_throughput(way):
    """Prints it; to be compared between cards and versions."""
    run = planned("hardware/80gb")
    network = Showo(run.model).train().cuda()
    counted = CountedLayers(network)
    if "float8" in way:
        pytest.importorskip("torchao", reason="torchao is not installed")
        try:
            check_hardware()
        except UserError as error:
            pytest.skip(str(error))
        multiply_in_float8(network)
    if "flex" in way:
        network.flex_attention_enable()
    if "compiled" in way:
        compile_layers(network)
    batches = full_step.batches_of(run, "cuda")
    for _ in range(3):
        full_step.step(run, network, batches, "cuda")
    torch.cuda.synchronize()
    tokens, operations, began = counted.tokens, counted.operations, time.perf_counter()
    for _ in range(10):
        full_step.step(run, network, batches, "cuda")
    torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    rate = (counted.operations - operations) / seconds
    peak = get_available_flops(torch.device("cuda"), torch.bfloat16)
    share = f", MFU {rate / peak:.2f}" if peak else ""
    speed = f"{(counted.tokens - tokens) / seconds:.0f} tokens/s, {rate / 1e12:.0f} TFLOP/s"
    print(f"\n{way}: {speed}{share}")
    assert rate > 0
