import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from showo_turbo.errors import UserError
from showo_turbo.models.layout import Layout
from showo_turbo.models.showo.interleaved import blocks_of, story_ids, training_stories
from showo_turbo.models.showo.vocabulary import Vocabulary

from .. import naive_stories
from ..tiny import GOLDEN, tiny_showo

CASES = load_file(GOLDEN / "interleaved" / "cases.safetensors")
VOCABULARY = Vocabulary(120, 64, bos_id=119, eos_id=119)
"""That of the recording."""

MODEL = tiny_showo()


def codes_of(ids):
    return [token - VOCABULARY.image_offset for token in ids]


@pytest.mark.parametrize(
    ("row", "padding", "texts"), [(0, 2, [[1, 2], [3]]), (1, 0, [[1, 2, 5, 6], [4]])]
)
def test_golden_ids_and_mask(row, padding, texts):
    """The published masks for several images, but that text in them sees padding before it."""
    recorded = CASES["interleaved.input_ids"][row].tolist()
    images = [codes_of(recorded[8:12]), codes_of(recorded[17:21])]
    *found, last = story_ids(VOCABULARY, texts, images)
    assert [*[VOCABULARY.pad_id] * padding, *found] == recorded
    assert last == VOCABULARY.sot_id, "a text follows"
    pads = torch.arange(len(recorded))[None] < padding
    layout = Layout(blocks_of(torch.tensor([recorded]), VOCABULARY), pads)
    mask = layout.attention_mask[0, 0]
    golden = CASES["interleaved.attention_mask"][row]
    assert torch.equal(mask[padding:, padding:], golden[padding:, padding:])
    assert not mask[padding:, :padding].any()


TEXTS = st.lists(st.lists(st.integers(0, 28), max_size=3), min_size=1, max_size=3)


@given(texts=TEXTS, image_follows=st.booleans())
def test_the_mask_of_any_story(texts, image_follows):
    codes = list(range(16))
    count = len(texts) - image_follows
    images = [codes[number:] + codes[:number] for number in range(count)]
    segments = [(text, images[i] if i < count else None) for i, text in enumerate(texts)]
    expected, mask = naive_stories.sequence(
        MODEL, segments if image_follows else [*segments, (None, None)]
    )
    ids = MODEL.story_prompt(texts, images)
    assert ids == expected
    layout = Layout(blocks_of(torch.tensor([ids]), MODEL.vocabulary))
    assert torch.equal(layout.attention_mask[0, 0], mask)


def test_what_is_learned_of_a_story():
    """By hand, with images of two tokens: all texts but the request, and what is around them."""
    v = VOCABULARY
    whole = story_ids(v, [[1, 2], [3], []], [[5, 6], [7, v.mask_code]])
    short = [*story_ids(v, [[]], []), v.soi_id, v.mask_id, 140, v.eoi_id]
    ids, written, layout = training_stories(v, [whole, short], torch.device("cpu"))
    first = [v.lvg_id, 119, 1, 2, 119, v.soi_id, 135, 136, v.eoi_id]
    second = [119, 3, 119, v.soi_id, 137, v.mask_id, v.eoi_id, 119, 119]
    assert ids[0].tolist() == first + second
    marks = [False] * 9 + [True] * 4 + [False] * 3 + [True] * 2
    assert written[0].tolist() == marks
    assert not written[1].any()
    assert layout.padding[1].tolist() == [True] * 11 + [False] * 7
    assert layout.block[0].tolist() == [0] * 5 + [1] * 4 + [0] * 3 + [2] * 4 + [0, 0]


def random_codes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 24, (count, 16), generator=generator).tolist()


SEGMENTS = list(zip([[3, 4, 5], [7]], random_codes(2), strict=True))


def test_the_next_image_of_a_story_is_drawn_behind_it():
    """In training and with a cache, beside a plain prompt, which stays what it was."""
    state = torch.tensor(random_codes(1, seed=3)[0])
    state[::2] = MODEL.mask_code
    texts, images = zip(*SEGMENTS, strict=True)
    story = MODEL.story_prompt([*texts, [9, 8]], images)
    expected = naive_stories._image(MODEL, [*SEGMENTS, ([9, 8], state.tolist())])
    codes = torch.stack([state, state])
    with torch.no_grad():
        together = MODEL.image_logits([story, [9, 8]], codes)
        cached = MODEL.begin_images([story, [9, 8]]).logits(codes)
        alone = MODEL.image_logits([[9, 8]], codes[:1])
    for found in (together, cached):
        torch.testing.assert_close(found[0], expected, rtol=0, atol=2e-4)
        torch.testing.assert_close(found[1:], alone, rtol=0, atol=2e-4)
    assert MODEL.null_prompt_of(story) == MODEL.story_prompt([[]], [])
    assert not MODEL.null_prompt_of([9, 8])


def test_the_next_text_of_a_story_is_written_behind_it():
    texts, images = zip(*SEGMENTS, strict=True)
    story = MODEL.story_prompt(texts, images)
    expected = naive_stories.logits(MODEL, [*SEGMENTS, (None, None)], [9, 8])[-3:, :30]
    with torch.no_grad():
        found = MODEL.begin_text(None, [story], 4).logits([[9, 8]])
        images = torch.zeros(1, 16, dtype=torch.long)
        whole = MODEL.understanding(images, [story], [[9, 8]])
        hidden = MODEL.hidden_states_of(whole)
        trained = MODEL.logits(hidden, MODEL.vocabulary.text_rows)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)
    torch.testing.assert_close(trained[0, -4:-1], expected, rtol=0, atol=2e-4)
    assert whole.labels[0, -3:].tolist() == [9, 8, 29]
    assert (whole.labels[0, :-3] == -100).all()


@pytest.mark.bad_input
def test_stories_and_other_prompts():
    story = MODEL.story_prompt([[1]], random_codes(1))
    with pytest.raises(UserError, match="stories and other prompts"):
        MODEL.begin_text(None, [story, [1]], 4)
    with pytest.raises(UserError, match="some stories go on with a text"):
        MODEL.begin_stories([story, MODEL.story_prompt([[1]], [])], 4)
    with pytest.raises(ValueError, match="2 texts and 0 images, not in turn"):
        MODEL.story_prompt([[1], [2]], [])
    with pytest.raises(ValueError, match="0 texts and 0 images, not in turn"):
        MODEL.story_prompt([], [])
