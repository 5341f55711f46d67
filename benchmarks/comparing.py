"""Rows of a table: two ways to do the same work, timed in turns, and their results compared."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import Measured, in_turns

from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import denoise_images

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import naive

Row = dict[str, Any]


def compare(
    plain: Callable[[], Any], ours: Callable[[], Any], repeats: int, what: str
) -> dict[str, Any]:
    """Time two ways in turns; see `row_of`."""
    found = in_turns({"plain": plain, "ours": ours}, repeats)
    exact = found["plain"].result == found["ours"].result
    return row_of(found["plain"], found["ours"], exact, what)


def compare_images(
    network: Showo,
    prompts: list[list[int]],
    repeats: int,
    guidance: float,
    known: list[int] | None = None,
) -> Row:
    """Images in 4 steps, one after the other: naive against ours, every step compared.

    Args:
        network: Generates the images.
        prompts: Ids of each.
        repeats: Turns.
        guidance: Guidance scale.
        known: Codes that all images begin with, the mask's code where unknown.
    """
    begun = None if known is None else torch.tensor([known])
    sampling = ImageSampling(4, guidance)

    def plain() -> list[list[list[int]]]:
        return [
            naive.decode_image(network, prompt, steps=4, guidance_scale=guidance, known=known)[1:]
            for prompt in prompts
        ]

    def ours() -> list[list[list[int]]]:
        return [
            [
                step.codes[0].tolist()
                for step in denoise_images(network, [prompt], sampling, known=begun)
            ]
            for prompt in prompts
        ]

    row = compare(plain, ours, repeats, "naive full sequence")
    return row | {"images": len(prompts), "steps": 4, "guidance_scale": guidance}


def row_of(plain: Measured, ours: Measured, exact: bool, what: str) -> Row:
    """The figures of a row.

    Args:
        plain: What is compared with.
        ours: This package.
        exact: Whether both gave the same.
        what: Which two ways these are.
    """
    return {
        "what": what,
        "naive_s": round(plain.seconds, 4),
        "ours_s": round(ours.seconds, 4),
        "ratio": round(plain.seconds / ours.seconds, 3),
        "exact": exact,
        "naive_cpu_s": round(plain.cpu_seconds, 4),
        "ours_cpu_s": round(ours.cpu_seconds, 4),
        "cpu_ratio": round(plain.cpu_seconds / ours.cpu_seconds, 3),
        "naive_peak_mib": plain.peak_mib,
        "ours_peak_mib": ours.peak_mib,
    }
