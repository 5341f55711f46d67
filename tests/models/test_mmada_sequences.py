"""MMaDA's sequences and what is learned of them, against those of the published code."""

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.mmada.sequences import UnifiedPrompting
from showo_turbo.models.questions import FollowUp

from ..tiny_mmada import (
    GOLDEN_CONFIG,
    WIDTH,
    codes_of,
    golden_cases,
    golden_meta,
    golden_mmada,
    golden_prompts,
    golden_tokenizer,
)

VOCABULARY = GOLDEN_CONFIG.vocabulary
PROMPTING = UnifiedPrompting(VOCABULARY, GOLDEN_CONFIG.max_text_length)
LENGTH = 12 + 36 + 3
ASKED = [81, 57, 82, 1, 83, 81, 58, 82]


def meta():
    return golden_meta()["cases"]["sequences"]


def codes():
    """Partly masked."""
    return golden_cases()["t2i.image_codes"]


def targets():
    """The codes of the same images, of which the labels hold the masked ones."""
    labels = golden_cases()["t2i_train.labels"][:, WIDTH + 1 : -1]
    return torch.where(codes() == VOCABULARY.mask_code, labels - VOCABULARY.image_offset, codes())


def test_masked_codes_and_targets_are_those_of_the_sequences():
    golden = golden_cases()
    assert torch.equal(codes_of(golden["t2i.input_ids"][:, WIDTH + 1 : -1]), codes())
    assert torch.equal(codes_of(golden["mmu.input_ids"][:, 2:38]), targets()[:3])


def test_the_vocabulary_is_the_recorded_one():
    recorded = golden_meta()["special_token_ids"]
    names = {
        "<|soi|>": "soi_id",
        "<|eoi|>": "eoi_id",
        "<|t2i|>": "t2i_id",
        "<|mmu|>": "mmu_id",
        "[iPAD]": "pad_id",
        "<|sot|>": "bos_id",
        "<|eot|>": "eos_id",
        "<|start_header_id|>": "start_header_id",
        "<|end_header_id|>": "end_header_id",
        "<|eot_id|>": "eot_id",
    }
    found = {theirs: getattr(VOCABULARY, ours) for theirs, ours in names.items()}
    assert found == {theirs: recorded[theirs] for theirs in names}
    released = type(VOCABULARY)()
    assert (released.eoi_id, released.t2i_id, released.mmu_id) == (126085, 126088, 126089)
    assert (released.pad_id, released.end_header_id, released.eot_id) == (126093, 126347, 126348)
    assert released.image_rows == slice(126349, 134541)


@pytest.mark.parametrize("case", ["t2i_train", "t2i_train_dropped"])
def test_golden_text_to_image(case):
    """What is learned of the image, its masked codes, are the recorded labels."""
    golden = golden_cases()
    prompts = golden_prompts(meta()["prompts"]) if case == "t2i_train" else [[]] * 4
    ids, layout = PROMPTING.text_to_image(prompts, codes(), pad_to=WIDTH)
    assert torch.equal(ids, golden[f"{case}.input_ids"])
    assert torch.equal(~layout.padding, golden[f"{case}.mask"])
    labels = golden[f"{case}.labels"][:, WIDTH + 1 : -1]
    hidden = codes() == VOCABULARY.mask_code
    assert (labels[~hidden] == -100).all()
    assert torch.equal(labels[hidden], VOCABULARY.ids_of(targets())[hidden])
    inference = "t2i" if case == "t2i_train" else "t2i_uncond"
    assert torch.equal(ids, golden[f"{inference}.input_ids"])
    assert torch.equal(~layout.padding, golden[f"{inference}.mask"])


def test_text_to_image_is_padded_as_published_only_where_that_is_seen():
    prompts = [[1, 2], [3]]
    shown = codes()[:2]
    short, layout = PROMPTING.text_to_image(prompts, shown)
    visible, seen = UnifiedPrompting(VOCABULARY, 12, padding_visible=True).text_to_image(
        prompts, shown
    )
    assert short.shape[1] == 5 + 38
    assert visible.shape[1] == WIDTH + 38
    assert layout.padding.sum() == 1
    assert seen.attention_mask.all()
    assert seen.position_ids[0].tolist() == list(range(WIDTH + 38))
    assert PROMPTING.text_to_image([[1], [2]], shown)[1].padding is None


def learned(prompt, answer, length, images=None):
    """One sequence as in training: the answer with its end, cut and filled up."""
    room = length - 1 - len(prompt)
    rest = [*answer, *[VOCABULARY.eos_id] * length][:room]
    if images is not None:  # one that is too long is cut before its end
        rest[-1] = VOCABULARY.eos_id
    ids, layout = PROMPTING.answering(images, [prompt], torch.tensor([rest]))
    assert layout.padding is None
    return ids[0], layout


def test_golden_understanding():
    golden = golden_cases()
    prompts, answers = [ASKED, [], []], [[3, 83], [1, 2], list(range(14))]
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids, layout = learned(prompt, answer, 12, targets()[row : row + 1])
        assert torch.equal(ids, golden["mmu.input_ids"][row])
        assert torch.equal(golden["mmu.labels"][row, 39:], ids[39:])
        assert layout.attention_mask.all()
        given = golden["mmu.prompt_mask"][row, 39:].sum()
        assert given == (len(prompt) + 1 if prompt else 0)  # bos is learned without a prompt


def test_golden_language():
    golden = golden_cases()
    for row, text in enumerate(meta()["lm_texts"]):
        ids, layout = learned([], golden_tokenizer().encode(text), LENGTH)
        assert torch.equal(ids, golden["lm.input_ids"][row])
        assert torch.equal(ids, golden["lm.labels"][row])
        assert layout.attention_mask.all() and golden["lm.mask"][row].all()


def test_golden_conversations():
    golden, encode = golden_cases(), golden_mmada().encode_question
    questions = ["w1 w2", FollowUp("w7", [("w4", "w5 w6")])]
    prompts = [*(encode(golden_tokenizer(), question) for question in questions), []]
    answers = [[3, VOCABULARY.eot_id], [9, VOCABULARY.eot_id], [1, 2, 3]]
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids, _ = learned(prompt, answer, LENGTH)
        assert torch.equal(ids, golden["lm_chat.input_ids"][row])
        assert torch.equal(ids, golden["lm_chat.labels"][row])
        assert golden["lm_chat.prompt_mask"][row].sum() == (len(prompt) + 1 if prompt else 0)


@pytest.mark.parametrize("case", ["mmu_two_blocks", "text"])
def test_golden_prompts_of_answers(case):
    prompt = golden_cases()[f"{case}.prompt_ids"]
    shown = codes_of(prompt[:, 2:38]) if case == "mmu_two_blocks" else None
    begin = 0 if shown is None else 39
    answers = torch.full((len(prompt), 5), VOCABULARY.mask_id)
    texts = prompt[:, begin + 1 :].tolist()
    ids, layout = PROMPTING.answering(shown, texts, answers)
    assert torch.equal(ids[:, :-5], prompt) and torch.equal(ids[:, -5:], answers)
    assert layout.padding is None
    unconditional = torch.arange(len(prompt)) == 1
    ids, _ = PROMPTING.answering(shown, texts, answers, unconditional)
    assert torch.equal(ids[0, :-5], prompt[0])
    assert (ids[1] == VOCABULARY.mask_id).all()


def test_golden_prompts_without_condition():
    golden = golden_cases()["mmu_guided.first_uncond_ids"]
    prompt = golden_cases()["mmu_guided.prompt_ids"]
    answers = torch.full((2, 16), VOCABULARY.mask_id)
    ids, _ = PROMPTING.answering(
        codes_of(prompt[:, 2:38]), prompt[:, 40:].tolist(), answers, torch.ones(2).bool()
    )
    assert torch.equal(ids, golden)


def test_padding_between_image_and_text_counts_nowhere():
    shown = codes_of(golden_cases()["mmu.input_ids"][:2, 2:38])
    ids, layout = PROMPTING.answering(shown, [[1, 2, 3], [4]], torch.full((2, 2), 80))
    assert ids[1, 39:].tolist() == [61, 61, 60, 4, 80, 80]
    assert layout.padding.sum() == 2
    assert layout.position_ids[1, -4:].tolist() == [39, 40, 41, 42]
    assert not layout.attention_mask[1, 0, -1, 39:41].any()


@pytest.mark.bad_input
def test_without_a_text_tokenizer():
    for encode in (golden_mmada().encode_prompt, golden_mmada().encode_question):
        with pytest.raises(UserError, match="no text tokenizer here"):
            encode(None, "w1")
