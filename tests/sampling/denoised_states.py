"""All states of images that are denoised in parallel."""

import torch

from showo_turbo.sampling.parallel import denoise_images


def states(model, prompts, sampling, seeds=None):
    """`(batch, steps + 1, image_tokens)`, the fully masked state first."""
    blank = torch.full((len(prompts), model.config.image_tokens), model.vocabulary.mask_code)
    steps = [step.codes for step in denoise_images(model, prompts, sampling, seeds)]
    return torch.stack([blank, *steps], dim=1)
