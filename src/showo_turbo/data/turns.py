"""Turns of conversations about images as an Arrow table, which a machine's processes share."""

import gc
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, overload

import pyarrow as pa

from ..errors import BadSample
from ..models.questions import FollowUp
from ..utils.files import write_atomically
from ..utils.lock import folder_lock
from ..utils.remembered import cache_folder
from .bad_samples import Skip

LARGE = 2**24
"""Bytes of an annotation file from which on its turns are kept in a file (see
`cache_folder`), and mapped."""

_VERSION = 1
_ROWS = 2**14
_COUNTS = b"counts"
_BAD = b"bad"
_TURNS = pa.schema(
    {
        "record": pa.string(),
        "image": pa.string(),
        "question": pa.string(),
        "answer": pa.string(),
        "before": pa.int32(),
        "repeats": pa.bool_(),
    }
)


class Conversation(NamedTuple):
    """What one record holds.

    Attributes:
        record: Its name.
        image: The image's path within the images' folder.
        turns: Questions with their answers.
    """

    record: str
    image: str
    turns: list[tuple[str, str]]


class Turn(NamedTuple):
    """A question and its answer.

    Attributes:
        record: Name of the record.
        image: The image's path.
        question: A `FollowUp`, if it comes with turns before it.
        answer: The answer.
    """

    record: str
    image: Path
    question: str
    answer: str


ReadAll = Callable[[Skip, dict[str, int]], Iterator[Conversation]]
"""Reads an annotation file; bad records go to the first argument, counts into the second."""


class TurnTable:
    """Turns as rows, mapped again in every process that it is handed to if they are in a file.

    Args:
        source: What `open_turns` wrote: a file, or the bytes of one.

    Attributes:
        rows: The turns.
        counts: What else was counted.
        bad: What is wrong with each record that is left out.
    """

    def __init__(self, source: Path | bytes) -> None:
        self._source = source
        buffer = pa.memory_map(str(source)) if isinstance(source, Path) else pa.py_buffer(source)
        with pa.ipc.open_file(buffer) as file:
            self.rows: pa.Table = file.read_all()
            last = file.get_batch_with_custom_metadata(file.num_record_batches - 1)
        self.counts: dict[str, int] = json.loads(last.custom_metadata[_COUNTS])
        self.bad: list[str] = json.loads(last.custom_metadata[_BAD])

    def __reduce__(self) -> tuple[type["TurnTable"], tuple[Path | bytes]]:
        return TurnTable, (self._source,)


class Turns(Sequence[tuple[Path, str]]):
    """The image and the question of every turn; answers on request.

    Args:
        table: All turns.
        images: Folder that images' paths start from.
        history: Whether a question comes with the turns before it.
        rows: Which rows; all by default.
    """

    def __init__(
        self, table: TurnTable, images: Path, history: bool, rows: Sequence[int] | None = None
    ) -> None:
        self._table = table
        self._images = images
        self._history = history
        self._rows = range(len(table.rows)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> tuple[Path, str]: ...
    @overload
    def __getitem__(self, index: slice) -> "Turns": ...
    def __getitem__(self, index: int | slice) -> "tuple[Path, str] | Turns":
        if isinstance(index, slice):
            return Turns(self._table, self._images, self._history, self._rows[index])
        turn = self.turn(index)
        return turn.image, turn.question

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def turn(self, index: int) -> Turn:
        """The turn at an index."""
        row = self._rows[index]
        question = self._value("question", row)
        before = self._value("before", row) if self._history else 0
        if before:
            earlier = range(row - before, row)
            asked = [(self._value("question", i), self._value("answer", i)) for i in earlier]
            question = FollowUp(question, asked)
        image = self._images / self._value("image", row)
        return Turn(self._value("record", row), image, question, self._value("answer", row))

    def distinct(self) -> "Turns":
        """Without those that ask what one before them asks about the same image."""
        repeats = self._table.rows.column("repeats").to_numpy()
        return Turns(self._table, self._images, self._history, (~repeats).nonzero()[0])

    def _value(self, name: str, row: int) -> Any:
        return self._table.rows.column(name)[int(row)].as_py()


def open_turns(
    annotations: Path, options: Sequence[object], history: bool, read: ReadAll, skip: Skip
) -> TurnTable:
    """Read an annotation file once a machine, if it is large, and map what came of it.

    Bad records are reported again whenever it is opened.

    Args:
        annotations: The file.
        options: All else that decides what is read.
        history: Whether the turns before a question make it another one.
        read: Reads it.
        skip: Is called with each bad record; leaves it out, or raises.

    Returns:
        The turns, and the counts.

    Raises:
        UserError: What `read` raises.
    """
    table = TurnTable(_source(annotations, options, history, read))
    for message in table.bad:
        skip(BadSample(message))
    return table


def _source(
    annotations: Path, options: Sequence[object], history: bool, read: ReadAll
) -> Path | bytes:
    """The turns of a small file as bytes, or the file that holds those of a large one."""
    try:
        status = annotations.stat()
    except OSError:  # `read` says what is wrong
        status = None
    if status is None or status.st_size < LARGE:
        sink = pa.BufferOutputStream()
        _write(sink, read, history)
        return bytes(sink.getvalue())
    place = hashlib.sha256(str(annotations.absolute()).encode()).hexdigest()[:16]
    state = [_VERSION, status.st_size, status.st_mtime_ns, history, *map(str, options)]
    key = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
    folder = cache_folder()
    path = folder / f"{place}-{key}.arrow"
    with folder_lock(folder, f".{place}.lock", wait_s=math.inf):
        if not path.exists():
            for older in folder.glob(f"{place}-*.arrow"):
                older.unlink()
            with write_atomically(path) as temporary, pa.OSFile(str(temporary), "wb") as sink:
                _write(sink, read, history)
    return path


def _write(sink: Any, read: ReadAll, history: bool) -> None:
    """Write all turns, some thousand at a time, and then what was counted."""
    bad: list[str] = []
    counts: dict[str, int] = {}
    seen: set[bytes] = set()
    rows: list[tuple[Any, ...]] = []
    with pa.ipc.new_file(sink, _TURNS) as file, _no_garbage_collection():

        def flush() -> None:
            columns = zip(*rows, strict=True) if rows else [()] * len(_TURNS)
            arrays = [pa.array(c, t) for c, t in zip(columns, _TURNS.types, strict=True)]
            file.write_batch(pa.record_batch(arrays, schema=_TURNS))
            rows.clear()

        for conversation in read(lambda error: bad.append(str(error)), counts):
            rows += _rows_of(conversation, history, seen)
            if len(rows) >= _ROWS:
                flush()
        flush()
        notes = {_COUNTS: json.dumps(counts).encode(), _BAD: json.dumps(bad).encode()}
        file.write_batch(
            pa.record_batch([pa.array([], t) for t in _TURNS.types], schema=_TURNS),
            custom_metadata=notes,
        )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Do without it: millions of objects are made, none of which refers to itself."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _rows_of(
    conversation: Conversation, history: bool, seen: set[bytes]
) -> Iterator[tuple[Any, ...]]:
    record, image, turns = conversation
    so_far = _digest(image.encode())
    for before, (question, answer) in enumerate(turns):
        asked = _digest(so_far + question.encode())
        repeats = asked in seen
        seen.add(asked)
        yield record, image, question, answer, before, repeats
        if history:
            so_far = _digest(asked + answer.encode())


def _digest(content: bytes) -> bytes:
    """Of a fixed length, so that what follows it begins at one place only."""
    return hashlib.blake2b(content, digest_size=16).digest()
