"""How released models were sampled by those who published them; their folders do not say it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding

_SHOW_O = ImageSampling(
    token_temperature=1.0, confidence_temperature=1.0, confidence_annealing="compounding"
)
_TURBO = replace(_SHOW_O, sampling_steps=4)
_MMADA = replace(_SHOW_O, sampling_steps=15, guidance_scale=3.5)
_MMADA_TEXT = TextDecoding(
    method="block_diffusion", max_new_tokens=512, block_size=128, sampling_steps=256
)

PUBLISHED_SAMPLING: Mapping[str, ImageSampling] = MappingProxyType(
    {
        "showlab/show-o": replace(_SHOW_O, sampling_steps=18, guidance_scale=1.75),
        "showlab/show-o-512x512": replace(_SHOW_O, sampling_steps=50, guidance_scale=5.0),
        "SJTU-Deng-Lab/Show-o-Turbo-256": replace(_TURBO, top_k={2: 200, 4: 200}),
        "SJTU-Deng-Lab/Show-o-Turbo-512": replace(_TURBO, top_k={2: 200, 4: 500}),
        "Gen-Verse/MMaDA-8B-Base": _MMADA,
        "Gen-Verse/MMaDA-8B-MixCoT": _MMADA,
    }
)
"""By hub id; Show-o Turbo in 4 steps, for which the paper reports 2 with a k of 10 as well.

Sources: the README of github.com/showlab/Show-o; the inference scripts of Show-o Turbo
(github.com/zhijie-group/UniCMs; arXiv 2502.05415); the README of github.com/Gen-Verse/MMaDA.
"""

PUBLISHED_DECODING: Mapping[str, TextDecoding] = MappingProxyType(
    {"Gen-Verse/MMaDA-8B-Base": _MMADA_TEXT, "Gen-Verse/MMaDA-8B-MixCoT": _MMADA_TEXT}
)
"""By hub id. Source: the README of github.com/Gen-Verse/MMaDA."""
