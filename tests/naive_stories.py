"""Stories told the plain way: every forward runs over a whole sequence, one story, no cache."""

import torch

from . import naive


def sequence(model, segments):
    """Ids and mask of `lvg (sot text eot soi image* eoi)*`; a segment is a text, with or without
    codes, or None for the `sot` of a text to come."""
    v = model.vocabulary
    ids, images = [v.lvg_id], []
    for text, codes in segments:
        ids.append(v.sot_id)
        if text is None:
            continue
        ids += [*text, v.eot_id]
        if codes is not None:
            start = len(ids)
            ids += [v.soi_id, *(code + v.image_offset for code in codes), v.eoi_id]
            images.append(range(start, len(ids)))
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    for image in images:
        mask[image.start : image.stop, image.start : image.stop] = True
    return ids, mask


def logits(model, segments, extra=()):
    """`(tokens, vocabulary)` of one forward over everything, with more text ids at the end."""
    ids, mask = sequence(model, segments)
    count = len(ids) + len(extra)
    whole = torch.ones(count, count, dtype=torch.bool).tril()
    whole[: len(ids), : len(ids)] = mask
    return model(torch.tensor([[*ids, *extra]]), whole[None, None])[0]


@torch.no_grad()
def write(model, segments, max_new_tokens):
    """The greedy next text and whether it ended."""
    v, text = model.vocabulary, []
    while len(text) < max_new_tokens:
        token = int(logits(model, [*segments, (None, None)], text)[-1, : v.text_size].argmax())
        if token == v.eot_id:
            return text, True
        text.append(token)
    return text, False


@torch.no_grad()
def draw(model, segments, text, steps, guidance_scale):
    """The greedy image of a text, in steps."""
    v, tokens = model.vocabulary, model.config.image_tokens
    codes = [v.mask_code] * tokens
    for step in range(1, steps + 1):
        scores = _image(model, [*segments, (text, codes)])
        if guidance_scale:
            alone = _image(model, [([], codes)])
            scores = (1 + guidance_scale) * scores - guidance_scale * alone
        best = scores.log_softmax(1).max(1)
        unknown = [place for place in range(tokens) if codes[place] == v.mask_code]
        left = min(naive.masked_after(step, steps, tokens), len(unknown) - 1)
        left = 0 if step == steps else max(left, 1)
        unknown.sort(key=lambda place: (-float(best.values[place]), place))
        for place in unknown[: len(unknown) - left]:
            codes[place] = int(best.indices[place])
    return codes


def _image(model, segments):
    v = model.vocabulary
    scores = logits(model, segments)[-model.config.image_tokens - 1 : -1]
    return scores[:, v.image_offset : v.mask_id].float()


def tell(model, segments, *, steps, guidance_scale, max_new_tokens, max_steps):
    """Texts, images and whether it ended, behind segments; the last may lack its image."""
    texts, images = [], []
    segments = list(segments)
    if segments[-1][1] is None:
        request = segments.pop()[0]
        codes = draw(model, segments, request, steps, guidance_scale)
        images.append(codes)
        segments.append((request, codes))
    for _ in range(max_steps):
        text, ended = write(model, segments, max_new_tokens)
        if not ended or not text:
            return texts, images, ended
        codes = draw(model, segments, text, steps, guidance_scale)
        texts.append(text)
        images.append(codes)
        segments.append((text, codes))
    return texts, images, False
