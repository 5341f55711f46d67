"""Memory, time and disk of a run, added up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import cos, pi

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ..models.magvitv2 import MAGVITv2
from .passes import QUESTION, passes_of
from .run import Run
from .stages import StageOfRun, begun_stages
from .step import step_bytes

GB = 10**9
ITERATIONS = 8
"""Jacobi iterations of a block of 16 tokens, a round number of what teachers take."""

ANSWER = 0.25
"""Length of a mean answer, as a share of the longest."""

CONTEXT = 0.5 * GB
"""What a GPU's driver and libraries take for themselves."""

GAPS = 0.1
"""What an allocator loses, as a share of what comes and goes within a step."""

SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class Phase:
    """A phase of the run on one device.

    Attributes:
        name: `training` or `collecting`.
        parts: Bytes by part.
    """

    name: str
    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """Bytes of all parts."""
        return sum(self.parts.values())

    @property
    def largest(self) -> str:
        """The part that takes most."""
        return max(self.parts, key=lambda name: self.parts[name])


@dataclass(frozen=True)
class Estimate:
    """What a run needs.

    Attributes:
        parameters: Of the student, with its adapters if it has any.
        trained: Those of them that are trained.
        phases: Memory of each device; of collecting, if anything is collected.
        operations: Floating-point operations of all devices, likewise.
        steps: Optimizer steps.
        disk: Bytes by what is written.
    """

    parameters: int
    trained: int
    phases: tuple[Phase, ...]
    operations: Mapping[str, float]
    steps: int
    disk: Mapping[str, float]

    @property
    def peak(self) -> Phase:
        """The phase that needs most memory."""
        return max(self.phases, key=lambda phase: phase.total)

    def hours(self, rate: float, devices: int) -> float:
        """Time at a rate.

        Args:
            rate: Operations a second that a device sustains.
            devices: How many share the work.
        """
        return sum(self.operations.values()) / (rate * devices) / SECONDS_AN_HOUR


def estimate(run: Run) -> Estimate:
    """Estimate a run, without a GPU and without weights.

    Raises:
        UserError: If the network cannot be run over tensors without contents.
    """
    run = replace(run, stages=begun_stages(run.stages, partial(_epoch_steps, run), run.max_steps))
    network, step = step_bytes(run)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    needed = _with_overhead(run, _training(run, network, parameters, trained, step))
    phases = [Phase("training", needed)]
    if any(stage.collects for stage in run.stages):
        needed = _with_overhead(run, _collecting(run, network, parameters, trained))
        phases.append(Phase("collecting", needed))
    return Estimate(
        parameters=parameters,
        trained=trained,
        phases=tuple(phases),
        operations=_operations(run, network),
        steps=_steps(run),
        disk=_disk(run, parameters, trained),
    )


def _with_overhead(run: Run, parts: dict[str, float]) -> dict[str, float]:
    moving = sum(parts.get(name, 0.0) for name in ("logits", "activations", "cache"))
    return parts | {"overhead": GAPS * moving + CONTEXT * run.on_gpu}


def _training(
    run: Run, network: nn.Module, parameters: int, trained: int, step: Mapping[str, int]
) -> dict[str, float]:
    """Bytes of each part where they are the most together: in a backward pass, or in the step."""
    shards = run.devices if run.sharded else 1
    networks = 1 + run.teacher + run.average + run.base
    weights = 4 * parameters * networks / shards + _image_tokenizer_bytes(run)
    # A sharded network gathers a layer while the next comes, and its embeddings and head for good.
    if run.sharded:
        weights += 2 * (_outside_layers(network) + 2 * _layers(network) / run.model.layers)
    gradients = 4 * trained / shards
    in_backward = {name: float(step[name]) for name in ("gradients", "logits", "activations")}
    in_step = {"gradients": gradients, "logits": 0.0, "activations": 0.0, "step": 0.0}
    in_step["step"] = 4 * trained / shards if run.copies_states else 0.0
    chosen = max(in_backward, in_step, key=lambda parts: sum(parts.values()))
    return {
        "weights": weights,
        "states": run.state_bytes * trained / shards,
        **chosen,
        "exchange": float(4 * trained if run.bucket_copies else 0),
    }


def _collecting(run: Run, network: nn.Module, parameters: int, trained: int) -> dict[str, float]:
    """Bytes of each part while the teacher decodes the larger of images and texts."""
    model = run.model
    shards = run.devices if run.sharded else 1
    weights = 4 * parameters * (1 + run.average + run.base + run.teacher) / shards
    weights += 4 * parameters * any(stage.needs_base for stage in run.stages)
    width = 2 if run.bfloat16 else 4
    # Without a whole teacher beside it, a student that equals it collects; else a copy does, whose
    # linear layers are in autocast's type.
    if run.sharded or (run.begins_apart and not run.teacher):
        weights += 4 * parameters - (4 - width) * (_layers(network) + _head(network))
    slot = 0 if run.denoised else 2 * model.layers * model.hidden_size * width
    guided = any(stage.guided for stage in run.stages if "images" in stage.collects)
    rows = {"images": run.collect_batch * (2 if guided else 1), "texts": run.collect_batch}
    tokens = {
        "images": model.max_text_length + model.image_tokens + 3,
        "texts": model.image_tokens + QUESTION + run.answer_length + run.block_size,
    }
    # Hidden states in float32, and the inner ones of a layer.
    inner = (
        model.hidden_size * 4 * 3 + (model.intermediate_size or 4 * model.hidden_size) * 2 * width
    )
    needs = []
    for kind in sorted(set().union(*(stage.collects for stage in run.stages))):
        at_once = model.image_tokens + (2 if kind == "images" else QUESTION)
        at_once = tokens[kind] if run.denoised else at_once
        scored = model.image_tokens if kind == "images" else run.block_size
        classes = model.codebook_size if kind == "images" else run.text_vocabulary_size
        needs.append(
            {
                "cache": float(rows[kind] * tokens[kind] * slot),
                "logits": float(rows[kind] * scored * classes * (width + 2 * 4)),
                "activations": float(rows[kind] * at_once * inner),
            }
        )
    most = max(needs, key=lambda parts: sum(parts.values()), default={})
    states = run.state_bytes * trained / shards if run.keeps_states else 0.0
    return {"weights": weights + _image_tokenizer_bytes(run), "states": states, **most}


def _operations(run: Run, network: nn.Module) -> dict[str, float]:
    """Operations of all devices, two for each multiplication with a weight or within attention."""
    model, layers = run.model, _layers(network)

    def forward(tokens: float, length: float) -> float:
        attention = 4 * tokens * length * model.hidden_size * model.layers
        return float(2 * tokens * layers + attention)

    step = 0.0
    for made in (made for passes in passes_of(run).values() for made in passes):
        # Forward, and the gradients of inputs and of weights, of which adapters have few.
        times = (1 + 1 + (run.lora is None) + (run.checkpointing == "layers")) if made.graded else 1
        step += times * forward(made.count * made.length, made.length)
        head = (2 + (run.lora is None)) if made.graded else 1
        step += head * 2 * made.rows * made.classes * model.hidden_size
    batches = sum(stage.epochs * _batches(run, stage) for stage in run.stages)
    if run.max_steps is not None:
        batches = min(batches, run.max_steps * run.accumulated)
    training = step * run.devices * batches
    collecting = 0.0
    for stage in run.stages:
        length = model.max_text_length + model.image_tokens + 3
        one = forward(length if run.denoised else model.image_tokens + 2, length)
        one += 2 * model.image_tokens * model.codebook_size * model.hidden_size
        images = stage.images * stage.sampling_steps * (2 if stage.guided else 1) * one
        answer = ANSWER * run.answer_length
        blocks = answer / run.block_size
        prefix = model.image_tokens + QUESTION
        a_block = forward(run.block_size, prefix + answer)
        a_block += 2 * run.block_size * run.text_vocabulary_size * model.hidden_size
        texts = stage.texts * (forward(prefix, prefix) + blocks * ITERATIONS * a_block)
        if run.denoised:
            whole = prefix + run.answer_length
            texts = stage.texts * ANSWER * stage.text_steps * forward(whole, whole)
            texts *= 2 if stage.text_guided else 1
        collecting += stage.rounds * (
            images * ("images" in stage.collects) + texts * ("texts" in stage.collects)
        )
    operations = {"collecting": collecting, "training": training}
    return {name: count for name, count in operations.items() if count}


def _steps(run: Run) -> int:
    """Optimizer steps of all stages."""
    steps = sum(stage.epochs * _epoch_steps(run, stage) for stage in run.stages)
    return steps if run.max_steps is None else min(steps, run.max_steps)


def _epoch_steps(run: Run, stage: StageOfRun) -> int:
    """Optimizer steps of an epoch: the last one may be of fewer batches."""
    return -(-_batches(run, stage) // run.accumulated)


def _batches(run: Run, stage: StageOfRun) -> int:
    """Batches of a device in an epoch: of `samples_per_epoch`, or a pass over the first stream."""
    stream, samples = ("image", stage.images) if stage.images else ("text", stage.texts)
    samples = run.samples_per_epoch or samples
    return -(-samples // (max(run.batches.get(stream, 0), 1) * run.devices))


def _disk(run: Run, parameters: int, trained: int) -> dict[str, float]:
    """Bytes of what a run writes."""
    checkpoint = 4 * parameters + run.state_bytes * trained
    return {
        "teachers": 4.0 * parameters * sum(stage.rounds for stage in run.stages),
        "trajectories": float(sum(stage.rounds * _stores(run, stage) for stage in run.stages)),
        "checkpoint": checkpoint,
        "student": 4.0 * parameters,
    }


def _stores(run: Run, stage: StageOfRun) -> float:
    """Bytes of the trajectories of one round."""
    model = run.model
    position = 2 + 2 + 4 * run.topk_targets  # code, step, and the kept codes with their logarithms
    ends = range(1, stage.segments)
    masked = sum(cos(pi / 2 * end / stage.segments) for end in ends) * model.image_tokens
    image = model.image_tokens * position + masked * 4 * run.topk_targets
    answer = ANSWER * run.answer_length
    text = 2 * model.image_tokens + 4 * answer * (ITERATIONS + 2)
    if run.denoised:  # id, step, and the kept ids with their logarithms
        text = 2 * model.image_tokens + answer * (4 + 2 + 6 * run.topk_targets)
    images = stage.images * image * ("images" in stage.collects)
    return float(images + stage.texts * text * ("texts" in stage.collects))


def _layers(network: nn.Module) -> int:
    """Parameters of the matrices that every token goes through."""
    outside = _vocabulary(network)
    return sum(p.numel() for p in network.parameters() if p.ndim == 2 and p not in outside)


def _head(network: nn.Module) -> int:
    """Parameters of the output head."""
    heads = [p for name, p in network.named_parameters() if p.ndim == 2 and _is_head(name)]
    return sum(parameter.numel() for parameter in heads)


def _is_head(name: str) -> bool:
    return "lm_head" in name or name.endswith("transformer.ff_out.weight")


def _outside_layers(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in _vocabulary(network))


def _vocabulary(network: nn.Module) -> set[nn.Parameter]:
    """Embeddings and output heads."""
    return {
        parameter
        for name, parameter in network.named_parameters()
        if parameter.ndim == 2 and ("embed" in name or ".wte." in name or _is_head(name))
    }


def _image_tokenizer_bytes(run: Run) -> float:
    with FakeTensorMode(), torch.device("cpu"):
        network = MAGVITv2(run.image_tokenizer)
    return 4.0 * sum(parameter.numel() for parameter in network.parameters())
