import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.training import masking
from showo_turbo.training.masking import mask_codes, mask_frame_by_frame

from ..tiny_mmada import codes_of, golden_cases


@given(st.integers(1, 40), st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=6))
def test_masks_at_least_one_token_and_depends_on_the_own_seed_only(tokens, seeds):
    codes = torch.arange(tokens).repeat(len(seeds), 1)
    masked = mask_codes(codes, 99, seeds)
    hidden = masked == 99
    assert (hidden.sum(dim=1) >= 1).all()
    assert (masked[~hidden] == codes[~hidden]).all()
    for row, seed in enumerate(seeds):
        assert (mask_codes(codes[:1], 99, [seed])[0] == masked[row]).all()


def test_the_mean_share_follows_the_schedule():
    codes = torch.zeros(4000, 64, dtype=torch.long)
    share = (mask_codes(codes, 1, range(4000)) == 1).float().mean()
    # The mean of cos(pi/2 r) over r in [0, 1) is 2/pi.
    assert abs(float(share) - 2 / torch.pi) < 0.02


def test_clips_are_masked_as_they_are_generated_frame_by_frame():
    """Known frames, one that is masked in part, and masked ones."""
    codes = torch.arange(5 * 9).repeat(600, 1)
    hidden = mask_frame_by_frame(codes, 99, range(600), 5) == 99
    begun = [0] * 5
    for row in hidden.unflatten(1, (5, 9)):
        frame = int(row.any(dim=1).nonzero()[0])
        begun[frame] += 1
        assert row[frame + 1 :].all() and not row[:frame].any()
    # The mean of cos(pi/2 r) over r in [0, 1) is 2/pi.
    partly = hidden.unflatten(1, (5, 9)).float().mean(dim=2)
    partly = partly[(partly < 1) & (partly > 0)]
    assert len(partly) > 400 and abs(float(partly.mean()) - 2 / torch.pi) < 0.1
    assert min(begun) > 90  # of 120 each
    alone = mask_frame_by_frame(codes[:1], 99, [7], 5) == 99
    assert torch.equal(alone[0], hidden[7])


@pytest.mark.parametrize("row", range(4))
def test_golden_counts_of_masked_codes(row, monkeypatch):
    """As many codes are masked as MMaDA's published training masks with the same probability."""
    golden = golden_cases()
    share = float(golden["masking.probability"][row])
    monkeypatch.setattr(masking, "masked_share", lambda *_: share)
    codes = codes_of(golden["masking.tokens"][row : row + 1])
    masked = mask_codes(codes, 32, [row]) == 32
    assert masked.sum() == golden["masking.count"][row]
