"""Loss terms on denoised texts, against sums over single positions."""

import math
from types import SimpleNamespace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.losses import (
    ImageConsistency,
    ImageCrossEntropy,
    ImageRegularizer,
    LanguageModelLoss,
    MaskedTextLoss,
    TextConsistency,
    masked_text_loss,
)
from showo_turbo.models.layout import Layout
from showo_turbo.targets import StudentTarget, TeacherTarget
from showo_turbo.training.inputs import stream_of
from showo_turbo.training.loss_checks import check_text_terms
from showo_turbo.training.masking import mask_texts
from showo_turbo.trajectories.batch import collate_denoised_texts
from showo_turbo.trajectories.record import DenoisedText, MaskedTrajectory

from ..tiny import tiny_showo
from ..tiny_mmada import tiny_mmada

pytestmark = pytest.mark.mmada

MASK, EOS, LENGTH, SIZE = 36, 25, 12, 4
PLACES = [(1, 2), (0, 0), (2, 3)]


def block(seed, steps=4):
    generator = torch.Generator().manual_seed(seed)
    reveal_step = torch.randperm(SIZE, generator=generator) + 1
    logits = torch.randn(SIZE, 24, generator=generator)
    top = logits.log_softmax(-1).topk(3)
    return MaskedTrajectory(
        codes=top.indices[:, 0],
        reveal_step=reveal_step,
        top_ids=top.indices,
        top_log_probs=top.values.half(),
        boundary_top_ids=torch.zeros(0, 3, dtype=torch.int64),
        boundary_top_log_probs=torch.zeros(0, 3).half(),
        steps=steps,
        recorded_segments=1,
    )


@pytest.fixture(scope="module")
def records():
    generator = torch.Generator().manual_seed(0)
    return [
        DenoisedText(
            key=str(i),
            text="what?",
            prompt_ids=torch.arange(1 + i),
            image=torch.randint(0, 24, (16,), generator=generator),
            length=LENGTH,
            answer_length=SIZE * count,
            blocks=[block(10 * i + number) for number in range(count)],
        )
        for i, count in enumerate((2, 1, 3))
    ]


@pytest.fixture(scope="module")
def batch(records):
    return collate_denoised_texts(records, PLACES, [5, 6, 7], segments=1, mask_id=MASK)


@pytest.fixture(scope="module")
def module():
    tokenizer = SimpleNamespace(encode=lambda text: [ord(letter) % 20 for letter in text])
    return SimpleNamespace(
        student=tiny_mmada(0).double(),
        teacher=tiny_mmada(1).double(),
        consistency_target=TeacherTarget(),
        text_tokenizer=tokenizer,
        max_language_length=8,
        trainer=None,
    )


@torch.no_grad()
def log_probs_of(network, record, state):
    """Of one answer, from a whole sequence without padding."""
    image = [code + 40 for code in record.image.tolist()]
    ids = torch.tensor([[31, 26, *image, 27, 24, *record.prompt_ids.tolist(), *state.tolist()]])
    logits = network(ids, Layout(torch.ones_like(ids)))[0, -LENGTH:, :40].clone()
    logits[:, MASK] = -torch.inf
    return logits.log_softmax(-1)


def close(found, expected):
    torch.testing.assert_close(found.detach(), expected, rtol=1e-6, atol=1e-8)


def mean(values):
    return sum(values) / len(values)


def test_the_regularizer(module, batch, records):
    expected = []
    for record, (number, k) in zip(records, PLACES, strict=True):
        log_probs = log_probs_of(module.student, record, record.state(number, k, MASK))
        piece, losses = record.blocks[number], []
        for place in range(SIZE):
            if piece.reveal_step[place] > k:
                q = piece.top_log_probs[place].double().softmax(-1)
                p = log_probs[number * SIZE + place][piece.top_ids[place]]
                losses.append(float((q * (q.log() - p)).sum()))
        expected.append(mean(losses))
    found = ImageRegularizer(stream="text").compute(stream_of("text", module, batch))
    close(found.per_sample.double(), torch.tensor(expected).double())
    assert float(found.mean) == pytest.approx(mean(expected), rel=1e-5)


def test_consistency_and_cross_entropy(module, batch, records):
    """With one segment the target is predicted from the last state that has a masked token."""
    expected, hard = [], []
    for record, (number, k) in zip(records, PLACES, strict=True):
        piece, columns = record.blocks[number], slice(number * SIZE, (number + 1) * SIZE)
        student = log_probs_of(module.student, record, record.state(number, k, MASK))[columns]
        target = log_probs_of(module.teacher, record, record.state(number, 3, MASK))[columns]
        some = torch.arange(40) != MASK
        (place,) = [place for place in range(SIZE) if piece.reveal_step[place] > 3]
        q, p = target[place][some], student[place][some]
        expected.append(float((q.exp() * (q - p)).sum()))
        masked = [place for place in range(SIZE) if piece.reveal_step[place] > k]
        hard.append(mean([-float(student[place, piece.codes[place]]) for place in masked]))
    stream = stream_of("text", module, batch)
    found = ImageConsistency(stream="text").compute(stream).per_sample
    close(found, torch.tensor(expected).double())
    found = ImageCrossEntropy(stream="text").compute(stream).per_sample
    close(found, torch.tensor(hard).double())


def test_nothing_is_to_be_learned_from_one_s_own_target_state(module, records):
    own = SimpleNamespace(**vars(module) | {"consistency_target": StudentTarget()})
    last = [(number, 3) for number, _ in PLACES]
    batch = collate_denoised_texts(records, last, [5, 6, 7], segments=1, mask_id=MASK)
    found = ImageConsistency(stream="text").compute(stream_of("text", own, batch))
    assert found.counted.tolist() == [1, 1, 1] and abs(float(found.mean)) < 1e-12


def test_gradients_reach_the_student_alone(module, batch):
    stream = stream_of("text", module, batch)
    terms = [ImageConsistency(stream="text"), ImageRegularizer(stream="text")]
    terms.append(MaskedTextLoss("text"))
    torch.stack([term.compute(stream).mean.double() for term in terms]).sum().backward()
    gradients = [parameter.grad for parameter in module.student.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)
    assert all(parameter.grad is None for parameter in module.teacher.parameters())
    module.student.zero_grad(set_to_none=True)


def test_the_masked_loss_of_answers(module, batch, records):
    stream = stream_of("text", module, batch)
    noised, expected = stream.noised, []
    for row, record in enumerate(records):
        tokens = record.tokens
        log_probs = log_probs_of(module.student, record, noised.tokens[row])
        masked = [i for i, token in enumerate(tokens) if noised.tokens[row, i] == MASK]
        total = sum(-float(log_probs[i, tokens[i]]) for i in masked)
        expected.append(total / float(noised.mask_probability[row]) / len(tokens))
        assert (noised.tokens[row, len(tokens) :] == MASK).all()
    assert sum(expected) > 0
    found = MaskedTextLoss("text").compute(stream)
    close(found.per_sample.double(), torch.tensor(expected).double())
    assert float(found.mean) == pytest.approx(mean(expected), rel=1e-5)


def test_the_masked_loss_of_plain_texts(module):
    texts = {"text": ["abc", "abcdefghijkl"], "seed": [3, 4]}
    stream = stream_of("language", module, texts)
    noised = stream.noised
    filled = torch.where(noised.labels == -100, noised.tokens, noised.labels)
    ids = [[ord(letter) % 20 for letter in text] for text in texts["text"]]
    assert filled.tolist() == [[*ids[0], *[EOS] * 4], ids[1][:7]]
    expected = []
    for row in range(2):
        state = noised.tokens[row]
        sequence = torch.tensor([[24, *state.tolist()]])
        with torch.no_grad():
            logits = module.student(sequence, Layout(torch.ones_like(sequence)))[0, 1:, :40]
        logits = logits.clone()
        logits[:, MASK] = -torch.inf
        log_probs = logits.log_softmax(-1)
        masked = (state == MASK).nonzero()[:, 0].tolist()
        total = sum(-float(log_probs[i, filled[row, i]]) for i in masked)
        expected.append(total / float(noised.mask_probability[row]) / 7)
    found = MaskedTextLoss("language").compute(stream).per_sample
    close(found.double(), torch.tensor(expected).double())


def test_the_masked_loss_by_hand():
    """Two of five tokens masked at p = 1/2, all of four candidates equally likely."""
    labels = torch.full((2, 5), -100)
    labels[0, [1, 3]] = 2
    found = masked_text_loss(
        torch.zeros(2, 5, 4), labels, torch.tensor([0.5, 0.5]), torch.tensor([5, 5])
    )
    close(found.per_sample, torch.tensor([2 * math.log(4) / 2.5, 0.0]))
    assert float(found.mean) == pytest.approx(math.log(4) / 2.5)
    assert found.counted.tolist() == [5, 5]


def test_masks_are_drawn_from_the_seed_alone():
    tokens = torch.arange(24).repeat(2000, 1)
    tokens[:, 20:] = MASK
    noised = mask_texts(tokens, MASK, range(2000))
    masked = (noised.labels != -100).float().sum(dim=1)
    assert (noised.maskable == 20).all()
    assert float(noised.mask_probability.mean()) == pytest.approx(0.5, abs=0.02)
    assert float((masked / 20 - noised.mask_probability).mean()) == pytest.approx(0, abs=0.01)
    alone = mask_texts(tokens[7:8], MASK, [7])
    assert torch.equal(alone.tokens[0], noised.tokens[7])
    restored = torch.where(noised.labels == -100, noised.tokens, noised.labels)
    assert torch.equal(restored, tokens)


@pytest.mark.bad_input
class TestTermsOfTheOtherKindOfText:
    @pytest.mark.parametrize("term", [TextConsistency(), LanguageModelLoss()])
    def test_left_to_right_asked_of_one_that_denoises(self, term):
        with pytest.raises(UserError, match=r"losses.mine is .*for text that is written from left"):
            check_text_terms({"mine": term}, tiny_mmada())

    @pytest.mark.parametrize("term", [ImageRegularizer(stream="text"), MaskedTextLoss()])
    def test_denoised_asked_of_one_that_writes(self, term):
        with pytest.raises(UserError, match=r"losses.mine is .*for text that is denoised"):
            check_text_terms({"mine": term}, tiny_showo())

    def test_those_that_fit_or_have_no_weight(self):
        fitting = {"a": ImageRegularizer(stream="text"), "b": MaskedTextLoss()}
        fitting |= {"c": ImageConsistency(), "d": TextConsistency(weight=0)}
        check_text_terms(fitting, tiny_mmada())
