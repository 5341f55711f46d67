import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling import contradictions as contradicting
from showo_turbo.sampling.contradictions import contradicting_tokens, contradictions
from showo_turbo.sampling.editing import ImageEditing, edit_codes
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.inpainting import inpaint_codes
from showo_turbo.utils.random import stateless_seed

from .. import naive

CODES = torch.randint(24, (3, 16), generator=torch.Generator().manual_seed(0))
PROMPTS = [[], [3], [1, 2, 3, 4]]


def masked_places(seed, number, count):
    generator = torch.Generator().manual_seed(stateless_seed(seed, number, stream="remasking"))
    return torch.randperm(16, generator=generator)[:count].tolist()


@pytest.mark.parametrize("guidance", [0.0, 2.0])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_as_naive(precise_model, guidance, schedule):
    """Masks, then draws from what is known, round after round; the last round is greedy."""
    editing = ImageEditing(3, 0.5, schedule)
    # 0.5 * 16 tokens, times cos(0), cos(pi / 6) and cos(pi / 3).
    counts = [8, 8, 8] if schedule == "constant" else [8, 7, 4]
    random = {"token_temperature": 1.0, "confidence_temperature": 2.0, "top_k": 9}
    sampling, seeds = ImageSampling(2, guidance, **random), [4, 5, 6]
    away = [[8], [], [9, 9]]
    found = edit_codes(precise_model, PROMPTS, CODES, sampling, editing, seeds, away)
    for sample, prompt in enumerate(PROMPTS):
        codes = CODES[sample].tolist()
        for number, count in enumerate(counts, start=1):
            places = masked_places(seeds[sample], number, count)
            assert len(set(places)) == count
            known = [
                precise_model.mask_code if place in places else code
                for place, code in enumerate(codes)
            ]
            *_, codes = naive.decode_image(
                precise_model,
                prompt,
                steps=2,
                guidance_scale=guidance,
                known=known,
                negative=away[sample],
                seed=stateless_seed(seeds[sample], number, stream="editing"),
                **(random if number < 3 else {}),
            )
        assert found[sample].tolist() == codes


@pytest.fixture
def sensitive(monkeypatch):
    """A random network contradicts hardly; here little is enough."""
    monkeypatch.setattr(contradicting, "LEAST_NATS", 1e-6)


def naive_contradictions(model, prompt, codes, seed):
    """Token by token: what each view says of a code with the prompt and without."""
    generator = torch.Generator().manual_seed(stateless_seed(seed, stream="division"))
    order = torch.randperm(16, generator=generator).tolist()
    views = [set()] + [set(order[4 * part : 4 * part + 4]) for part in range(4)]
    found = []
    for place, code in enumerate(codes):
        values = []
        for known in views:
            if place in known:
                continue
            state = [c if i in known else model.mask_code for i, c in enumerate(codes)]
            given, without = (
                model.image_logits([ids], torch.tensor([state]))[0, place].log_softmax(-1)[code]
                for ids in (prompt, model.null_prompt_of(prompt))
            )
            values.append(float(without - given))
        found.append((values[0] + sum(values[1:]) / 3) / 2)
    return found


@torch.no_grad()
@pytest.mark.usefixtures("sensitive")
def test_contradictions_as_naive(precise_model):
    seeds = [7, 8, 9]
    found = contradictions(precise_model, PROMPTS, CODES, seeds)
    chosen = contradicting_tokens(precise_model, PROMPTS, CODES, seeds)
    for sample, prompt in enumerate(PROMPTS):
        wanted = naive_contradictions(precise_model, prompt, CODES[sample].tolist(), seeds[sample])
        torch.testing.assert_close(
            found[sample], torch.tensor(wanted), rtol=1e-4, atol=1e-5, check_dtype=False
        )
        least = max(1e-6, 0.3 * max(wanted))
        assert chosen[sample].tolist() == [nats > least for nats in wanted]
    assert not chosen[0].any()  # the empty prompt says nothing


@pytest.mark.usefixtures("sensitive")
def test_only_contradicting_tokens_change(precise_model):
    editing = ImageEditing(2, 0.5, remasked="contradicting")
    seeds, codes = [4, 5, 6], CODES
    found = edit_codes(precise_model, PROMPTS, codes, ImageSampling(2), editing, seeds)
    for number in (1, 2):
        views = [stateless_seed(seed, number, stream="views") for seed in seeds]
        eligible = contradicting_tokens(precise_model, PROMPTS, codes, views)
        masked = eligible.clone()
        if number == 1:  # half of them
            for row, seed in zip(masked, seeds, strict=True):
                places = row.nonzero()[:, 0].tolist()
                generator = torch.Generator().manual_seed(
                    stateless_seed(seed, 1, stream="remasking")
                )
                order = torch.randperm(len(places), generator=generator).tolist()
                for place in order[max(1, round(0.5 * len(places))) :]:
                    row[places[place]] = False
        own = [stateless_seed(seed, number, stream="editing") for seed in seeds]
        codes = inpaint_codes(precise_model, PROMPTS, codes, masked, ImageSampling(2), own)
    assert torch.equal(found, codes)
    assert not torch.equal(found, CODES)
    assert torch.equal(found[0], CODES[0])  # nothing speaks against the empty prompt


@pytest.mark.usefixtures("sensitive")
@pytest.mark.parametrize("remasked", ["random", "contradicting"])
def test_a_sample_depends_on_its_own_seed_only(precise_model, remasked):
    sampling = ImageSampling(2, 1.0, token_temperature=1.0)
    editing = ImageEditing(2, 0.6, remasked=remasked)
    together = edit_codes(precise_model, PROMPTS, CODES, sampling, editing, [7, 8, 9])
    for place in range(3):
        alone = [PROMPTS[place]], CODES[place : place + 1]
        found = edit_codes(precise_model, *alone, sampling, editing, [7 + place])
        assert torch.equal(found[0], together[place])
    other = edit_codes(precise_model, PROMPTS, CODES, sampling, editing, [17, 18, 19])
    assert not torch.equal(other, together)


def test_few_tokens_change_few(model):
    """One token a round: all others stay, and the image that was given is left alone."""
    before = CODES.clone()
    found = edit_codes(model, PROMPTS, CODES, ImageSampling(2), ImageEditing(3, 0.01), [1, 2, 3])
    assert torch.equal(CODES, before)
    assert ((found != CODES).sum(dim=1) <= 3).all()


def test_how_many_are_masked():
    cosine = ImageEditing(4, 0.75, "cosine")
    # 0.75 * 64 = 48 times cos(0), cos(pi / 8), cos(pi / 4) and cos(3 pi / 8)
    assert [cosine.tokens_remasked(number, 64) for number in (1, 2, 3, 4)] == [48, 44, 34, 18]
    assert [ImageEditing(2, 1.0).tokens_remasked(number, 9) for number in (1, 2)] == [9, 9]
    assert ImageEditing(2, 0.001).tokens_remasked(2, 9) == 1


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"rounds": 1.5}, "rounds is 1.5; expected a whole number"),
        ({"remasked_share": 0.0}, "remasked_share is 0.0; it must be above 0 and at most 1"),
        ({"remasked_share": float("nan")}, "remasked_share is nan; it must be above 0"),
        ({"remasked": "all"}, "remasked is 'all'; choose 'random' or 'contradicting'"),
        ({"remask_schedule": "linear"}, "remask_schedule is 'linear'; choose 'constant' or"),
    ],
)
def test_bad_input(model, options, message):
    with pytest.raises(UserError, match=message):
        edit_codes(model, PROMPTS, CODES, ImageSampling(2), ImageEditing(**options))
