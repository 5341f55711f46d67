import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.editing import ImageEditing, edit_codes
from showo_turbo.sampling.image_sampling import ImageSampling
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


def test_a_sample_depends_on_its_own_seed_only(precise_model):
    sampling = ImageSampling(2, 1.0, token_temperature=1.0)
    editing = ImageEditing(2, 0.6)
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
        ({"remask_schedule": "linear"}, "remask_schedule is 'linear'; choose 'constant' or"),
    ],
)
def test_bad_input(model, options, message):
    with pytest.raises(UserError, match=message):
        edit_codes(model, PROMPTS, CODES, ImageSampling(2), ImageEditing(**options))
