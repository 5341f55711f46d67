"""Random images and questions for the text samplers."""

import torch


def make_requests(model, seed, count, longest=6):
    """Codes `(count, image_tokens)` and text prompts of mixed lengths, the empty one among them."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    codes = torch.randint(
        0, config.codebook_size, (count, config.image_tokens), generator=generator
    )
    lengths = torch.randint(0, longest + 1, (count,), generator=generator).tolist()
    eot = model.vocabulary.eot_id
    prompts = [torch.randint(0, eot, (length,), generator=generator).tolist() for length in lengths]
    return codes, prompts
