import json
from dataclasses import replace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.evaluation import (
    TextRecord,
    agreement,
    encode_records,
    evaluate_text,
    exact_match_difference,
)
from showo_turbo.evaluation.figures import text_figures
from showo_turbo.evaluation.text import compared_decodings, full_blocks, published_iterations
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.autoregressive import TextResult
from showo_turbo.sampling.jacobi import JacobiResult
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny import golden_jacobi, tiny_magvitv2
from ..tiny_mmada import shapes_mmada
from .worlds import records, shapes_bundle, text_score

AR, BLOCK, WINDOW = compared_decodings(TextDecoding(max_new_tokens=40), ("block", "window"))
OPTIONS = {"batch_size": 4, "timed": 2}


@pytest.fixture(scope="module")
def bundle():
    return shapes_bundle()


@pytest.fixture(scope="module")
def answered(bundle):
    return {
        name: evaluate_text(bundle, records(), decoding=decoding, name="m", **OPTIONS)
        for name, decoding in (("ar", AR), ("jacobi", BLOCK))
    }


def test_both_decodings_give_the_same_answers(answered):
    assert answered["ar"].answers == answered["jacobi"].answers
    assert len(set(answered["ar"].answers)) > 1


def test_costs(answered):
    ar, jacobi = answered["ar"], answered["jacobi"]
    assert ar.tokens_per_forward == 1.0
    assert ar.iterations_per_block is None and ar.block_iterations == ()
    assert jacobi.tokens_per_forward >= 1.0
    assert jacobi.tokens == ar.tokens > 0
    assert jacobi.n == 6 and jacobi.timed == 2
    assert len(jacobi.block_iterations) > 0
    for published, spent in zip(jacobi.block_iterations, jacobi.block_forwards, strict=True):
        assert spent <= published <= spent + 1 <= 17
    for row in (ar, jacobi):
        assert row.tokens_per_second > 0


def test_the_window_driver_records_no_blocks(bundle, answered):
    row = evaluate_text(bundle, records(), decoding=WINDOW, **OPTIONS)
    assert row.answers == answered["ar"].answers
    assert row.iterations_per_block is None
    assert row.to_dict()["driver"] == "window"


def test_a_model_that_denoises_its_text_is_measured_in_its_own_way():
    tokenizers = tiny_magvitv2(bits=9), TextTokenizer.from_pretrained("shapes")
    drawn = TextDecoding("block_diffusion", 8, block_size=4, temperature=0.5, sampling_steps=4)
    (decoding,) = compared_decodings(drawn, ("block", "window"))
    assert decoding == replace(drawn, temperature=0.0)
    row = evaluate_text(
        LoadedModel(shapes_mmada(), *tokenizers), records(), decoding=decoding, **OPTIONS
    )
    assert (row.decoding, row.driver, row.n) == ("block_diffusion", None, 6)
    assert row.forwards <= 4 * 6 and row.tokens <= 8 * 6
    assert row.iterations_per_block is None
    assert text_figures([row.to_dict()]).rows[0][1] == "block diffusion, 4 steps"


def test_exact_match(bundle, answered):
    """References that are the model's own answers match, up to white space at the ends."""
    own = answered["ar"].answers
    given = [
        TextRecord(r.image, r.question, f" {own[i]}\n" if i < 4 else r.answer)
        for i, r in enumerate(records())
    ]
    row = evaluate_text(bundle, given, decoding=BLOCK, **OPTIONS)
    assert row.matched == (True,) * 4 + (False,) * 2
    assert row.exact_match == pytest.approx(4 / 6)
    assert row.ci95[0] < 4 / 6 < row.ci95[1]


def test_long_references_fill_a_block(bundle, answered):
    assert answered["ar"].long == (False, True) * 3
    entry = answered["ar"].to_dict()
    assert entry["n_long"] == entry["n_short"] == 3


def test_pixels_are_encoded(bundle):
    image_tokenizer = bundle.image_tokenizer
    pixels = torch.rand(3, 3, 24, 24) * 2 - 1
    given = [TextRecord(image, "What?", "That.") for image in pixels]
    encoded = encode_records(image_tokenizer, given, batch_size=2)
    expected = image_tokenizer.encode(pixels)
    assert torch.equal(torch.stack([record.image for record in encoded]), expected)
    again = encode_records(image_tokenizer, encoded)
    assert torch.equal(again[1].image, encoded[1].image)


def test_without_timing(bundle):
    row = evaluate_text(bundle, records(2), decoding=replace(BLOCK, max_new_tokens=3), timed=0)
    assert row.tokens_per_second is None
    assert row.to_dict()["tokens_per_second"] is None
    assert row.unfinished + sum(len(a) > 0 for a in row.answers) >= 2


def test_published_iterations_by_hand():
    settled_at_two = torch.tensor([[0, 0, 0], [5, 0, 0], [5, 6, 7]])
    assert published_iterations(settled_at_two) == 3, "one more, to see that nothing changes"
    # The last forward only confirmed the guesses: it is the repeating iteration.
    confirmed = torch.tensor([[0, 0, 0], [5, 6, 7], [5, 6, 7]])
    assert published_iterations(confirmed) == 2
    assert published_iterations(torch.tensor([[5, 6, 7], [5, 6, 7]])) == 1


def test_published_iterations_of_the_golden_block():
    result, iterates = golden_jacobi()
    # The published loop recorded its start and every iteration, the repeating one included.
    assert published_iterations(result.blocks[0]) == len(iterates) - 1


def test_only_full_blocks_count():
    blocks = [torch.zeros(3, 4), torch.zeros(2, 4), torch.zeros(2, 4)]
    result = JacobiResult(tokens=list(range(10)), forwards=5, finished=True, blocks=blocks)
    assert len(full_blocks(result, 4)) == 2
    exact = JacobiResult(tokens=list(range(8)), forwards=5, finished=True, blocks=blocks[:2])
    assert len(full_blocks(exact, 4)) == 2
    assert full_blocks(TextResult([1, 2, 3, 4], 4, True), 4) == []


def test_modes_are_restored():
    bundle = shapes_bundle()
    bundle.network.train()
    evaluate_text(bundle, records(1), decoding=replace(BLOCK, max_new_tokens=2), timed=0)
    assert bundle.network.training


@pytest.mark.bad_input
def test_bad_input(bundle):
    with pytest.raises(UserError, match="no questions"):
        evaluate_text(bundle, [])
    with pytest.raises(UserError, match="'beam'"):
        evaluate_text(bundle, records(1), decoding=TextDecoding("beam"))
    with pytest.raises(UserError, match="max_new_tokens"):
        evaluate_text(bundle, records(1), decoding=TextDecoding(max_new_tokens=0))


def test_comparisons():
    teacher, student = text_score(matched=8), text_score("student", matched=7)
    assert exact_match_difference(student, teacher).difference == pytest.approx(-0.1)
    assert exact_match_difference(student, teacher, long=True).n == 9
    assert agreement(student, teacher)["agreement"] == 1.0


def test_as_json():
    entry = json.loads(json.dumps(text_score().to_dict()))
    assert entry["iterations_per_block"] == 5.0
    assert entry["tokens_per_forward"] == 3.0
    assert entry["tokens_per_second"] == 120.0
    assert {"model", "decoding", "exact_match", "n"} <= set(entry)


def test_a_teacher_gains_nothing_from_parallel_decoding():
    """A network that has learned nothing of it settles about a token an iteration."""
    row = evaluate_text(shapes_bundle(1), records(4), decoding=BLOCK, **OPTIONS)
    assert 8 < row.iterations_per_block <= 17
