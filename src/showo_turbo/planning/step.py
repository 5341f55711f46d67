"""Activations of a training step: the network's own code, run on tensors without contents."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ..errors import UserError
from ..losses.chunks import in_chunks
from ..losses.consistency import kl_of_logits
from ..losses.language_model import cross_entropies
from ..losses.regularizers import kl_of_recorded
from ..losses.term import LossTerm
from ..losses.terms import ImageRegularizer, TextConsistency, TextRegularizer
from ..training.lora import add_lora
from .live_bytes import LiveBytes
from .passes import QUESTION, Pass, passes_of
from .run import Run

RUN_LAYERS = (4, 6)
"""Layers of the two networks that are run in place of a deeper one."""


def build(run: Run, mode: FakeTensorMode) -> nn.Module:
    """Make the network without contents.

    Raises:
        UserError: If its family does not say how it runs over whole sequences, or adapters cannot
            be put into it.
    """
    network = _with_adapters(run, mode) if run.lora else _without_contents(run, mode)
    if "text" in run.streams and not run.denoised and not hasattr(network, "hidden_states"):
        raise UserError(
            f"plan runs a network's hidden_states and logits, which {run.family.__name__} does not "
            "have; expected a family that has them, such as Showo"
        )
    if run.checkpointing:
        network.gradient_checkpointing_enable(*([True] if run.checkpointing != "layers" else []))
    return network.train()  # type: ignore[no-any-return]


def _without_contents(run: Run, mode: FakeTensorMode) -> Any:
    with mode:
        return run.family(run.model)


def _with_adapters(run: Run, mode: FakeTensorMode) -> Any:
    """The network with adapters, which cannot be put among tensors without contents."""
    assert run.lora is not None
    with torch.device("meta"):
        network = run.family(run.model)
        add_lora(network, run.lora)
    with mode:
        for module in network.modules():
            for name, value in module.named_parameters(recurse=False):
                empty = torch.empty(value.shape, dtype=value.dtype)
                setattr(module, name, nn.Parameter(empty, value.requires_grad))
            for name, value in module.named_buffers(recurse=False):
                setattr(module, name, torch.empty(value.shape, dtype=value.dtype))
    return network


def step_bytes(run: Run) -> tuple[nn.Module, dict[str, int]]:
    """Give the network, and the peak of a step's forward and backward passes by part.

    All positions are taken for masked, as in a trajectory's first state. Layers are alike, so that
    every part grows evenly with their number: of a deep network two shallow ones are run.
    """
    layers, (few, more) = run.model.layers, RUN_LAYERS
    if layers <= few + more:
        return _run_step(run)
    shallow, deeper = (
        _run_step(replace(run, model=replace(run.model, layers=count)))[1] for count in RUN_LAYERS
    )
    growth = {name: (deeper[name] - shallow[name]) / (more - few) for name in shallow}
    peak = {name: round(deeper[name] + (layers - more) * growth[name]) for name in shallow}
    return build(run, FakeTensorMode()), peak


def _run_step(run: Run) -> tuple[nn.Module, dict[str, int]]:
    """Run the passes of a step; give the network and the peak by part."""
    mode = FakeTensorMode()
    network = build(run, mode)
    there = [*network.parameters(), *network.buffers()]
    shards = run.devices if run.sharded else 1
    model = run.model
    meter = LiveBytes(there, (model.codebook_size, run.text_vocabulary_size), shards)
    meter.watch(p for p in network.parameters() if p.requires_grad)
    passes = passes_of(run)
    with mode, meter:
        if run.by_stream:
            for stream in sorted(passes, key=lambda name: name != "text"):
                _loss(run, network, stream, passes[stream]).backward()
        else:
            losses = [_loss(run, network, stream, given) for stream, given in passes.items()]
            torch.stack(losses).sum().backward()
    return network, meter.peak


def _loss(run: Run, network: Any, stream: str, passes: list[Pass]) -> Tensor:
    """A stream's loss: what it predicts, compared as the terms compare it."""
    predict = _predictor(run, network, stream)
    with torch.autocast("cpu", torch.bfloat16, enabled=run.bfloat16, cache_enabled=False):
        found = {}
        for one in passes:
            with torch.set_grad_enabled(one.graded):
                found[one.name] = predict(one)
        terms = run.streams[stream]
        if stream == "text" and not run.denoised:
            return torch.stack(_of_versions(found["logits"], terms)).sum()
        losses = []
        for name in found.keys() - {"target"}:
            logits, rows = found[name], len(found[name])
            if _has(terms, ImageRegularizer) and name == "logits":
                ids = torch.zeros(rows, run.topk_targets, dtype=torch.long)
                recorded = torch.zeros(rows, run.topk_targets)
                losses.append(in_chunks(kl_of_recorded, logits.clone(), recorded, ids).mean())
            else:
                losses.append(_cross_entropy(logits))
        if "target" in found:
            losses.append(_divergence(found["logits"], found["target"]))
        return torch.stack(losses).sum()


def _has(terms: Sequence[LossTerm], kind: type[LossTerm]) -> bool:
    return any(isinstance(term, kind) for term in terms)


def _of_versions(logits: Tensor, terms: Sequence[LossTerm]) -> list[Tensor]:
    """Losses of an answer whose versions are predicted together."""
    if not _has(terms, TextConsistency):
        return [_cross_entropy(logits)]
    versions = logits.chunk(3 if _has(terms, TextRegularizer) else 2)
    losses = [_divergence(versions[0], versions[1].detach())]
    return losses + [_cross_entropy(part) for part in versions[2:]]


def _cross_entropy(logits: Tensor) -> Tensor:
    labels = torch.zeros(len(logits), dtype=torch.long)
    return in_chunks(cross_entropies, logits.clone(), labels).mean()


def _divergence(logits: Tensor, target: Tensor) -> Tensor:
    return in_chunks(kl_of_logits, logits.clone(), target.clone()).mean()


def _predictor(run: Run, network: Any, stream: str) -> Callable[[Pass], Tensor]:
    """What gives the logits `(rows, classes)` of a pass."""
    model = run.model

    def of_image(one: Pass) -> Tensor:
        prompts = [[0] * network.longest_prompt] * one.count
        codes = torch.zeros(one.count, model.image_tokens, dtype=torch.long)
        logits: Tensor = network.image_logits(prompts, codes)
        return logits.flatten(0, 1)

    def of_denoised(one: Pass) -> Tensor:
        images, question = None, 0
        if stream == "text":
            images = torch.zeros(one.count, model.image_tokens, dtype=torch.long)
            question = QUESTION
        length = one.length - question - (model.image_tokens if images is not None else 0)
        answers = torch.zeros(one.count, length, dtype=torch.long)
        columns = slice(0, one.rows // one.count)
        logits = network.text_logits(images, [[0] * question] * one.count, answers, columns)
        ids = torch.arange(logits.shape[-1])
        return logits.masked_fill(ids == 0, 0.0).flatten(0, 1)  # type: ignore[no-any-return]

    def of_language(one: Pass) -> Tensor:
        texts = [[0] * one.length] * one.count
        logits: Tensor = network.language_logits(texts, one.length)[0]
        return logits.flatten(0, 1)

    def of_answers(one: Pass) -> Tensor:
        ids = torch.zeros(one.count, one.length, dtype=torch.long)
        mask = torch.ones(one.count, 1, one.length, one.length, dtype=torch.bool)
        hidden = network.hidden_states(ids, mask, ids).flatten(0, 1)
        # Blocks predict from several versions: as many rows as there are, or all again.
        hidden = torch.cat([hidden] * -(-one.rows // len(hidden)))[: one.rows]
        logits: Tensor = network.logits(hidden, slice(0, one.classes))
        return logits

    if stream == "image":
        return of_image
    if run.denoised:
        return of_denoised
    return of_language if stream == "language" else of_answers
