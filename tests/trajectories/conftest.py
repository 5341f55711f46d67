"""A small random teacher, prompts and requests for it, and records made by hand."""

import threading

import pytest
import torch

from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.trajectories import (
    ImageCollection,
    ImagePrompt,
    ImageTrajectory,
    TextCollection,
    TextRequest,
    TextTrajectory,
)

from ..tiny import tiny_showo


@pytest.fixture(scope="session")
def teacher():
    return tiny_showo()


@pytest.fixture(scope="session")
def prompts():
    generator = torch.Generator().manual_seed(1)
    return [
        ImagePrompt(
            f"p{i}", f"prompt é {i}", torch.randint(0, 29, (i % 5,), generator=generator).tolist()
        )
        for i in range(11)
    ]


@pytest.fixture(scope="session")
def requests():
    generator = torch.Generator().manual_seed(2)
    return [
        TextRequest(
            f"r{i}",
            torch.randint(0, 24, (16,), generator=generator),
            torch.randint(0, 29, (1 + i % 4,), generator=generator).tolist(),
            f"what is in image {i}?",
        )
        for i in range(40)
    ]


@pytest.fixture
def image_settings():
    sampling = ImageSampling(sampling_steps=8, guidance_scale=1.5)
    return ImageCollection(sampling, segments=4, topk_targets=5, batch_size=3, shard_size=4)


@pytest.fixture
def text_settings():
    return TextCollection(
        TextDecoding(max_new_tokens=40, block_size=8), batch_size=5, shard_size=16
    )


def random_image_record(seed=0, steps=8, segments=4, tokens=16, kept=3, codebook=24):
    """A record whose distributions all differ, so that a mistaken place shows."""
    generator = torch.Generator().manual_seed(seed)
    reveal_step = torch.randint(1, steps + 1, (tokens,), generator=generator).short()
    ends = range(steps // segments, steps, steps // segments)
    rows = sum(int((reveal_step > end).sum()) for end in ends)

    def top(count):
        logits = torch.randn(count, codebook, generator=generator) * 3
        return logits.log_softmax(-1).topk(kept, dim=-1)

    reveals, boundaries = top(tokens), top(rows)
    return ImageTrajectory(
        key=f"key {seed}",
        prompt=f"a prompt {seed}",
        prompt_ids=torch.arange(seed % 4, dtype=torch.int32),
        codes=reveals.indices[:, 0].short(),
        reveal_step=reveal_step,
        top_ids=reveals.indices.short(),
        top_log_probs=reveals.values.half(),
        boundary_top_ids=boundaries.indices.short(),
        boundary_top_log_probs=boundaries.values.half(),
        steps=steps,
        recorded_segments=segments,
    )


def text_record(key="k", answer=(5, 6, 7, 8, 9, 29), block_size=4, tokens=6):
    """Two blocks: one that settles in three iterations, and one of two valid tokens."""
    return TextTrajectory(
        key=key,
        text="what is it?",
        prompt_ids=torch.tensor([1, 2], dtype=torch.int32),
        image=torch.arange(tokens, dtype=torch.int16),
        answer_ids=torch.tensor(answer, dtype=torch.int32),
        blocks=[
            torch.tensor([[0, 0, 0, 0], [5, 0, 7, 0], [5, 6, 0, 8], [5, 6, 7, 8]]).int(),
            torch.tensor([[1, 1, 1, 1], [9, 29, 3, 3]]).int(),
        ],
    )


def content(folder):
    """The bytes of all files in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def in_two_processes(work):
    """Call `work(rank=, world_size=, barrier=)` for two ranks at once, in threads.

    Threads share the file system and wait for each other as processes do; nothing else in the
    collection is shared but the teacher, which is only read.
    """
    barrier = threading.Barrier(2, timeout=60)
    failures = []

    def run(rank):
        try:
            work(rank=rank, world_size=2, barrier=barrier.wait)
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
