import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

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


SPECIAL = ["[PAD]", "<|soi|>", "<|eoi|>", "<|t2i|>", "<|mmu|>", END_OF_TEXT]


@given(st.text() | st.lists(st.sampled_from([*SPECIAL, " ", "a", "|>"])).map("".join))
def test_decoding_undoes_encoding(text):
    ids = SHAPES.encode(text)
    assert SHAPES.eos_id not in ids
    assert SHAPES.decode(ids) == text


def test_ids_outside_the_text_vocabulary_are_left_out():
    ids = SHAPES.encode("a red circle")
    assert SHAPES.decode([*ids, SHAPES.size, 10**6, -1, SHAPES.eos_id]) == "a red circle"


def test_a_special_token_that_is_spelled_out_is_text(tmp_path):
    saved = tmp_path / "tokenizer.json"
    SHAPES.tokenizer.save(str(saved))
    saved.write_bytes(b"\xef\xbb\xbf" + saved.read_bytes())  # with a byte order mark
    loaded = TextTokenizer.from_pretrained(tmp_path)
    text = "say <|endoftext|> now"
    for tokenizer in (
        SHAPES,
        TextTokenizer(Tokenizer.from_str(SHAPES.tokenizer.to_str())),
        loaded,
        TextTokenizer.from_file(saved),
        copy.deepcopy(loaded),
        pickle.loads(pickle.dumps(loaded)),
    ):
        ids = tokenizer.encode(text)
        assert tokenizer.eos_id not in ids
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode([*ids, tokenizer.eos_id]) == text
        assert tokenizer.fingerprint == SHAPES.fingerprint


def test_special_tokens_that_a_tokenizer_has_itself_are_text_too():
    tokenizer = Tokenizer.from_str(SHAPES.tokenizer.to_str())
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    special = {tokenizer.token_to_id(token) for token in SPECIAL}
    assert len(special) == len(SPECIAL)
    with_them = TextTokenizer(tokenizer)
    text = "".join(SPECIAL)
    assert not special & set(with_them.encode(text))
    assert with_them.encode(text) == SHAPES.encode(text)
    assert with_them.decode(with_them.encode(text)) == text


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

    def test_an_end_of_text_that_is_a_plain_word(self):
        with pytest.raises(UserError, match="which this tokenizer can only take for the end"):
            TextTokenizer.from_pretrained(GOLDEN).encode("w1 <|endoftext|> w2")

    def test_unknown_id(self):
        with pytest.raises(UserError, match="is not a folder"):
            TextTokenizer.from_pretrained("nothing-here")
