"""The least bytes and operations that decoding needs, counted from the shapes.

A batch of one text token has to read every weight once, so memory bandwidth limits it; a batch of
images reuses each weight thousands of times, so the rate of matrix products does. Both rates are
measured on the device itself, with one large copy and one large product.
"""

import time
from collections.abc import Callable

import torch

from showo_turbo.models.showo import ShowoConfig


def layer_weights(config: ShowoConfig) -> int:
    """Entries of the matrices of one layer: queries, keys, values, output, feed-forward."""
    width = config.intermediate_size or 4 * config.hidden_size
    return 4 * config.hidden_size**2 + 2 * config.hidden_size * width


def text_forward_bytes(config: ShowoConfig, prefix: int, itemsize: int) -> int:
    """Bytes that one forward over one sample must read.

    Args:
        config: Sizes.
        prefix: Tokens in the cache.
        itemsize: Bytes a number.
    """
    head = config.text_vocabulary_size * config.hidden_size
    cache = 2 * prefix * config.hidden_size
    return itemsize * (config.layers * (layer_weights(config) + cache) + head)


def image_step_operations(config: ShowoConfig, rows: int, prompt: int) -> int:
    """Multiplications and additions of one denoising step.

    Args:
        config: Sizes.
        rows: Sequences: images, twice with guidance.
        prompt: Tokens of the prompt in the cache.
    """
    tokens = config.image_tokens + 2
    attention = 2 * tokens * (tokens + prompt) * config.hidden_size
    head = config.image_tokens * config.codebook_size * config.hidden_size
    return 2 * rows * (config.layers * (tokens * layer_weights(config) + attention) + head)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second that a large copy reads and writes."""
    size = 2**30 if device.type == "cuda" else 2**24
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _best_seconds(lambda: target.copy_(source))


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _best_seconds(lambda: left @ right)


def _best_seconds(work: Callable[[], object], repeats: int = 10) -> float:
    times = []
    for _ in range(repeats + 2):
        began = _now()
        work()
        times.append(_now() - began)
    return min(times[2:])


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
