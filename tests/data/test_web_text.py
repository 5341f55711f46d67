from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import showo_turbo.data.web_text as web_text
from showo_turbo.data import WebText
from showo_turbo.errors import UserError


def test_files_of_a_folder_are_one_sequence(photographs: Any) -> None:
    dataset = WebText([photographs.texts])
    # Subfolders sort by name: "more" before "part-00000.parquet".
    assert [item["text"] for item in dataset] == [
        "document 7",
        *(f"document {i}" for i in range(7)),
    ]


TEXTS = st.text(min_size=1, max_size=5).filter(str.strip)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.lists(TEXTS, min_size=1, max_size=9), min_size=1, max_size=4),
    row_group_size=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
)
def test_any_order_reads_the_same(
    tmp_path: Path, files: list[list[str]], row_group_size: int, order: Any
) -> None:
    paths = []
    for number, texts in enumerate(files):
        paths.append(tmp_path / f"{number}.parquet")
        pq.write_table(pa.table({"content": texts}), paths[-1], row_group_size=row_group_size)
    dataset = WebText(paths)
    expected = [text for texts in files for text in texts]
    assert len(dataset) == len(expected)
    indices = list(range(len(expected)))
    order.shuffle(indices)
    for index in indices:
        assert dataset.draw(index, seed=0)["text"] == expected[index]


def test_only_some_row_groups_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"content": [str(i) for i in range(40)]}), path, row_group_size=2)
    reads = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, number, **options: reads.append(number) or read(self, number, **options),
    )
    dataset = WebText([path])
    assert reads == []
    monkeypatch.setattr(web_text, "CACHE_BYTES", 8 * dataset._texts(19).nbytes + 4)
    dataset._cache.clear()
    reads.clear()
    for index in range(40):
        dataset[index]
    assert reads == list(range(20))
    dataset[39]
    assert len(reads) == 20  # still there
    dataset[0]
    assert reads[20:] == [0]  # was dropped
    assert 6 <= len(dataset._cache) <= 9
    assert sum(kept.nbytes for kept in dataset._cache.values()) <= web_text.CACHE_BYTES
    monkeypatch.setattr(web_text, "CACHE_BYTES", 0)
    dataset[7]
    assert len(dataset._cache) == 1  # the one in use


def test_large_strings_and_other_columns_are_read(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2], "text": pa.array(["a", "b"], pa.large_string())})
    pq.write_table(table, tmp_path / "t.parquet")
    assert WebText([tmp_path], column="text")[1]["text"] == "b"


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["one", "two", "one"]).dictionary_encode(),
        pa.array(["one", "two", "one"], pa.large_string()).dictionary_encode(),
        pa.array(["one", "two", "one"], pa.large_string()),
        pa.array(["one", "two", "one"], pa.string_view()),
    ],
    ids=lambda texts: str(texts.type),
)
def test_texts_in_every_form(tmp_path: Path, texts: pa.Array) -> None:
    pq.write_table(pa.table({"content": texts}), tmp_path / "t.parquet", row_group_size=2)
    dataset = WebText([tmp_path])
    assert [dataset[i]["text"] for i in range(3)] == ["one", "two", "one"]


@pytest.mark.bad_input
def test_mistakes_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": [1, 2], "text": ["a", None]}), path)
    with pytest.raises(UserError, match="no column 'content'"):
        WebText([path])
    with pytest.raises(UserError, match="has int64 in column 'n'"):
        WebText([path], column="n")
    with pytest.raises(UserError, match=r"row 1 of row group 0 of .* has no text in 'text'"):
        WebText([path], column="text")[1]
    with pytest.raises(UserError, match=r"nowhere\.parquet does not exist"):
        WebText([tmp_path / "nowhere.parquet"])
    with pytest.raises(UserError, match="no text files are named"):
        WebText([])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"holds no \*\.parquet file"):
        WebText([empty])
    pq.write_table(pa.table({"content": pa.array([], pa.string())}), empty / "t.parquet")
    with pytest.raises(UserError, match=r"t\.parquet holds no row"):
        WebText([empty])


@pytest.mark.bad_input
@pytest.mark.parametrize("kept", [0, 100])
def test_a_truncated_file_is_named(photographs: Any, tmp_path: Path, kept: int) -> None:
    whole = (photographs.texts / "part-00000.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:kept])
    with pytest.raises(UserError, match=r"cut\.parquet cannot be read as parquet") as error:
        WebText([tmp_path])
    assert "\n" not in str(error.value)


def test_a_row_group_that_is_shorter_than_noted(photographs: Any) -> None:
    texts = WebText([photographs.texts])
    texts._ends[-1] += 1
    with pytest.raises(
        UserError, match=r"cannot be read as parquet \(\d rows in a row group of \d"
    ):
        texts.draw(len(texts) - 1, seed=0)
