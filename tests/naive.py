"""Decoding the plain way, to compare with: whole padded sequences, no cache, one sample at a time.

Every forward here runs over the whole sequence and the whole vocabulary, as the published sampler
does, and shares nothing with the package's samplers but the network itself.
"""

import math

import torch


def masked_after(step, steps, tokens, schedule="cosine"):
    """Tokens that the schedule wants masked after `step` of `steps`, before any limits."""
    ratio = step / steps
    if schedule == "cosine":
        share = math.cos(math.pi / 2 * ratio)
    elif schedule == "linear":
        share = 1 - ratio
    elif schedule == "pow":
        share = 1 - ratio**2
    else:

        def logistic(x):
            return 1 / (1 + math.exp(-x))

        share = (logistic(3) - logistic(6 * ratio - 3)) / (logistic(3) - logistic(-3))
    return math.floor(tokens * max(0.0, min(1.0, share)))


def image_sequence(model, prompt, codes, pad_to):
    """Ids, mask and positions of `[pad]* t2i sot text eot soi image* eoi`."""
    v = model.vocabulary
    text = [v.t2i_id, v.sot_id, *prompt, v.eot_id]
    padding = pad_to - len(text)
    image = [v.soi_id, *(code + v.image_offset for code in codes), v.eoi_id]
    ids = [v.pad_id] * padding + text + image
    first = pad_to
    mask = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    for query in range(len(ids)):
        for key in range(len(ids)):
            both_image = query >= first and key >= first
            mask[query, key] = both_image or key <= query
            if key < padding <= query:
                mask[query, key] = False
    positions = [max(0, place - padding) for place in range(len(ids))]
    return torch.tensor([ids]), mask[None, None], torch.tensor([positions])


def image_logits(model, prompt, codes, pad_to):
    """`(image_tokens, codebook)` of one forward over everything."""
    v = model.vocabulary
    logits = model(*image_sequence(model, prompt, codes, pad_to))[0]
    return logits[pad_to + 1 : -1, v.image_offset : v.image_offset + v.codebook_size].float()


@torch.no_grad()
def decode_image(
    model,
    prompt,
    *,
    steps,
    guidance_scale=0.0,
    schedule="cosine",
    token_temperature=0.0,
    confidence_temperature=0.0,
    top_k=None,
    seed=0,
    pad_to=None,
):
    """All states of one image, `steps + 1` lists of codes."""
    tokens, mask_code = model.config.image_tokens, model.vocabulary.mask_code
    pad_to = pad_to or model.config.max_text_length + 1
    generator = torch.Generator().manual_seed(seed)
    codes = [mask_code] * tokens
    states = [codes]
    for step in range(1, steps + 1):
        logits = image_logits(model, prompt, codes, pad_to)
        if guidance_scale:
            empty = image_logits(model, [], codes, pad_to)
            logits = (1 + guidance_scale) * logits - guidance_scale * empty
        if top_k is not None:
            for row in logits:
                row[row.argsort(descending=True)[top_k:]] = -math.inf
        drawn = torch.rand(tokens, generator=generator) if token_temperature else None
        scale = confidence_temperature * (1 - step / steps)
        noise = torch.rand(tokens, generator=generator) if scale else None
        candidates, confidences = [], []
        for place, row in enumerate(logits):
            if drawn is None:
                code = int(row.argmax())
            else:
                cumulative = (row / token_temperature).softmax(0).cumsum(0)
                wanted = drawn[place] * cumulative[-1]
                code = min(int(torch.searchsorted(cumulative, wanted, right=True)), len(row) - 1)
            candidates.append(code)
            confidence = row.log_softmax(0)[code]
            if noise is not None:
                uniform = noise[place].clamp(1e-20, 1 - 1e-7)
                confidence = confidence - scale * torch.log(-torch.log(uniform))
            confidences.append(float(confidence))
        unknown = [place for place in range(tokens) if codes[place] == mask_code]
        left = min(masked_after(step, steps, tokens, schedule), len(unknown) - 1)
        left = 0 if step == steps else max(left, 1)
        unknown.sort(key=lambda place: (-confidences[place], place))
        codes = list(codes)
        for place in unknown[: len(unknown) - left]:
            codes[place] = candidates[place]
        states.append(codes)
    return states


def text_sequence(model, codes, text):
    """Ids and mask of `mmu soi image* eoi sot text`, or of `sot text` without an image."""
    v = model.vocabulary
    image = []
    if codes is not None:
        image = [v.mmu_id, v.soi_id, *(code + v.image_offset for code in codes), v.eoi_id]
    ids = [*image, v.sot_id, *text]
    mask = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    for query in range(len(ids)):
        for key in range(len(ids)):
            mask[query, key] = key <= query or (query < len(image) and key < len(image))
    return torch.tensor([ids]), mask[None, None]


@torch.no_grad()
def decode_text(model, codes, prompt, max_new_tokens, restrict_to_text=True):
    """The greedy answer up to and including `eot`, a whole forward for every token."""
    answer = []
    rows = model.vocabulary.text_size if restrict_to_text else model.vocabulary.size
    while len(answer) < max_new_tokens:
        logits = model(*text_sequence(model, codes, [*prompt, *answer]))[0, -1, :rows]
        answer.append(int(logits.float().argmax()))
        if answer[-1] == model.vocabulary.eot_id:
            break
    return answer
