"""A training step whose prompts, answers and texts fill their room, as `plan` takes it."""

from types import SimpleNamespace

import torch

from showo_turbo.losses import published_losses
from showo_turbo.planning.passes import QUESTION
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.targets import StudentTarget
from showo_turbo.training.inputs import stream_of
from showo_turbo.training.stream_backward import backward_order
from showo_turbo.trajectories.batch import ImageBatch, TextBatch

SPECIAL = 5
"""Of the tokens of a question in `plan`: those around the image, and what begins the text."""


def batches_of(run, device="cpu"):
    """A batch of each stream of a run."""
    model, sizes = run.model, run.batches

    def whole(*shape, value=1):
        return torch.full(shape, value, device=device)

    def everywhere(*shape):
        return torch.ones(shape, dtype=torch.bool, device=device)

    count, tokens, kept = sizes["image"], model.image_tokens, run.topk_targets
    masked = whole(count, tokens, value=model.codebook_size)
    ids = torch.arange(kept, device=device).expand(count, tokens, kept)
    none = whole(count, value=0)
    image = ImageBatch(
        prompt_ids=[[1] * (model.max_text_length - 2)] * count,
        noise_seeds=[0] * count,
        seeds=[0] * count,
        codes=whole(count, tokens),
        step=none,
        segment=none,
        state_k=masked,
        masked_k=everywhere(count, tokens),
        state_t=masked,
        masked_t=everywhere(count, tokens),
        q_ids=ids,
        q_log_probs=torch.full(ids.shape, -1.0, device=device),
    )
    answers, size = sizes["text"], run.block_size
    starts = torch.arange(0, run.answer_length, size, device=device)
    blocks = answers * len(starts)
    text = TextBatch(
        prompt_ids=[[1] * (QUESTION - SPECIAL)] * answers,
        answer_ids=[[1] * run.answer_length] * answers,
        images=whole(answers, tokens),
        answer=torch.arange(answers, device=device).repeat_interleave(len(starts)),
        start=starts.repeat(answers),
        step=whole(blocks, value=0),
        segment=whole(blocks, value=0),
        tokens_k=whole(blocks, size, value=2),
        tokens_e=whole(blocks, size, value=3),
        fixed_point=whole(blocks, size),
        first_difference=whole(blocks, value=0),
        differs=everywhere(blocks, size),
        valid=everywhere(blocks, size),
    )
    language = {"text": [""] * sizes["language"]}
    return {"image": image, "text": text, "language": language}


def step(run, network, batches, autocast="cpu"):
    """Forward and backward passes of a step, stream by stream, in the run's precision."""
    module = SimpleNamespace(
        student=network,
        consistency_target=StudentTarget(),
        sampling=ImageSampling(),
        text_tokenizer=SimpleNamespace(encode=lambda text: [1] * run.language_length),
        max_language_length=run.language_length,
    )
    terms = published_losses().values()
    for stream in backward_order(list(batches)):
        asked = {name for term in terms if term.stream == stream for name in term.asks_for}
        with torch.autocast(autocast, torch.bfloat16, enabled=run.bfloat16, cache_enabled=False):
            inputs = stream_of(stream, module, batches[stream], asked)
            losses = [term.compute(inputs).mean for term in terms if term.stream == stream]
            loss = torch.stack(losses).sum()
            del inputs, losses
        loss.backward()
