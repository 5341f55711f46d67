"""Decoding the plain way, to compare with: whole padded sequences, no cache, one sample at a time.

Every forward here runs over the whole sequence and the whole vocabulary, as the published sampler
does, and shares nothing with the package's samplers but the network itself. The benchmarks measure
the package against the same functions, so they waste no time beyond that.
"""

import math
from fractions import Fraction

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
    ids = torch.tensor([[v.pad_id] * padding + text + image])
    mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    mask[pad_to:, pad_to:] = True
    mask[padding:, :padding] = False
    positions = (torch.arange(ids.shape[1]) - padding).clamp(min=0)
    return ids, mask[None, None], positions[None]


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
    guidance_end=None,
    schedule="cosine",
    token_temperature=0.0,
    confidence_temperature=0.0,
    confidence_annealing="linear",
    reveal_order="confidence",
    top_k=None,
    seed=0,
    pad_to=None,
    known=None,
    negative=(),
    schedule_base="image",
    start=None,
    revise_below=0.0,
):
    """All states of one image, `steps + 1` lists of codes; `known` is the first.

    `start` is what is shown of each token while it is unknown, in place of the mask.
    """
    tokens, mask_code = model.config.image_tokens, model.vocabulary.mask_code
    pad_to = pad_to or model.config.max_text_length + 1
    generator = torch.Generator().manual_seed(seed)
    guidance = [guidance_scale] * steps
    if guidance_end is not None and steps > 1:
        # Another way to the same numbers: the rest of the first, and the share of the second.
        shares = [step / (steps - 1) for step in range(steps)]
        guidance = [guidance_scale * (1 - share) + guidance_end * share for share in shares]
    temperature = confidence_temperature
    codes = [mask_code] * tokens if known is None else list(known)
    base = tokens if schedule_base == "image" else codes.count(mask_code)
    begun = list(codes)
    states = [codes]
    for step in range(1, steps + 1):
        shown = [start[i] if start and code == mask_code else code for i, code in enumerate(codes)]
        logits = image_logits(model, prompt, shown, pad_to)
        scale = guidance[step - 1]
        if scale:
            logits = (1 + scale) * logits - scale * image_logits(model, negative, shown, pad_to)
        log_probabilities = logits.log_softmax(1)
        likely = log_probabilities.exp().tolist()
        if top_k is not None:
            beyond = logits.argsort(dim=1, descending=True)[:, top_k:]
            logits.scatter_(1, beyond, -math.inf)
        if token_temperature:
            cumulative = (logits / token_temperature).softmax(1).cumsum(1)
            wanted = torch.rand(tokens, generator=generator)[:, None] * cumulative[:, -1:]
            drawn = torch.searchsorted(cumulative, wanted, right=True)[:, 0]
            candidates = drawn.clamp(max=logits.shape[1] - 1)
        else:
            candidates = logits.argmax(1)
        confidences = log_probabilities[range(tokens), candidates]
        # The released sampler overwrites the temperature at every step.
        temperature *= 1 - step / steps
        compounding = confidence_annealing == "compounding"
        scale = temperature if compounding else confidence_temperature * (1 - step / steps)
        if scale:
            uniform = torch.rand(tokens, generator=generator).clamp(1e-20, 1 - 1e-7)
            confidences = confidences - scale * torch.log(-torch.log(uniform))
        candidates, confidences = candidates.tolist(), confidences.tolist()
        if reveal_order == "halton":
            side = math.isqrt(tokens)
            order = halton_places(side, side)
            confidences = [-order.index(divmod(place, side)) for place in range(tokens)]
        unknown = [place for place in range(tokens) if codes[place] == mask_code]
        left = min(masked_after(step, steps, base, schedule), len(unknown) - 1)
        left = 0 if step == steps else max(left, 1)
        unknown += [
            place
            for place, code in enumerate(codes)
            if code != mask_code
            and begun[place] == mask_code
            and likely[place][code] < revise_below
        ]
        unknown.sort(key=lambda place: (-confidences[place], place))
        codes = [mask_code if place in unknown else code for place, code in enumerate(codes)]
        for place in unknown[: len(unknown) - left]:
            codes[place] = candidates[place]
        states.append(codes)
    return states


def halton_places(height, width):
    """Rows and columns in Halton order: digits of 1, 2, 3, ... behind the point, the last first."""

    def inverse(number, base):
        digits = []
        while number:
            digits.append(number % base)
            number //= base
        return sum(Fraction(digit, base ** (i + 1)) for i, digit in enumerate(digits))

    places, number = [], 0
    while len(places) < height * width:
        number += 1
        place = math.floor(inverse(number, 2) * height), math.floor(inverse(number, 3) * width)
        if place not in places:
            places.append(place)
    return places


def text_sequence(model, codes, text):
    """Ids and mask of `mmu soi image* eoi sot text`, or of `sot text` without an image."""
    v = model.vocabulary
    image = []
    if codes is not None:
        image = [v.mmu_id, v.soi_id, *(code + v.image_offset for code in codes), v.eoi_id]
    ids = torch.tensor([[*image, v.sot_id, *text]])
    mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    mask[: len(image), : len(image)] = True
    return ids, mask[None, None]


def feature_sequence(model, features, prompt, prefix_visible=False):
    """Embeddings and mask of `mmu system soi features eoi question`; the prompt has soi and eoi."""
    v = model.vocabulary
    split = list(prompt).index(v.soi_id) + 1
    before, after = [v.mmu_id, *prompt[:split]], list(prompt[split:])
    assert after[0] == v.eoi_id
    first, _, second = model.mm_projector
    hidden = features @ first.weight.T + first.bias
    hidden = hidden / 2 * (1 + torch.erf(hidden / math.sqrt(2)))
    projected = hidden @ second.weight.T + second.bias
    table = model.showo.model.embed_tokens.weight
    embeddings = torch.cat([table[before], projected, table[after]])
    mask = torch.ones(len(embeddings), len(embeddings), dtype=torch.bool).tril()
    end = len(before) + len(features)
    mask[:, 0 if prefix_visible else len(before) : end] = True
    return embeddings[None], mask[None, None]


def feature_logits(model, features, prompt, prefix_visible=False):
    """`(tokens, vocabulary)` of one forward over everything."""
    embeddings, mask = feature_sequence(model, features, prompt, prefix_visible)
    output = model.showo.model(inputs_embeds=embeddings, attention_mask=mask, use_cache=False)
    return model.showo.lm_head(output.last_hidden_state)[0].float()


@torch.no_grad()
def decode_features(model, features, prompt, max_new_tokens, prefix_visible=False):
    """The greedy answer up to and including `eot`, a whole forward for every token."""
    answer = []
    while len(answer) < max_new_tokens:
        logits = feature_logits(model, features, [*prompt, *answer], prefix_visible)
        answer.append(int(logits[-1, : model.vocabulary.text_size].argmax()))
        if answer[-1] == model.vocabulary.eot_id:
            break
    return answer


def draw_token(logits, temperature, top_k, top_p, uniform):
    """A token of one row of logits; `uniform` in [0, 1) chooses among the likeliest first."""
    probabilities = (logits / temperature).softmax(0).tolist()
    order = sorted(range(len(probabilities)), key=lambda token: (-probabilities[token], token))
    kept, total = [], 0.0
    for token in order[:top_k]:
        if top_p is not None and total >= top_p:
            break
        kept.append(token)
        total += probabilities[token]
    reached = 0.0
    for token in kept:
        reached += probabilities[token]
        if reached > uniform * total:
            return token
    return kept[-1]


@torch.no_grad()
def decode_text(
    model,
    codes,
    prompt,
    max_new_tokens,
    restrict_to_text=True,
    *,
    temperature=0.0,
    top_k=None,
    top_p=None,
    seed=0,
):
    """The answer up to and including `eot`, a whole forward for every token."""
    answer = []
    rows = model.vocabulary.text_size if restrict_to_text else model.vocabulary.size
    generator = torch.Generator().manual_seed(seed)
    while len(answer) < max_new_tokens:
        logits = model(*text_sequence(model, codes, [*prompt, *answer]))[0, -1, :rows].float()
        if temperature:
            uniform = float(torch.rand((), generator=generator))
            answer.append(draw_token(logits.double(), temperature, top_k, top_p, uniform))
        else:
            answer.append(int(logits.argmax()))
        if answer[-1] == model.vocabulary.eot_id:
            break
    return answer


@torch.no_grad()
def decode_text_jacobi(model, codes, prompt, max_new_tokens, block_size=16, seed=0):
    """The greedy answer by Jacobi iteration, a whole forward for every iteration.

    Each block of random tokens is iterated until nothing changes; then the next one begins.
    """
    predict = _whole_predictions(model, codes, prompt)
    return _jacobi(model, predict, lambda block: None, max_new_tokens, block_size, seed)


@torch.no_grad()
def decode_text_jacobi_cached(model, codes, prompt, max_new_tokens, block_size=16, seed=0):
    """The same over a key-value cache that grows by whole blocks: each is recomputed until then."""
    v = model.vocabulary
    ids, mask = text_sequence(model, codes, prompt)
    cache = model.new_cache(1, ids.shape[1] + max_new_tokens + 2 * block_size)
    model.append(ids[:, :-1], cache, attention_mask=mask[..., :-1, :-1])
    cache.lengths = cache.lengths + ids.shape[1] - 1
    last = [int(ids[0, -1])]

    def predict(answer, block):
        hidden = model.append(torch.tensor([last + block[:-1]]), cache)
        return model.logits(hidden, v.text_rows)[0].float().argmax(1).tolist()

    def settle(block):
        cache.lengths = cache.lengths + len(block)
        last[0] = block[-1]

    return _jacobi(model, predict, settle, max_new_tokens, block_size, seed)


@torch.no_grad()
def decode_texts_in_windows(
    model, requests, max_new_tokens, *, block_size, forward_tokens=None, seeds
):
    """Answers of a batch by Jacobi iteration in windows, a whole forward for each of them.

    Also the tokens that each iteration looks at in all answers together. The window is
    `block_size` tokens, or what `forward_tokens` leaves for each answer that is not done, and ends
    with an end of text among the guesses that are predictions.
    """
    eot, text_size = model.vocabulary.eot_id, model.vocabulary.text_size
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def drawn(sample, count):
        return torch.randint(text_size, (count,), generator=generators[sample]).tolist()

    predicts = [_whole_predictions(model, codes, prompt) for codes, prompt in requests]
    answers = [[] for _ in requests]
    # Guesses, each with whether it is a prediction of the last iteration.
    windows = [[(token, False) for token in drawn(i, block_size)] for i in range(len(requests))]
    going_on, looked_at = list(range(len(requests))), []
    while going_on:
        width, total = block_size, 0
        if forward_tokens is not None:
            width = max(1, min(block_size, forward_tokens // len(going_on)))
        for sample in going_on:
            guesses = []
            for token, is_predicted in windows[sample][:width]:
                guesses.append(token)
                if is_predicted and token == eot:
                    break
            total += len(guesses)
            found = predicts[sample](answers[sample], guesses)
            right = 0
            while right < len(guesses) - 1 and found[right] == guesses[right]:
                right += 1
            answers[sample] += found[: right + 1]
            windows[sample] = (
                [(token, True) for token in found[right + 1 :]]
                + [(token, False) for token, _ in windows[sample][len(guesses) :]]
                + [(token, False) for token in drawn(sample, right + 1)]
            )
        looked_at.append(total)
        for sample in going_on:
            if eot in answers[sample]:
                answers[sample] = answers[sample][: answers[sample].index(eot) + 1]
            answers[sample] = answers[sample][:max_new_tokens]
        going_on = [
            sample
            for sample in going_on
            if eot not in answers[sample] and len(answers[sample]) < max_new_tokens
        ]
    return answers, looked_at


def _whole_predictions(model, codes, prompt):
    def predict(answer, block):
        sequence = text_sequence(model, codes, [*prompt, *answer, *block])
        logits = model(*sequence)[0, -len(block) - 1 : -1, : model.vocabulary.text_size]
        return logits.float().argmax(1).tolist()

    return predict


def _jacobi(model, predict, settle, max_new_tokens, block_size, seed):
    generator = torch.Generator().manual_seed(seed)
    eot, answer = model.vocabulary.eot_id, []
    while len(answer) < max_new_tokens:
        text_size = model.vocabulary.text_size
        block, following = [], torch.randint(text_size, (block_size,), generator=generator).tolist()
        while block != following:
            block, following = following, predict(answer, following)
        settle(block)
        if eot in block:
            return (answer + block[: block.index(eot) + 1])[:max_new_tokens]
        answer += block
    return answer[:max_new_tokens]
