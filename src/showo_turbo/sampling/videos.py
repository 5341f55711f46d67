"""Clips: all latent frames at once, or one after the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UserError
from ..models.model_config import video_frames
from ..models.protocols import ImageModel, with_noise
from ..utils.random import stateless_seed
from .image_sampling import ImageSampling
from .options import seed_of_each
from .parallel import decode_image_codes, denoise_behind, noise_of_rows


@torch.no_grad()
def decode_clip_codes(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
    known: Tensor | None = None,
    negative_prompts: Sequence[Sequence[int]] | None = None,
    *,
    by_frame: bool = False,
) -> Tensor:
    """Codes `(batch, image_tokens)` of clips, one latent frame after the other.

    Args:
        model: Network in eval mode, which draws clips.
        prompts: Ids of each sample.
        sampling: Options.
        seeds: One a sample; 0, 1, 2, ... by default.
        known: See `denoise_images`; such as the first latent frame, to set an image in motion.
        negative_prompts: See `denoise_images`.
        by_frame: Whether a latent frame begins once the one before is complete, each in
            `sampling_steps` steps; else all are drawn together.

    Raises:
        UserError: If the model draws no clips, or an option is out of range.
    """
    config = model.config
    frames = video_frames(config)
    if not frames:
        raise UserError("the model draws images, and no clips; name one of clips")
    if not by_frame:
        return decode_image_codes(model, prompts, sampling, seeds, known, negative_prompts)
    size = config.image_tokens // frames
    sampling.check(size, config.codebook_size)
    seeds = seed_of_each(seeds, len(prompts))
    away = negative_prompts or [model.null_prompt_of(prompt) for prompt in prompts]
    rows = [*prompts, *away] if sampling.guided else prompts
    prefix = model.begin_images(rows, **with_noise(noise_of_rows(model, sampling, seeds)))
    codes = torch.full((len(prompts), config.image_tokens), model.mask_code, device=model.device)
    if known is not None:
        codes = known.to(codes)
    places = torch.arange(config.image_tokens, device=model.device)
    for frame in range(frames):
        now = places // size == frame
        own = [stateless_seed(seed, frame, stream="frame") for seed in seeds]
        for step in denoise_behind(model, prefix, sampling, own, codes, drawn=now):
            codes = step.codes
    return codes
