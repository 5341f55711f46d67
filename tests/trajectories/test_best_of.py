import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.trajectories import BestOf, Collecting, ImageCollection, Sampled
from showo_turbo.trajectories.best_of import relevance
from showo_turbo.utils.random import stateless_seed

from ..tiny import tiny_showo

MASK = 24
SETTINGS = ImageCollection(ImageSampling(4), segments=1, topk_targets=2)
BASE = Sampled(SamplingChanges(token_temperature=2.0), network="base")
STUDENT = Sampled(SamplingChanges(sampling_steps=2, token_temperature=2.0))
SHARES = [0.5, 1.0]


@pytest.fixture
def networks(teacher):
    return {"teacher": teacher, "base": tiny_showo(seed=1).eval()}


def naive_gains(network, prompt, codes, seed, shares):
    """One position after the other."""
    gains = []
    for number, share in enumerate(shares):
        own = stateless_seed(seed, number, stream="relevance")
        order = torch.randperm(16, generator=torch.Generator().manual_seed(own)).tolist()
        hidden = order[: round(share * 16)]
        state = codes.clone()
        state[hidden] = MASK
        with torch.no_grad():
            given, without = (
                network.image_logits([ids], state[None])[0].log_softmax(-1) for ids in (prompt, [])
            )
        gains += [float(given[i, codes[i]] - without[i, codes[i]]) for i in hidden]
    return gains


def naive_relevance(*arguments):
    return sum(naive_gains(*arguments))


def test_relevance_by_hand(networks, prompts):
    codes = torch.randint(MASK, (3, 16), generator=torch.Generator().manual_seed(0))
    ids = [prompt.ids for prompt in prompts[:3]]
    found = relevance(networks["base"], ids, codes, [7, 8, 9], SHARES)
    for row in range(3):
        expected = naive_relevance(networks["base"], ids[row], codes[row], 7 + row, SHARES)
        assert float(found[row].sum()) == pytest.approx(expected, abs=1e-3)


def test_the_most_relevant_picture_is_taken(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    collecting = Collecting(networks, SETTINGS)
    found = BestOf([STUDENT, BASE], tries=2, shares=SHARES).draw(collecting, prompts, seeds)
    second = [stateless_seed(seed, 1, stream="attempt") for seed in seeds]
    candidates = [
        source.draw(collecting, prompts, tried)
        for source in (STUDENT, BASE)
        for tried in (seeds, second)
    ]
    taken = set()
    for place, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        scores = [
            naive_relevance(networks["base"], prompt.ids, row[place].codes.long(), seed, SHARES)
            for row in candidates
        ]
        best = max(range(4), key=scores.__getitem__)
        assert torch.equal(found[place].codes, candidates[best][place].codes)
        taken.add(best)
    assert len(taken) > 1


def test_a_later_picture_must_be_better_by_a_margin(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    collecting = Collecting(networks, SETTINGS)
    gains = [
        naive_relevance(networks["base"], prompt.ids, base.codes.long(), seed, SHARES)
        - naive_relevance(networks["base"], prompt.ids, own.codes.long(), seed, SHARES)
        for prompt, seed, own, base in zip(
            prompts,
            seeds,
            STUDENT.draw(collecting, prompts, seeds),
            BASE.draw(collecting, prompts, seeds),
            strict=True,
        )
    ]
    better = sorted(gain for gain in gains if gain > 0)
    assert len(better) > 1
    margin = (better[0] + better[-1]) / 2
    found = BestOf([STUDENT, BASE], shares=SHARES, margin=margin).draw(collecting, prompts, seeds)
    sources = [STUDENT, BASE]
    for place, gain in enumerate(gains):
        expected = sources[gain > margin].draw(collecting, prompts, seeds)[place]
        assert torch.equal(found[place].codes, expected.codes)


def test_others_draw_only_where_a_code_is_doubted(networks, prompts):
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    collecting = Collecting(networks, SETTINGS)
    own = STUDENT.draw(collecting, prompts, seeds)
    worst = [
        min(naive_gains(networks["base"], prompt.ids, record.codes.long(), seed, SHARES))
        for prompt, seed, record in zip(prompts, seeds, own, strict=True)
    ]
    always = BestOf([STUDENT, BASE], shares=SHARES).draw(collecting, prompts, seeds)
    replaced = sorted(
        least
        for least, a, b in zip(worst, always, own, strict=True)
        if not torch.equal(a.codes, b.codes)
    )
    assert len(replaced) > 1
    doubt = -(replaced[0] + replaced[1]) / 2
    found = BestOf([STUDENT, BASE], shares=SHARES, doubt=doubt).draw(collecting, prompts, seeds)
    for place, least in enumerate(worst):
        expected = always if least < -doubt else own
        assert torch.equal(found[place].codes, expected[place].codes)


@pytest.mark.bad_input
def test_choices_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match="tries is 0"):
        BestOf([BASE], tries=0)
    with pytest.raises(UserError, match=r"shares is \[0.0\]"):
        BestOf([BASE], shares=[0.0])
    with pytest.raises(UserError, match=r"margin is -1.0"):
        BestOf([BASE], margin=-1.0)
    with pytest.raises(UserError, match=r"doubt is -1.0"):
        BestOf([BASE], doubt=-1.0)
    assert BestOf([STUDENT]).needs_base
    assert not BestOf([STUDENT], network="teacher").needs_base
