"""Finding texts that got stuck repeating themselves."""

from collections.abc import Sequence


def is_repetitive(tokens: Sequence[int], longest_ngram: int, max_repeats: int) -> bool:
    """Return whether an n-gram stands more than `max_repeats` times in a row.

    Greedy decoding of a weak teacher falls into loops; a student that learns from them learns to
    fall into them sooner. Source: the filtering of CLLM's trajectories (arXiv 2403.00835).

    Args:
        tokens: The text.
        longest_ngram: N-grams of 1 to this many tokens are looked for.
        max_repeats: How often in a row is still accepted.
    """
    return any(_longest_run(tokens, n) > max_repeats for n in range(1, longest_ngram + 1))


def _longest_run(tokens: Sequence[int], n: int) -> int:
    """Return how often an n-gram stands in a row, at most; each text has a run of 1."""
    # While tokens repeat those n before them, a run of whole n-grams grows by one every n tokens.
    longest = matching = 0
    for position in range(n, len(tokens)):
        matching = matching + 1 if tokens[position] == tokens[position - n] else 0
        longest = max(longest, matching)
    return 1 + longest // n
