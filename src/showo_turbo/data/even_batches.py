"""Batches of about as many tokens each, so that every step costs about the same."""

from collections.abc import Callable, Sequence

from ..utils.random import Permutation, stable_hash


def evenly_divided(lengths: Sequence[int], batches: int) -> list[list[int]]:
    """Divide samples into batches, of which the largest is as small as possible.

    The size of a batch is that of a rectangle: its samples padded to the longest of them. Samples
    are taken by length, so that those of a batch are of nearly the same. The batch of the shortest
    gets what is left, and may be small.

    Args:
        lengths: Tokens of each sample.
        batches: How many, at most one a sample.

    Returns:
        For each batch the places of its samples in `lengths`, the longest samples first.
    """
    longest_first = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    sizes = [max(1, lengths[place]) for place in longest_first]
    too_small, budget = sizes[0] - 1, sizes[0] * len(sizes)
    while budget - too_small > 1:
        middle = (too_small + budget) // 2
        if len(_cut(sizes, middle)) <= batches:
            budget = middle
        else:
            too_small = middle
    groups = [[*part] for part in _cut(sizes, budget)]
    while len(groups) < batches:  # there are more than needed: halve the largest
        largest = max(
            (group for group in groups if len(group) > 1),
            key=lambda group: sizes[group[0]] * len(group),
        )
        place, half = groups.index(largest), len(largest) // 2
        groups[place : place + 1] = [largest[:half], largest[half:]]
    return [[longest_first[place] for place in group] for group in groups]


def _cut(sizes: Sequence[int], budget: int) -> list[range]:
    """Consecutive parts of descending sizes, each as long as its rectangle fits the budget."""
    parts, start = [], 0
    while start < len(sizes):
        stop = min(len(sizes), start + max(1, budget // sizes[start]))
        parts.append(range(start, stop))
        start = stop
    return parts


class EvenBatches:
    """The batches of a stream in an epoch, divided evenly window by window.

    A window holds the samples of so many consecutive batches. Its samples are divided into as many
    batches of about as many tokens each, in a random order.

    Args:
        length_at: Gives the tokens of the sample at a position of the epoch.
        batch_size: Samples in a batch on average.
        window: Batches in a window.
        batches: Batches in the epoch, over all ranks.
        seed: Chooses the order of the batches in a window.
    """

    def __init__(
        self,
        length_at: Callable[[int], int],
        batch_size: int,
        window: int,
        batches: int,
        seed: int,
    ) -> None:
        self._length_at = length_at
        self._batch_size = batch_size
        self._window = window
        self._batches = batches
        self._seed = seed
        self._number = -1
        self._divided: list[list[int]] = []

    def __getitem__(self, number: int) -> list[int]:
        """The positions in the epoch of a batch's samples.

        Args:
            number: Of the batch in the epoch, over all ranks.
        """
        window, place = divmod(number, self._window)
        if window != self._number:
            first = window * self._window
            count = min(self._window, max(1, self._batches - first))
            begin = first * self._batch_size
            positions = range(begin, begin + count * self._batch_size)
            divided = evenly_divided([self._length_at(position) for position in positions], count)
            order = Permutation(count, stable_hash(self._seed, window))
            self._divided = [[begin + p for p in divided[order[i]]] for i in range(count)]
            self._number = window
        return self._divided[place % len(self._divided)]
