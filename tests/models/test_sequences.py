import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.models.prompts import encode_prompts
from showo_turbo.models.questions import FollowUp
from showo_turbo.models.showo.sequences import (
    IGNORE,
    UnifiedPrompting,
    format_conversation,
    format_question,
)
from showo_turbo.text_tokenizer import TextTokenizer

from .. import naive
from ..tiny import GOLDEN, GOLDEN_CONFIG, golden_cases, golden_meta, golden_showo, tiny_showo

VOCABULARY = GOLDEN_CONFIG.vocabulary
PROMPTING = UnifiedPrompting(VOCABULARY, GOLDEN_CONFIG.max_text_length)
# The published code cuts the third prompt, of eleven tokens, to the ten that fit.
PROMPTS = [[int(word[1:]) for word in text.split()][:10] for text in golden_meta()["t2i.prompts"]]
WIDTH = GOLDEN_CONFIG.max_text_length + 1
IMAGE = slice(WIDTH + 1, WIDTH + 17)


@pytest.fixture
def codes():
    return golden_cases()["t2i.input_ids"][:, IMAGE] - VOCABULARY.image_offset


@pytest.fixture
def targets(codes):
    labels = golden_cases()["t2i_train.labels"][:, IMAGE] - VOCABULARY.image_offset
    return torch.where(codes == VOCABULARY.mask_code, labels, codes)


def test_golden_text_to_image(codes, targets):
    batch = PROMPTING.text_to_image(PROMPTS, codes, targets, pad_to=WIDTH)
    golden = golden_cases()
    assert torch.equal(batch.input_ids, golden["t2i.input_ids"])
    assert torch.equal(batch.input_ids, golden["t2i_train.input_ids"])
    assert torch.equal(batch.labels, golden["t2i_train.labels"])
    assert torch.equal(batch.layout.attention_mask, golden["t2i.attention_mask"])


def test_golden_unconditional(codes):
    batch = PROMPTING.text_to_image([[]] * 3, codes, pad_to=WIDTH)
    assert torch.equal(batch.input_ids, golden_cases()["t2i_uncond.input_ids"])


def test_golden_understanding(targets):
    golden = golden_cases()
    codes = golden["mmu.input_ids"][:, 2:18] - VOCABULARY.image_offset
    batch = PROMPTING.understanding(codes, [[20, 21, 22]])
    assert torch.equal(batch.input_ids, golden["mmu.input_ids"])
    assert torch.equal(batch.layout.attention_mask, golden["mmu.attention_mask"])

    batch = PROMPTING.understanding(targets, [[]] * 3, PROMPTS, pad_to=12)
    assert torch.equal(batch.input_ids, golden["mmu_train.input_ids"])
    assert torch.equal(batch.labels, golden["mmu_train.labels"])


def test_golden_language():
    golden = golden_cases()
    batch = PROMPTING.language([[3, 4, 5], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]], 10)
    assert torch.equal(batch.input_ids, golden["lm.input_ids"])
    assert torch.equal(batch.labels, golden["lm.labels"])
    assert torch.equal(batch.layout.attention_mask, golden["lm.attention_mask"])


def test_answer_labels_leave_out_the_question():
    codes = torch.zeros(2, 16, dtype=torch.long)
    batch = PROMPTING.understanding(codes, [[1, 2, 3], [4]], [[5, 6], [7, 8, 9]])
    head = 16 + 3
    ignored = [IGNORE] * head
    eot = VOCABULARY.eot_id
    assert batch.labels.tolist() == [
        [*ignored, IGNORE, IGNORE, IGNORE, IGNORE, 5, 6, eot],
        [*ignored, IGNORE, IGNORE, 7, 8, 9, eot, IGNORE],
    ]
    assert batch.input_ids[1, head:].tolist() == [
        VOCABULARY.sot_id,
        *(4, 7, 8, 9),
        eot,
        VOCABULARY.pad_id,
    ]


def test_text_to_image_labels_only_masked_codes():
    codes = torch.full((1, 16), VOCABULARY.mask_code)
    codes[0, 3] = 5
    targets = torch.arange(16)[None]
    labels = PROMPTING.text_to_image([[1]], codes, targets).labels[0]
    image = labels[-17:-1]
    assert image[3] == IGNORE
    others = [i for i in range(16) if i != 3]
    assert (image[others] == torch.tensor(others) + VOCABULARY.image_offset).all()
    assert (PROMPTING.text_to_image([[1]], codes).labels[0, -17:-1] == IGNORE).all()


@settings(max_examples=25)
@given(
    prompt=st.lists(st.integers(0, 28), max_size=8),
    seed=st.integers(0, 2**16),
    extra=st.integers(0, 4),
)
def test_padding_changes_nothing(prompt, seed, extra):
    """A prompt padded by any amount gives the logits of the naive construction without padding."""
    model = _model()
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 25, (1, 16), generator=generator)
    prompting = UnifiedPrompting(model.vocabulary, 12)
    width = len(prompt) + 3
    batch = prompting.text_to_image([prompt], codes, pad_to=width + extra)
    expected = naive.image_sequence(model, prompt, codes[0].tolist(), width + extra)
    for ours, theirs in zip(
        (batch.input_ids, batch.layout.attention_mask, batch.layout.position_ids),
        expected,
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    with torch.no_grad():
        padded = model(batch.input_ids, batch.layout.attention_mask, batch.layout.position_ids)
        plain = model(*naive.image_sequence(model, prompt, codes[0].tolist(), width))
    torch.testing.assert_close(padded[:, extra:], plain, rtol=1e-4, atol=1e-4)


_MODELS = []


def _model():
    if not _MODELS:
        _MODELS.append(tiny_showo())
    return _MODELS[0]


@pytest.mark.bad_input
def test_a_long_prompt_is_refused_not_cut():
    tokenizer = TextTokenizer.from_pretrained(GOLDEN)
    fits = " ".join(["w1"] * 10)
    assert encode_prompts(golden_showo(), tokenizer, [fits]) == [[1] * 10]
    with pytest.raises(UserError, match="has 11 tokens"):
        encode_prompts(golden_showo(), tokenizer, [fits + " w2"])


def test_question_format():
    assert format_question("What is it?") == "USER: \nWhat is it? ASSISTANT:"
    assert format_conversation("What is it?") == ["USER: \nWhat is it? ASSISTANT:"]


def test_earlier_turns_end_with_the_end_of_text():
    model, tokenizer = tiny_showo(), TextTokenizer.from_pretrained("shapes")
    end = model.vocabulary.eot_id
    history = [("What is it?", "A <|endoftext|>."), ("How large?", "Tiny.")]
    ids = model.encode_question(tokenizer, FollowUp("What color?", history))
    ends = [place for place, token in enumerate(ids) if token == end]
    starts = [0, *(place + 1 for place in ends)]
    parts = [ids[a:b] for a, b in zip(starts, [*ends, None], strict=True)]
    assert [tokenizer.decode(part) for part in parts] == [
        "USER: \nWhat is it? ASSISTANT: A <|endoftext|>.",
        "USER: How large? ASSISTANT: Tiny.",
        "USER: What color? ASSISTANT:",
    ]
    alone = tokenizer.encode(format_question("What color?"))
    for question in ("What color?", FollowUp("What color?", [])):
        assert model.encode_question(tokenizer, question) == alone


def test_earlier_turns_are_given_as_llava_gives_them():
    question = FollowUp("What color?", [("What is it?", "A circle."), ("How large?", "Tiny.")])
    assert "<end>".join(format_conversation(question)) == (
        "USER: \nWhat is it? ASSISTANT: A circle.<end>USER: How large? ASSISTANT: Tiny.<end>"
        "USER: What color? ASSISTANT:"
    )
