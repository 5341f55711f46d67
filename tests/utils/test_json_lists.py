"""Lists that are read value by value, against `json.loads`."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.utils import json_lists
from showo_turbo.utils.json_lists import read_json_list

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@example([0.5, 1.5e-30, 2e17], 1, None, False)
@given(st.lists(VALUES, max_size=6), st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_values_of_a_list(tmp_path, monkeypatch, values, block, indent, ascii_only):
    monkeypatch.setattr(json_lists, "_BLOCK", block)
    path = tmp_path / "list.json"
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    path.write_text(f" {text}\n ", encoding="utf-8", errors="surrogatepass")
    assert list(read_json_list(path)) == values


@pytest.mark.parametrize("text", ["{}", '"[1]"', "3"])
def test_something_else(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    assert read_json_list(path) is None


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "text", ["[1, 2", "[1 2]", "[1,]", "[,1]", "[1]]", "[1] 2", "[", "[1, nul]", "", "[" * 99999]
)
@pytest.mark.parametrize("block", [1, 2**22])
def test_what_is_not_json_is_said_as_of_other_files(tmp_path, monkeypatch, text, block):
    monkeypatch.setattr(json_lists, "_BLOCK", block if len(text) < 99 else 2**22)
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json is not valid JSON \("):
        list(read_json_list(path) or ())


@pytest.mark.bad_input
def test_files_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_json_list(tmp_path / "none.json")
    path = tmp_path / "list.json"
    path.write_bytes(b'["a", "\xff"]')
    with pytest.raises(UserError, match="cannot be read"):
        list(read_json_list(path))
