"""Answers of Show-o over continuous features, against whole sequences one at a time."""

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.protocols import FIXED_POINT
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.trajectories import TextTrajectory, collate_text_trajectories

from .. import naive
from ..continuous import feature_prompt, feature_showo


@pytest.fixture(scope="module", params=[False, True], ids=["image_visible", "prefix_visible"])
def model(request):
    return feature_showo(prefix_visible=request.param)


@pytest.fixture(scope="module")
def asked(model):
    """Features and prompts of different lengths, with system prompts of different lengths too."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(5, 16, 8, generator=generator)
    questions = [[5], [6, 7, 8], [], [9, 10, 11, 12, 13], [14, 15]]
    systems = [(3, 4), (), (3, 4, 5), (2,), (3, 4)]
    pairs = zip(questions, systems, strict=True)
    return features, [feature_prompt(model, *pair) for pair in pairs]


def test_decoding_is_that_of_whole_sequences_one_at_a_time(model, asked):
    features, prompts = asked
    expected = [
        naive.decode_features(model, image, prompt, 12, model.config.prefix_visible)
        for image, prompt in zip(features, prompts, strict=True)
    ]
    assert len({tuple(answer) for answer in expected}) > 1
    plain = autoregressive_decode(model, features, prompts, max_new_tokens=12)
    assert [result.tokens for result in plain] == expected
    for driver in ("block", "window"):
        options = {"max_new_tokens": 12, "block_size": 4, "driver": driver}
        found = jacobi_decode(model, features, prompts, **options)
        assert [result.tokens for result in found] == expected
    # Which image is asked about matters.
    other = autoregressive_decode(model, features.flip(0), prompts, max_new_tokens=12)
    assert [result.tokens for result in other] != expected


def test_compiled_decoding_gives_the_same_answers(asked):
    """Features come with the first tokens of a cache, which are never compiled."""
    plain, compiled = (feature_showo(layers=1) for _ in range(2))
    compiled.compile_decoding(backend="eager")
    for decode in (autoregressive_decode, jacobi_decode):
        given = {} if decode is autoregressive_decode else {"block_size": 4}
        expected, found = (
            [result.tokens for result in decode(model, *asked, max_new_tokens=8, **given)]
            for model in (plain, compiled)
        )
        assert found == expected


@torch.no_grad()
def test_the_masks_differ_in_what_they_give(model, asked):
    features, prompts = asked
    other = not model.config.prefix_visible
    ours = naive.feature_logits(model, features[0], prompts[0], model.config.prefix_visible)
    assert not torch.allclose(ours, naive.feature_logits(model, features[0], prompts[0], other))


def records_of(model):
    generator = torch.Generator().manual_seed(0)

    def ids(*shape):
        return torch.randint(0, 29, shape, generator=generator).int()

    found = []
    for number, length in enumerate([11, 4, 1, 8]):
        answer = ids(length)
        padded = torch.cat([answer, ids(-length % 4)])
        prompt = feature_prompt(model, ids(1 + number).tolist(), range(number))
        found.append(
            TextTrajectory(
                key=str(number),
                text="",
                prompt_ids=torch.tensor(prompt),
                image=torch.randn(16, 8, generator=generator).half(),
                answer_ids=answer,
                blocks=[torch.cat([ids(2, 4), part[None]]) for part in padded.split(4)],
            )
        )
    return found


@pytest.fixture(scope="module")
def undecided(model):
    return feature_showo(decided=False, prefix_visible=model.config.prefix_visible)


@torch.no_grad()
def test_answer_logits_are_those_of_one_block_at_a_time(undecided):
    records = records_of(undecided)
    steps = [[number % 2 for number, _ in enumerate(record.blocks)] for record in records]
    batch = collate_text_trajectories(records, steps, segments=1)
    assert batch.images.shape == (4, 16, 8) and batch.images.dtype == torch.float16
    versions = {"k": batch.tokens_k, "e": batch.tokens_e}
    found = undecided.answer_logits(batch, versions, fixed_point=True)
    versions[FIXED_POINT] = batch.fixed_point
    for row, (answer, start) in enumerate(zip(batch.answer, batch.start, strict=True)):
        record = records[answer]
        valid = record.valid_length(int(start) // 4)
        before = [*record.prompt_ids.tolist(), *record.answer_ids[: int(start)].tolist()]
        for name, tokens in versions.items():
            expected = naive.feature_logits(
                undecided,
                record.image.float(),
                [*before, *tokens[row].tolist()],
                undecided.config.prefix_visible,
            )
            first = 16 + len(before)  # after `mmu` and the features: the place of token i - 1
            expected = expected[first : first + 4, : undecided.vocabulary.text_size]
            rows = valid if name == FIXED_POINT else 4
            torch.testing.assert_close(found[name][row][:rows], expected[:rows], rtol=0, atol=1e-5)


def test_answers_train_the_projector(undecided):
    batch = collate_text_trajectories(
        records_of(undecided), [[0] * 3, [0], [0], [0] * 2], segments=1
    )
    undecided.zero_grad()
    logits = undecided.answer_logits(batch, {"k": batch.tokens_k})["k"]
    logits.square().sum().backward()
    for name, parameter in undecided.mm_projector.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.bad_input
def test_codes_for_a_model_that_reads_features(model):
    codes = torch.zeros(1, 16, dtype=torch.long)
    prompts = [feature_prompt(model, [5])]
    with pytest.raises(UserError, match=r"codes of shape \(16,\)"):
        autoregressive_decode(model, codes, prompts, max_new_tokens=2)


@pytest.mark.bad_input
@pytest.mark.parametrize("prompt", [[5, 6], [33, 6], []])
def test_a_prompt_without_a_place_for_the_image(model, prompt):
    with pytest.raises(UserError, match="no place for its image"):
        autoregressive_decode(model, torch.zeros(1, 16, 8), [prompt], max_new_tokens=2)
