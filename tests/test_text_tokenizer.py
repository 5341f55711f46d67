import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.text_tokenizer import END_OF_TEXT, TextTokenizer

from .tiny import GOLDEN, golden_meta

SHAPES = TextTokenizer.from_pretrained("shapes")


def test_golden_tokenizer():
    tokenizer = TextTokenizer.from_pretrained(GOLDEN)
    assert tokenizer.size == golden_meta()["text_vocab_size"]
    assert tokenizer.bos_id == tokenizer.eos_id == 119
    assert tokenizer.encode("w1 w2 w3 w4") == [1, 2, 3, 4]
    assert tokenizer.decode([1, 2, 119]) == "w1 w2"


def test_shapes_tokenizer_ships_with_the_package():
    assert SHAPES.size == 640
    assert SHAPES.eos_id == 0


@given(st.text().filter(lambda text: END_OF_TEXT not in text))
def test_decoding_undoes_encoding(text):
    ids = SHAPES.encode(text)
    assert SHAPES.eos_id not in ids
    assert SHAPES.decode(ids) == text


def test_ids_outside_the_text_vocabulary_are_left_out():
    ids = SHAPES.encode("a red circle")
    assert SHAPES.decode([*ids, SHAPES.size, 10**6, -1, SHAPES.eos_id]) == "a red circle"


def test_a_file_or_its_folder(tmp_path):
    content = (GOLDEN / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(content)
    for place in (tmp_path, tmp_path / "tokenizer.json", str(tmp_path)):
        assert TextTokenizer.from_pretrained(place).encode("w7") == [7]


@pytest.mark.bad_input
class TestBadInput:
    def test_missing_file(self, tmp_path):
        with pytest.raises(UserError, match=r"tokenizer.json does not exist"):
            TextTokenizer.from_pretrained(tmp_path)

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": 3}', "\0"])
    def test_no_tokenizer(self, tmp_path, content):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(UserError, match="is not a tokenizer file") as caught:
            TextTokenizer.from_pretrained(tmp_path)
        assert "\n" not in str(caught.value)

    def test_no_end_of_text(self, tmp_path):
        content = json.loads((GOLDEN / "tokenizer.json").read_text())
        del content["model"]["vocab"][END_OF_TEXT]
        content["model"]["unk_token"] = "w0"
        (tmp_path / "tokenizer.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"has no '<\|endoftext\|>' token"):
            TextTokenizer.from_pretrained(tmp_path)

    def test_unknown_id(self):
        with pytest.raises(UserError, match="is not a folder"):
            TextTokenizer.from_pretrained("nothing-here")
