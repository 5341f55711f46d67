"""Clips: all latent frames at once, or one after the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UserError
from ..models.model_config import ModelConfig, video_frames
from ..models.protocols import ImageModel
from ..utils.random import stateless_seed
from .image_sampling import ImageSampling
from .options import seed_of_each
from .parallel import begin_guided, decode_image_codes, denoise_behind, starting_codes


def check_clip_sampling(config: ModelConfig, sampling: ImageSampling, by_frame: bool) -> None:
    """Raise if a model cannot generate clips this way.

    Args:
        config: Sizes of the model.
        sampling: Options.
        by_frame: See `decode_clip_codes`.

    Raises:
        UserError: If it generates no clips, or an option is out of range.
    """
    frames = video_frames(config)
    if not frames:
        raise UserError("the model generates images, not clips; name one of clips")
    if by_frame:
        sampling.check_steps(config.image_tokens // frames)
    sampling.check(config)


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
    """Codes `(batch, image_tokens)` of clips, those of the first latent frame first.

    Args:
        model: Network in eval mode, which generates clips.
        prompts: Ids of each sample.
        sampling: Options.
        seeds: One a sample; 0, 1, 2, ... by default.
        known: See `denoise_images`; such as the first latent frame, to set an image in motion.
        negative_prompts: See `denoise_images`.
        by_frame: Whether a latent frame begins once the one before is complete, each in
            `sampling_steps` steps; else all are generated at once. One that is known as a whole
            takes no step.

    Raises:
        UserError: If the model generates no clips, there are no prompts, or an option is invalid.
        ValueError: If `known` is of another shape, or there are more or fewer negative prompts.
    """
    config = model.config
    check_clip_sampling(config, sampling, by_frame)
    if not by_frame:
        return decode_image_codes(model, prompts, sampling, seeds, known, negative_prompts)
    seeds = seed_of_each(seeds, len(prompts))
    prefix = begin_guided(model, prompts, sampling, seeds, negative_prompts)
    codes = starting_codes(model, len(prompts), known)
    frames = video_frames(config)
    frame_of = torch.arange(frames, device=model.device).repeat_interleave(codes.shape[1] // frames)
    for frame in range(frames):
        drawn = frame_of == frame
        if not (codes[:, drawn] == model.mask_code).any():
            continue
        own = [stateless_seed(seed, frame, stream="frame") for seed in seeds]
        for step in denoise_behind(model, prefix, sampling, own, codes, drawn=drawn):
            codes = step.codes
    return codes
