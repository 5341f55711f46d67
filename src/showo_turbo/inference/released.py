"""How released models were sampled by those who published them; their folders do not say it."""

from collections.abc import Mapping
from types import MappingProxyType

from ..sampling.image_sampling import ImageSampling


def _show_o_turbo(top_k: dict[int, int]) -> ImageSampling:
    return ImageSampling(
        sampling_steps=4,
        token_temperature=1.0,
        confidence_temperature=1.0,
        confidence_annealing="compounding",
        top_k=top_k,
    )


PUBLISHED_SAMPLING: Mapping[str, ImageSampling] = MappingProxyType(
    {
        "SJTU-Deng-Lab/Show-o-Turbo-256": _show_o_turbo({2: 200, 4: 200}),
        "SJTU-Deng-Lab/Show-o-Turbo-512": _show_o_turbo({2: 200, 4: 500}),
    }
)
"""By hub id, in 4 steps.

Source: the inference scripts of the released code (github.com/zhijie-group/UniCMs). The paper
(arXiv 2502.05415) reports 2 steps with a k of 10.
"""
