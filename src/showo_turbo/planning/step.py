"""Activations of a training step: the network's own code, run on tensors without contents."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ..errors import UserError
from ..losses.consistency import divergence
from .live_bytes import LiveBytes
from .run import Run

QUESTION = 64
"""Tokens that a question has, with the tokens that begin a sequence."""


def tokens_of(run: Run) -> dict[str, tuple[int, int, int, int]]:
    """For each stream its sequences, the tokens of each, and what is predicted of all: rows, kinds.

    A sequence is as long as it may be: prompts and answers fill their room. Behind an answer ride
    the versions of its blocks that a loss of consistency compares.
    """
    model, found = run.model, {}
    image, text = model.image_tokens, model.text_vocabulary_size
    for stream, kinds in run.streams.items():
        count = run.batches[stream]
        if stream == "image":
            found[stream] = (
                count,
                model.max_text_length + image + 3,
                count * image,
                model.codebook_size,
            )
        elif stream == "language":
            length = run.language_length
            found[stream] = (count, length, count * length, text)
        elif stream == "text":
            blocks = -(-run.answer_length // run.block_size)
            versions = 2 if "TextConsistency" in kinds else 0
            riding = versions * blocks * (run.block_size - 1)
            length = image + QUESTION + run.answer_length + riding
            predicted = versions + ("TextRegularizer" in kinds)
            found[stream] = (count, length, count * blocks * run.block_size * predicted, text)
    return found


def build(run: Run, mode: FakeTensorMode) -> nn.Module:
    """Make the network without contents.

    Raises:
        UserError: If its family does not say how it runs over whole sequences.
    """
    with mode:
        network = run.family(run.model)
    if not callable(getattr(network, "hidden_states", None)):
        raise UserError(
            f"plan runs a network's hidden_states and logits, which {run.family.__name__} does not "
            "have; expected a family that has them, such as Showo"
        )
    if run.checkpointing:
        network.gradient_checkpointing_enable()
    return network.train()  # type: ignore[no-any-return]


def step_bytes(run: Run) -> tuple[nn.Module, dict[str, int]]:
    """Run the forward and backward passes of a step; give the network and the peak by part.

    All positions are taken for masked, as in a trajectory's first state.
    """
    mode = FakeTensorMode()
    network = build(run, mode)
    there = [*network.parameters(), *network.buffers()]
    shards = run.devices if run.sharded else 1
    model = run.model
    meter = LiveBytes(there, (model.codebook_size, model.text_vocabulary_size), shards)
    meter.watch(network.parameters())
    with mode, meter:
        losses = [_loss(run, network, stream) for stream in tokens_of(run)]
        if run.by_stream:
            for loss in losses:
                loss().backward()
        else:
            torch.stack([loss() for loss in losses]).sum().backward()
    return network, meter.peak


def _loss(run: Run, network: Any, stream: str) -> Callable[[], Tensor]:
    """A stream's loss: what it predicts, compared as the terms compare it."""
    count, length, rows, classes = tokens_of(run)[stream]

    def predict() -> Tensor:
        ids = torch.zeros(count, length, dtype=torch.long)
        mask = torch.ones(count, 1, length, length, dtype=torch.bool)
        hidden = network.hidden_states(ids, mask, ids).flatten(0, 1)
        # Blocks predict from several versions: as many rows as there are, or all again.
        repeats = -(-rows // len(hidden))
        hidden = torch.cat([hidden] * repeats)[:rows] if repeats > 1 else hidden[:rows]
        logits: Tensor = network.logits(hidden, slice(0, classes))
        return logits

    def compute() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=run.bfloat16, cache_enabled=False):
            logits = predict()
            target = None
            if stream == "image" and "ImageConsistency" in run.streams[stream]:
                with torch.no_grad():
                    target = predict()
            elif stream == "text" and "TextConsistency" in run.streams[stream]:
                target = logits.detach()[: len(logits) // 2]
            losses = [
                torch.nn.functional.cross_entropy(
                    logits.clone().float(), torch.zeros(rows, dtype=torch.long)
                )
            ]
            if target is not None:
                compared = logits[: len(target)].clone().float().log_softmax(-1)
                losses.append(divergence(target.clone().float().log_softmax(-1), compared).mean())
            return torch.stack(losses).sum()

    return compute
