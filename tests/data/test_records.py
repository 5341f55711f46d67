import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from showo_turbo.data.records import read_records
from showo_turbo.errors import UserError


def records(path):
    return [record for _, record in read_records(path)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonlines", "a.NDJSON", "a"])
def test_json_lines_under_any_name(tmp_path, name):
    (tmp_path / name).write_text('\n{"a": "x\u2028y"}\n\n[1]\n', encoding="utf-8-sig")
    assert list(read_records(tmp_path / name)) == [
        (f"line 2 of {tmp_path / name}", {"a": "x\u2028y"}),
        (f"line 4 of {tmp_path / name}", [1]),
    ]


@pytest.mark.parametrize(("name", "tab"), [("a.csv", ","), ("a.tsv", "\t"), ("a.TSV", "\t")])
def test_tables(tmp_path, name, tab):
    rows = [["a", " b "], ["1", f'"x{tab}""y""\nz"'], [], ["", ""], ["é\x85", ""], ["2"]]
    content = "\r\n".join(tab.join(row) for row in rows)
    (tmp_path / name).write_bytes(content.encode("utf-8-sig"))
    assert list(read_records(tmp_path / name)) == [
        (f"the row at line 2 of {tmp_path / name}", {"a": "1", "b": f'x{tab}"y"\nz'}),
        (f"the row at line 6 of {tmp_path / name}", {"a": "é", "b": ""}),
        (f"the row at line 7 of {tmp_path / name}", {"a": "2", "b": ""}),
    ]


def test_columns_that_a_spreadsheet_left_empty(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,,\n1,2,,\n")
    assert records(tmp_path / "a.csv") == [{"a": "1", "b": "2"}]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet='ab,"\n\r\t \0\u2028', max_size=40))
def test_any_table_is_read_or_explained(tmp_path, content):
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    try:
        found = records(tmp_path / "a.csv")
    except UserError as error:
        assert "expected" in str(error)
    else:
        assert all(record.keys() == found[0].keys() for record in found)
        assert all(any(record.values()) for record in found)


def test_a_table_without_rows(tmp_path):
    for content in ("", "a,b\n"):
        (tmp_path / "a.csv").write_text(content)
        assert records(tmp_path / "a.csv") == []


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,a\n", r"line 1 of .* names the columns \['a', 'a'\]; expected a name of its own"),
        ("a,,b\n", "line 1 of .* expected a name of its own for each"),
        ("a\nx, y\n", r"line 2 of .* has 2 values; expected 1, .* \['a'\], put a text with ','"),
        ('a\n"x" y\n', r"line 2 of .* is malformed \(',' expected after '\"'\)"),
        ('a\nx\n"y\n', r"line 3 of .* is malformed \(unexpected end of data\)"),
    ],
)
def test_mistakes_are_explained(tmp_path, content, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        records(tmp_path / "a.csv")
