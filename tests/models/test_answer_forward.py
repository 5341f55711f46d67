"""All blocks of answers in one pass, against a sequence of its own for each block and version."""

import pytest
import torch

from showo_turbo.models.protocols import FIXED_POINT
from showo_turbo.trajectories import TextTrajectory, collate_text_trajectories

from .. import naive
from ..tiny import tiny_showo

LENGTHS = [11, 4, 1, 8]
"""Answers of three blocks, of one, of one token, and of two whole blocks."""


@pytest.fixture(scope="module")
def model():
    return tiny_showo(decided=False)


@pytest.fixture(scope="module")
def records():
    generator = torch.Generator().manual_seed(0)

    def ids(*shape):
        return torch.randint(0, 29, shape, generator=generator).int()

    found = []
    for number, length in enumerate(LENGTHS):
        answer = ids(length)
        padded = torch.cat([answer, ids(-length % 4)])
        found.append(
            TextTrajectory(
                key=str(number),
                text="",
                prompt_ids=ids(1 + number),
                image=torch.randint(0, 24, (16,), generator=generator),
                answer_ids=answer,
                blocks=[torch.cat([ids(2, 4), part[None]]) for part in padded.split(4)],
            )
        )
    return found


def expected_logits(model, record, block, tokens):
    """Of one block alone: an unbatched sequence of what precedes it and its tokens."""
    before = [*record.prompt_ids.tolist(), *record.answer_ids[: 4 * block].tolist()]
    sequence = naive.text_sequence(model, record.image.tolist(), [*before, *tokens])
    start = 16 + 3 + len(before)  # after `mmu soi image eoi`: the place of token i - 1
    return model(*sequence)[0, start : start + 4, : model.vocabulary.text_size]


def all_logits(model, records, names=("tokens_k", "tokens_e"), **options):
    steps = [[number % 2 for number, _ in enumerate(record.blocks)] for record in records]
    batch = collate_text_trajectories(records, steps, segments=1)
    versions = {name: getattr(batch, name) for name in names}
    return batch, model.answer_logits(batch, versions, **options)


@torch.no_grad()
def test_logits_are_those_of_one_block_at_a_time(model, records):
    batch, found = all_logits(model, records, fixed_point=True)
    assert list(found) == ["tokens_k", "tokens_e", FIXED_POINT]
    for row, (answer, start) in enumerate(zip(batch.answer, batch.start, strict=True)):
        record, block = records[answer], int(start) // 4
        valid = record.valid_length(block)
        for name in ("tokens_k", "tokens_e", FIXED_POINT):
            tokens = getattr(batch, "fixed_point" if name == FIXED_POINT else name)[row]
            expected = expected_logits(model, record, block, tokens.tolist())
            rows = valid if name == FIXED_POINT else 4
            torch.testing.assert_close(found[name][row][:rows], expected[:rows], rtol=0, atol=1e-5)


@torch.no_grad()
def test_neither_other_answers_nor_other_versions_change_anything(model, records):
    _, together = all_logits(model, records, fixed_point=True)
    batch, alone = all_logits(model, records[:1], names=("tokens_e",))
    torch.testing.assert_close(
        alone["tokens_e"], together["tokens_e"][: len(batch.answer)], rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_blocks_of_a_chain_see_each_other_as_in_one_sequence(model, records):
    batch, found = all_logits(model, records, fixed_point=True)
    chains = {"chained": batch.tokens_k, "other": batch.tokens_e}
    versions = {"tokens_k": batch.tokens_k, "tokens_e": batch.tokens_e}
    mixed = model.answer_logits(batch, versions, chains=chains, fixed_point=True)
    assert list(mixed) == [*versions, *chains, FIXED_POINT]
    for name in found:
        torch.testing.assert_close(mixed[name], found[name], rtol=0, atol=1e-5)
    alone = model.answer_logits(batch, {}, chains={"chained": batch.tokens_k})
    for number, record in enumerate(records):
        rows = batch.answer == number
        for name, tokens in chains.items():
            noisy = tokens[rows].flatten().tolist()
            prompt = record.prompt_ids.tolist()
            sequence = naive.text_sequence(model, record.image.tolist(), [*prompt, *noisy])
            start = 16 + 3 + len(prompt)
            logits = model(*sequence)[0, start:-1, : model.vocabulary.text_size]
            expected = logits.unflatten(0, (-1, 4))
            torch.testing.assert_close(mixed[name][rows], expected, rtol=0, atol=1e-5)
            if name == "chained":
                torch.testing.assert_close(alone[name][rows], expected, rtol=0, atol=1e-5)


def test_gradients_are_those_of_one_block_at_a_time(model, records):
    def gradient(loss):
        model.zero_grad()
        loss.backward()
        return model.showo.model.layers[0].mlp.fc1.weight.grad.clone()

    batch, found = all_logits(model, records, names=("tokens_k",))
    together = gradient(found["tokens_k"].logsumexp(-1).sum())
    single = [
        expected_logits(model, records[a], int(s) // 4, tokens.tolist())
        for a, s, tokens in zip(batch.answer, batch.start, batch.tokens_k, strict=True)
    ]
    apart = gradient(torch.stack(single).logsumexp(-1).sum())
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_one_forward_and_one_call_of_the_head(model, records, monkeypatch):
    calls = []
    for name in ("hidden_states", "logits"):
        given = getattr(type(model), name)
        monkeypatch.setattr(
            type(model),
            name,
            lambda self, *a, name=name, given=given: calls.append(name) or given(self, *a),
        )
    all_logits(model, records, fixed_point=True)
    assert calls == ["hidden_states", "logits"]


@torch.no_grad()
def test_the_fixed_point_alone_adds_no_token(model, records, monkeypatch):
    widths = []
    given = type(model).hidden_states
    monkeypatch.setattr(
        type(model),
        "hidden_states",
        lambda self, ids, *a: widths.append(ids.shape[1]) or given(self, ids, *a),
    )
    all_logits(model, records, names=(), fixed_point=True)
    longest = max(len(r.prompt_ids) + len(r.answer_ids) for r in records)
    assert widths == [16 + 3 + 1 + longest - 1]
