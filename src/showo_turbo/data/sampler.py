"""Sampling from several streams at once, resumable on another number of devices."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import ceil
from types import MappingProxyType
from typing import Any

from torch.utils.data import Sampler

from ..errors import UserError, shown
from ..utils.random import Permutation, stable_hash
from .even_batches import EvenBatches
from .streams import SampleKey


class JoinedBatchSampler(Sampler[list[SampleKey]]):
    """Draws every batch from all streams, in a global order that all ranks share.

    Each stream has an endless global order: pass after pass over its samples, each in a fresh
    random order. A batch takes the next `batch_sizes[stream] * world_size` positions of each
    stream, rank after rank. Epoch `e` starts `e` epoch lengths into the order, so that streams
    longer than an epoch go on where the last one stopped, and shorter ones begin again when they
    are through. An epoch ends with the batch that completes the primary stream's samples.

    The state is the epoch and the number of samples consumed over all ranks. A run that resumes
    with another number of ranks or other batch sizes continues the same global order.

    Iterating does not move the position, because a loader asks for batches ahead of the training
    that consumes them: call `advance` for every batch that was handed out.

    Args:
        sizes: Number of samples of each stream.
        batch_sizes: Samples of each stream in the batch of one rank.
        primary: The stream that decides how long an epoch is.
        seed: Chooses the orders and the samples' seeds.
        rank: Which of the ranks this is.
        world_size: Number of ranks.
        samples_per_epoch: Samples of the primary stream in an epoch, over all ranks; its size if
            missing.
        parts: Of streams that lie in parts, such as files, the number of samples of each: such a
            stream's order is one of parts, and within a part one of its samples.
        lengths: Of streams whose samples differ in length, the tokens of each.
        even_batches: Batches over which the tokens of these streams are evened out: of the samples
            of so many batches, long ones come in small batches and short ones in large ones, see
            `EvenBatches`. 1 takes the samples as they come.

    Attributes:
        epoch: The epoch, from 0.
        consumed: Samples of each stream that were handed out in this epoch, over all ranks.
        batches: Batches that this rank handed out in this epoch, on any number of ranks.

    Raises:
        UserError: If a size is below 1, the primary stream is unknown, or parts do not hold all
            samples of their stream.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        batch_sizes: Mapping[str, int],
        *,
        primary: str,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        samples_per_epoch: int | None = None,
        parts: Mapping[str, Sequence[int]] = MappingProxyType({}),
        lengths: Mapping[str, Sequence[int]] = MappingProxyType({}),
        even_batches: int = 1,
    ) -> None:
        if sizes.keys() != batch_sizes.keys() or primary not in sizes:
            raise UserError(
                f"streams {', '.join(sizes)} have batch sizes for {', '.join(batch_sizes)} and the "
                f"primary stream {primary!r}; expected the same names, and the primary among them"
            )
        for name in sizes:
            if sizes[name] < 1 or batch_sizes[name] < 1:
                raise UserError(
                    f"stream {name!r} has {sizes[name]} samples and a batch size of "
                    f"{batch_sizes[name]}; expected at least 1 of both"
                )
        if samples_per_epoch is not None and samples_per_epoch < 1:
            raise UserError(f"samples_per_epoch is {samples_per_epoch}; expected at least 1")
        if even_batches < 1:
            raise UserError(f"even_batches is {even_batches}; expected at least 1, set it so")
        self.sizes = dict(sizes)
        self.batch_sizes = dict(batch_sizes)
        self.primary = primary
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.samples_per_epoch = samples_per_epoch or sizes[primary]
        self.parts = dict(parts)
        self.lengths = dict(lengths) if even_batches > 1 else {}
        self.even_batches = even_batches
        for name, own in self.parts.items():
            if sum(own) != sizes.get(name) or min(own) < 1:
                raise UserError(
                    f"stream {name!r} has {sizes.get(name)} samples, but parts of {shown(own)}; "
                    "expected parts of at least 1 that hold all of them"
                )
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of `epoch`; the current epoch stays where it is."""
        if epoch != getattr(self, "epoch", None):
            self.epoch = epoch
            self.consumed = dict.fromkeys(self.sizes, 0)
            self.batches = 0

    @property
    def batches_left(self) -> int:
        """Batches until the end of the epoch."""
        left = self.samples_per_epoch - self.consumed[self.primary]
        return max(0, ceil(left / (self.batch_sizes[self.primary] * self.world_size)))

    def __len__(self) -> int:
        """Batches of the whole epoch, those before a resume included."""
        return self.batches + self.batches_left

    def __iter__(self) -> Iterator[list[SampleKey]]:
        """The batches from the current position to the end of the epoch, for this rank."""
        consumed = dict(self.consumed)
        orders = {
            name: _Order(self.seed, name, size, self.parts.get(name, (size,)))
            for name, size in self.sizes.items()
        }
        even = {name: self._even(name, orders[name]) for name in self.lengths}
        for _ in range(self.batches_left):
            keys = []
            for name, batch_size in self.batch_sizes.items():
                first = consumed[name] + self.rank * batch_size
                positions: Sequence[int] = range(first, first + batch_size)
                if name in even:
                    positions = even[name][first // batch_size]
                for position in positions:
                    index = orders[name][self._epoch_start(name) + position]
                    seed = stable_hash(self.seed, name, self.epoch, position)
                    keys.append(SampleKey(name, index, seed))
                consumed[name] += batch_size * self.world_size
            yield keys

    def advance(self) -> None:
        """Count one batch of every rank as consumed."""
        for name, batch_size in self.batch_sizes.items():
            self.consumed[name] += batch_size * self.world_size
        self.batches += 1

    def state_dict(self) -> dict[str, Any]:
        """The position, the same on every rank; plain types only."""
        return {
            "seed": self.seed,
            "epoch": self.epoch,
            "consumed": dict(self.consumed),
            "batches": self.batches,
            "samples_per_epoch": self.samples_per_epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at a saved position, or with the next epoch if that one was complete.

        Whether it was complete is a matter of the data that it ran over: the next stage of a
        curriculum may have more.

        Raises:
            UserError: If the state belongs to another seed or other streams.
        """
        if state["seed"] != self.seed:
            raise UserError(
                f"the checkpoint's data order has seed {state['seed']}, but the data module has "
                f"seed {self.seed}; use the same seed to continue"
            )
        if state["consumed"].keys() != self.sizes.keys():
            raise UserError(
                f"the checkpoint has the streams {', '.join(state['consumed'])}, but the data "
                f"module has {', '.join(self.sizes)}; use the same streams to continue"
            )
        self.epoch = state["epoch"]
        self.consumed = dict(state["consumed"])
        self.batches = state["batches"]
        if self.consumed[self.primary] >= state["samples_per_epoch"]:
            self.set_epoch(self.epoch + 1)

    def _even(self, name: str, order: "_Order") -> EvenBatches:
        """The even batches of a stream in this epoch."""
        lengths, start = self.lengths[name], self._epoch_start(name)
        joint = self.batch_sizes[self.primary] * self.world_size
        return EvenBatches(
            lambda position: lengths[order[start + position]],
            self.batch_sizes[name],
            self.even_batches,
            ceil(self.samples_per_epoch / joint) * self.world_size,
            stable_hash(self.seed, name, self.epoch, "even"),
        )

    def _epoch_start(self, name: str) -> int:
        """Position in the stream's endless order at which the epoch starts.

        It depends on the ratio of the batch sizes alone, not on the number of ranks.
        """
        ratio_of = self.batch_sizes[name], self.batch_sizes[self.primary]
        return self.epoch * self.samples_per_epoch * ratio_of[0] // ratio_of[1]


class _Order:
    """The endless order of one stream: one permutation after the other, part by part.

    Args:
        seed: Of all orders.
        name: The stream.
        size: Its samples.
        parts: The samples of each of its parts.
    """

    def __init__(self, seed: int, name: str, size: int, parts: Sequence[int]) -> None:
        self._seed = seed
        self._name = name
        self._size = size
        self._parts = parts
        self._starts = [0, *accumulate(parts)]
        self._passes: dict[int, tuple[list[int], list[int]]] = {}
        self._permutations: dict[tuple[int, int], Permutation] = {}

    def __getitem__(self, position: int) -> int:
        number, position = divmod(position, self._size)
        if len(self._parts) == 1:
            return self._permutation(number, 0)[position]
        if number not in self._passes:
            order = Permutation(len(self._parts), stable_hash(self._seed, self._name, number))
            parts = [order[place] for place in range(len(self._parts))]
            self._passes[number] = parts, [0, *accumulate(self._parts[part] for part in parts)]
        parts, begins = self._passes[number]
        place = bisect_right(begins, position) - 1
        part = parts[place]
        return self._starts[part] + self._permutation(number, part)[position - begins[place]]

    def _permutation(self, number: int, part: int) -> Permutation:
        if (number, part) not in self._permutations:
            names = (number,) if len(self._parts) == 1 else (number, part)
            self._permutations[number, part] = Permutation(
                self._parts[part], stable_hash(self._seed, self._name, *names)
            )
        return self._permutations[number, part]
