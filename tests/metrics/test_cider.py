import json
from pathlib import Path

import pytest
import torch

from showo_turbo.metrics.cider import CIDEr, cider_d

GOLDEN = json.loads((Path(__file__).parent / "cider.json").read_text())


def test_the_reference_implementation_agrees():
    scores = cider_d(GOLDEN["captions"], GOLDEN["references"])
    assert scores == pytest.approx(GOLDEN["scores"], abs=1e-9)
    assert max(scores) > 2 * min(scores)


def test_batches_and_processes_make_no_difference():
    whole, first, second = CIDEr(), CIDEr(), CIDEr()
    captions, references = GOLDEN["captions"], GOLDEN["references"]
    whole.update(captions, references)
    first.update(captions[:3], references[:3])
    second.update(captions[3:5], references[3:5])
    second.update(captions[5:], references[5:])
    first.merge_state(second)
    assert whole.compute() == pytest.approx(GOLDEN["mean"])
    torch.testing.assert_close(first.compute(), whole.compute())


def test_the_same_words_are_worth_ten():
    texts = ["one red circle lies here", "two blue squares are there", "a green star above it"]
    assert cider_d(texts, [[text] for text in texts]) == pytest.approx([10.0] * 3)


def test_case_and_punctuation_do_not_count():
    references = [["A red circle, on black."], ["two squares"]]
    plain = cider_d(["a red circle on black", "two squares"], references)
    assert cider_d(["A red circle -- on BLACK!", "Two squares."], references) == plain


def test_without_captions():
    metric = CIDEr()
    with pytest.warns(UserWarning):
        assert torch.isnan(metric.compute())
