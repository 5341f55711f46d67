"""Images of questions are encoded once, by one process or by several together."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.trajectories.requests import text_requests
from showo_turbo.utils.share import Share

from ..tiny import shapes_showo

TOKENIZER = TextTokenizer.from_pretrained("shapes")
PATHS = [Path(f"{number}.png") for number in range(7)]


@dataclass(frozen=True)
class Threads(Share):
    """Processes that are threads, and exchange values through a list."""

    values: list = field(default_factory=list)
    barrier: Barrier | None = None

    def of_all(self, value):
        self.values[self.rank] = value
        self.barrier.wait(10)
        found = list(self.values)
        self.barrier.wait(10)  # nobody writes again before all have read
        return found


def encoder(seen, bad=()):
    def encode(paths):
        seen.append(list(paths))
        if set(bad) & set(paths):
            raise UserError(f"{bad[0]} cannot be read")
        return {path: torch.full((16,), int(path.stem)) for path in paths if path != PATHS[5]}

    return encode


def together(count, questions, bad=()):
    """What each of several processes gets, and which batches it encodes."""
    values, barrier = [None] * count, Barrier(count)
    seen = [[] for _ in range(count)]

    def one(rank):
        share = Threads(rank, count, values, barrier)
        try:
            return text_requests(
                questions, encoder(seen[rank], bad), shapes_showo(), TOKENIZER, 2, share
            )
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count))), seen


@pytest.fixture
def questions():
    return [(path, "What?") for path in PATHS] + [(PATHS[3], "Where?")]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_several_processes_share_the_images(questions, count):
    [(alone, left_out)], [batches] = together(1, questions)
    assert batches == [PATHS[0:2], PATHS[2:4], PATHS[4:6], PATHS[6:]]
    found, seen = together(count, questions)
    assert seen == [batches[rank::count] for rank in range(count)]
    assert {request.image.untyped_storage().nbytes() for request in alone} <= {2 * 16 * 8, 16 * 8}
    assert len(alone) == len(questions) - 1  # PATHS[5] is bad
    for requests, missing in found:
        assert missing == left_out == 0
        for request, expected in zip(requests, alone, strict=True):
            assert torch.equal(request.image, expected.image)
            assert request._replace(image=None) == expected._replace(image=None)


class Sent(Share):
    """Keeps what is sent."""

    def of_all(self, value):
        object.__setattr__(self, "bytes", len(pickle.dumps(value)))
        return [value]


def test_no_more_is_sent_than_is_encoded():
    share = Sent()
    questions = [(Path(f"{number}.png"), "What?") for number in range(64)]

    def encode(paths):
        whole = torch.zeros(64, 16, dtype=torch.long)
        return dict(zip(paths, whole, strict=True))

    text_requests(questions, encode, shapes_showo(), TOKENIZER, 64, share)
    assert share.bytes < 64 * 16 * 8 + 3000


def test_what_one_process_raises_all_raise(questions):
    found, _ = together(3, questions, bad=[PATHS[2]])
    assert found == ["2.png cannot be read"] * 3


def test_no_process_waits_for_one_that_breaks():
    values, barrier = [None] * 2, Barrier(2)

    def one(rank):
        def encode(paths):
            if rank:
                raise OSError("disk")
            return {path: torch.zeros(16, dtype=torch.long) for path in paths}

        share = Threads(rank, 2, values, barrier)
        questions = [(path, "What?") for path in PATHS]
        with pytest.raises((OSError, RuntimeError), match="disk") as error:
            text_requests(questions, encode, shapes_showo(), TOKENIZER, 2, share)
        return error.type

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, range(2))) == [RuntimeError, OSError]
