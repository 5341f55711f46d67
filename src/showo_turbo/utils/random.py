"""Random numbers without a state: hashes of names and numbers, and random orders.

They are the same in every process, on every machine, and after every resume.
"""

import struct
from hashlib import blake2b

_ROUNDS = 6
_MASK = 0xFFFFFFFFFFFFFFFF


def stable_hash(*parts: object) -> int:
    """A 63-bit hash of the parts' texts, the same in every process and on every machine."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def stateless_seed(*numbers: int, stream: str = "") -> int:
    """Return 63 bits that look random, a function of the arguments alone.

    Args:
        *numbers: Integers of at most 64 bits.
        stream: Name that makes draws for different purposes independent.
    """
    message = struct.pack(f"<{len(numbers)}q", *numbers) + stream.encode()
    digest = blake2b(message, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def uniform(*numbers: int, stream: str = "") -> float:
    """A number of 0 to 1 that looks random, a function of the arguments; see `stateless_seed`."""
    return stateless_seed(*numbers, stream=stream) / 2**63


class Permutation:
    """A pseudo-random order of `range(size)`, computed element by element.

    A Feistel network on the smallest even number of bits that holds `size` values is a bijection;
    values beyond `size` are sent through again until one falls inside (cycle walking, Black and
    Rogaway, "Ciphers with arbitrary finite domains", 2002).

    Args:
        size: Number of elements.
        seed: Chooses the order.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
        self._keys = [stable_hash(seed, round_number) for round_number in range(_ROUNDS)]

    def __getitem__(self, position: int) -> int:
        """The element at `position`."""
        if not 0 <= position < self.size:
            raise IndexError(position)
        value = self._scramble(position)
        while value >= self.size:
            value = self._scramble(value)
        return value

    def _scramble(self, value: int) -> int:
        half_mask = (1 << self._half_bits) - 1
        left, right = value >> self._half_bits, value & half_mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right + key) & half_mask)
        return left << self._half_bits | right


def _mix(value: int) -> int:
    """Spread every input bit over all 64 output bits (the finalizer of SplitMix64)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31
