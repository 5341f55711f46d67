from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.trajectories.repetition import is_repetitive


def naive(tokens, longest_ngram, max_repeats):
    for n in range(1, longest_ngram + 1):
        for start in range(len(tokens)):
            gram = tokens[start : start + n]
            repeats = 1
            while tokens[start + repeats * n : start + (repeats + 1) * n] == gram:
                repeats += 1
            if len(gram) == n and repeats > max_repeats:
                return True
    return False


def test_by_hand():
    assert not is_repetitive([1, 2, 3, 4], 4, 1)
    assert is_repetitive([1, 1], 1, 1)
    assert not is_repetitive([1, 1, 1, 1], 4, 4)
    assert is_repetitive([7, 1, 1, 1, 1, 1, 9], 4, 4)
    assert is_repetitive([1, 2, 1, 2, 1, 2], 2, 2)
    assert not is_repetitive([1, 2, 1, 2, 1, 2], 1, 2)
    assert not is_repetitive([1, 2, 1, 2, 1, 2], 2, 3)
    assert not is_repetitive([], 4, 1)


@given(st.lists(st.integers(0, 1), max_size=14), st.integers(1, 5), st.integers(1, 4))
def test_agrees_with_counting_every_start(tokens, longest_ngram, max_repeats):
    assert is_repetitive(tokens, longest_ngram, max_repeats) == naive(
        tokens, longest_ngram, max_repeats
    )
