import pytest
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.models.showo.vocabulary import Vocabulary

from ..tiny import GOLDEN_CONFIG, golden_meta


def test_released_ids():
    vocabulary = Vocabulary()
    assert vocabulary.pad_id == 50295
    assert vocabulary.soi_id == 50296
    assert vocabulary.t2i_id == 50300
    assert vocabulary.lvg_id == 50304
    assert vocabulary.image_offset == 50305
    assert vocabulary.mask_id == 58497
    assert vocabulary.size == 58498
    assert vocabulary.sot_id == vocabulary.eot_id == 50256


@pytest.mark.parametrize("token", ["soi", "eoi", "sov", "eov", "t2i", "mmu", "t2v", "v2v", "lvg"])
def test_golden_special_ids(token):
    found = getattr(GOLDEN_CONFIG.vocabulary, f"{token}_id")
    assert found == golden_meta()["special_token_ids"][f"<|{token}|>"]


def test_golden_offsets():
    vocabulary, meta = GOLDEN_CONFIG.vocabulary, golden_meta()
    assert vocabulary.pad_id == meta["special_token_ids"]["<|pad|>"]
    assert vocabulary.sot_id == meta["special_token_ids"]["<|sot|>"]
    assert vocabulary.eot_id == meta["special_token_ids"]["<|eot|>"]
    assert vocabulary.image_offset == meta["image_token_offset"]
    assert vocabulary.mask_id == meta["mask_token_id"]
    assert vocabulary.size == meta["vocab_size"]


@given(text_size=st.integers(1, 100_000), codebook_size=st.integers(1, 2**18))
def test_ids_do_not_overlap(text_size, codebook_size):
    v = Vocabulary(text_size, codebook_size, bos_id=0, eos_id=0)
    specials = [v.pad_id, v.soi_id, v.eoi_id, v.sov_id, v.eov_id]
    specials += [v.t2i_id, v.mmu_id, v.t2v_id, v.v2v_id, v.lvg_id]
    assert specials == list(range(text_size, text_size + 10))
    assert v.image_offset == v.lvg_id + 1
    assert v.mask_code + v.image_offset == v.mask_id == v.size - 1
    rows = range(v.size)
    assert len(rows[v.text_rows]) == text_size
    assert rows[v.image_rows] == range(v.image_offset, v.image_offset + codebook_size)
