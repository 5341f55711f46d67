from types import SimpleNamespace

import torch

from showo_turbo.losses import ChainedTextConsistency, counted_in_chains, masked_kl

# Two answers: of three blocks of two tokens, and of one.
ANSWER = torch.tensor([0, 0, 0, 1])
START = torch.tensor([0, 2, 4, 0])
DIFFERS = torch.tensor([[False, False], [False, True], [False, False], [False, False]])
VALID = torch.tensor([[True, True], [True, True], [True, False], [True, True]])
COUNTED = torch.tensor([[False, False], [False, True], [True, False], [False, False]])


def test_all_that_follows_a_difference_counts():
    assert torch.equal(counted_in_chains(DIFFERS, VALID, ANSWER, START), COUNTED)
    # In whatever order the blocks are.
    order = torch.tensor([2, 3, 0, 1])
    found = counted_in_chains(DIFFERS[order], VALID[order], ANSWER[order], START[order])
    assert torch.equal(found, COUNTED[order])


def test_the_term_is_the_divergence_there():
    generator = torch.Generator().manual_seed(0)
    chained, target = (torch.randn(4, 2, 5, generator=generator) for _ in range(2))
    batch = SimpleNamespace(differs=DIFFERS, valid=VALID, answer=ANSWER, start=START)
    inputs = SimpleNamespace(batch=batch, chained_logits=chained, target_logits=target)
    value = ChainedTextConsistency().compute(inputs)
    for found, expected in zip(value, masked_kl(target, chained, COUNTED), strict=True):
        assert torch.equal(found, expected)
    assert value.counted.tolist() == [0, 1, 1, 0]
