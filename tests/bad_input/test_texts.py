"""Parquet files of web texts."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .bench import Case, table, text_files

pytestmark = pytest.mark.bad_input


def parquet(**columns):
    """The bytes of a parquet file."""
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def twice(name):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, [name] * 2), sink)
    return sink.getvalue()


def texts(content, name="texts.parquet", **changes):
    """Train on texts of this content; None stands for no file."""

    def prepare(bench):
        path = bench.folder / name
        if content is not None:
            bench.write(name, content)
        files = text_files(path.parent if name != path.name else path, **changes)
        return ["fit", "-c", bench.language_model(web_text=files)]

    return prepare


def not_utf8():
    raw = pa.array([b"fine", b"\xff\xfe", b"\xff"], pa.binary())
    return pa.Array.from_buffers(pa.string(), 3, raw.buffers())


TOO_MANY_ROWS = parquet(content=pa.array(["a"]).take(pa.array([0] * 2**18)))

CASES = [
    Case("no file", texts(None), "texts.parquet does not exist", "a parquet file", "name another"),
    Case("no names", texts(None, files=[]), "no text files", "expected parquet", "name some"),
    Case("no bytes", texts(b""), "texts.parquet cannot be read", "as parquet", "restore or remove"),
    Case("no parquet", texts("content\na\n"), "texts.parquet cannot", "as parquet", "restore"),
    Case("cut", texts(parquet(content=["a"] * 99)[:-40]), "cannot be", "as parquet", "restore"),
    Case("empty folder", texts("a", "folder/a.txt"), "holds no", "*.parquet", "name another"),
    Case(
        "wrong column",
        texts(parquet(text=["a"])),
        "no column 'content'",
        "it has ['text']",
        "choose one of them",
    ),
    Case(
        "the column twice",
        texts(twice("content")),
        "2 columns 'content'",
        "expected one",
        "rename the others",
    ),
    Case(
        "another column",
        texts(parquet(content=["a"]), column="txt"),
        "no column 'txt'",
        "it has ['content']",
        "choose one of them",
    ),
    Case("numbers", texts(parquet(content=[1])), "int64 in", "expected text", "choose another"),
    Case("lists", texts(parquet(content=[["a"]])), "list<", "expected text", "choose another"),
    Case(
        "no rows",
        texts(parquet(content=pa.array([], pa.string()))),
        "texts.parquet holds no row",
        "expected texts",
        "name others",
    ),
    Case("nulls", texts(parquet(content=["a", None])), "has no text", "'content'", "fill it in"),
    Case("empty", texts(parquet(content=["", " "])), "empty text", "fill it in", "remove"),
    Case("no UTF-8", texts(parquet(content=not_utf8())), "no UTF-8", "'content'", "remove it"),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)


def test_a_file_that_unfolds_to_gigabytes(bench, monkeypatch):
    """It is known from the footer, before anything is read."""
    monkeypatch.setattr("showo_turbo.data.parquet_files.MAX_ROW_GROUP_ROWS", 2**18 - 1)
    assert len(TOO_MANY_ROWS) < 10_000
    Case(
        "rows", texts(TOO_MANY_ROWS), "262,144 rows", "at most 262,143 rows", "smaller row groups"
    ).check(bench)


def test_good_texts_are_not(bench):
    ended = bench.run(*texts(parquet(content=["a", "b"]))(bench))
    assert ended.status == 0, ended.errors
