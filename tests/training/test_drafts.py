"""What loss terms see of the student's own images, and the networks that judge them."""

from copy import deepcopy

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.losses import (
    DistributionMatching,
    DraftAndCorrect,
    GuidanceDistillation,
    ImageConsistency,
    ImageCrossEntropy,
    SelfCorrection,
)
from showo_turbo.models.showo.sequences import UnifiedPrompting
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.noise import mixed_start
from showo_turbo.targets import TeacherTarget
from showo_turbo.training.auxiliary import Auxiliary
from showo_turbo.training.denoised_inputs import ImageStream
from showo_turbo.training.masking import corrupt_codes, draft_from, draw_codes
from showo_turbo.training.networks import AUXILIARY_KEY
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import ImageTrajectory, collate_image_trajectories

from .. import naive

MASK = 512


def record(seed):
    generator = torch.Generator().manual_seed(seed)
    kept = torch.zeros(36, 1)
    return ImageTrajectory(
        key=str(seed),
        prompt="",
        prompt_ids=torch.randint(1, 640, (3 + seed,), generator=generator),
        codes=torch.randint(0, MASK, (36,), generator=generator).short(),
        reveal_step=torch.randint(1, 5, (36,), generator=generator).short(),
        top_ids=kept.short(),
        top_log_probs=kept.half(),
        boundary_top_ids=kept[:0].short(),
        boundary_top_log_probs=kept[:0].half(),
        steps=4,
        recorded_segments=1,
        noise_seed=seed,
    )


@pytest.fixture
def batch():
    return collate_image_trajectories(
        [record(0), record(1), record(2)], [0, 2, 3], segments=1, mask_code=MASK, seeds=[5, 6, 7]
    )


def turbo(model, **losses):
    torch.manual_seed(0)
    losses = losses or {"labels": ImageCrossEntropy()}
    module = ShowoTurbo(student=str(model), text_tokenizer=str(model), losses=losses)
    module.configure_model()
    module.log = lambda *_, **__: None
    return module


@pytest.fixture
def stream(random_shapes_model, batch):
    return ImageStream(turbo(random_shapes_model), batch)


def test_tokens_are_drawn_as_often_as_predicted():
    wanted = torch.tensor([0.1, 0.0, 0.6, 0.3])
    logits = wanted.log().expand(500, 8, 4)
    found = draw_codes(logits, range(500)).flatten()
    shares = torch.bincount(found, minlength=4) / len(found)
    torch.testing.assert_close(shares, wanted, rtol=0, atol=0.03)
    assert torch.equal(draw_codes(logits[:2], [3, 4]), found.view(500, 8)[3:5])


def test_a_draft_keeps_what_is_visible_and_is_masked_again_in_part(batch):
    logits = torch.randn(3, 36, MASK, generator=torch.Generator().manual_seed(0))
    draft = draft_from(logits, batch.state_k, batch.masked_k, MASK, batch.seeds)
    assert torch.equal(draft.codes[~batch.masked_k], batch.state_k[~batch.masked_k])
    assert torch.equal(draft.codes[batch.masked_k], draw_codes(logits, [5, 6, 7])[batch.masked_k])
    again = draft.state == MASK
    assert torch.equal(draft.state[~again], draft.codes[~again])
    assert torch.equal(draft.masked, again & batch.masked_k)
    assert (again.sum(1) >= 1).all() and not again.all()
    other = draft_from(logits, batch.state_k, batch.masked_k, MASK, [5, 6, 8])
    assert torch.equal(other.state[:2], draft.state[:2])
    assert not torch.equal(other.state[2], draft.state[2])


def test_no_more_than_the_largest_share_of_visible_tokens_is_replaced():
    state = torch.zeros(400, 50, dtype=torch.long)
    visible = torch.ones(400, 50, dtype=torch.bool)
    visible[:, ::5] = False
    found = corrupt_codes(state, torch.ones_like(state), visible, 0.4, range(400))
    assert not found[~visible].any()
    shares = found.sum(1) / visible.sum(1)
    assert float(shares.mean()) == pytest.approx(0.2, abs=0.02)
    assert shares.min() < 0.05 and 0.3 < shares.max() < 0.65, "binomial about a uniform share"


@torch.no_grad()
def test_the_base_is_guided_and_reads_prompts_as_a_sampler_does(stream, batch):
    base = stream.module.base
    found = stream.base_logits(batch.state_k, 1.5)
    pad_to = base.config.max_text_length + 1
    for row, prompt in enumerate(batch.prompt_ids):
        codes = batch.state_k[row].tolist()
        conditional = naive.image_logits(base, prompt, codes, pad_to)
        expected = 2.5 * conditional - 1.5 * naive.image_logits(base, [], codes, pad_to)
        torch.testing.assert_close(found[row], expected, rtol=1e-3, atol=1e-3)
    plain = stream.base_logits(batch.state_k, 0.0)
    torch.testing.assert_close(plain, stream._predict(base, batch.state_k), rtol=0, atol=0)


def test_mistakes_are_those_that_the_student_makes_unseen(stream, batch):
    corrupted = stream.corrupted(1.0)
    wrong = corrupted != batch.state_k
    assert wrong.any() and not (wrong & batch.masked_k).any()
    nothing = torch.full_like(batch.state_k, MASK)
    with torch.no_grad():
        drawn = draw_codes(stream.module.student.image_logits(batch.prompt_ids, nothing), [5, 6, 7])
    assert torch.equal(corrupted[wrong], drawn[wrong])


def test_the_auxiliary_network_begins_as_the_base_and_learns_alone(stream, batch):
    base = stream.module.base
    before = {name: value.clone() for name, value in base.state_dict().items()}
    auxiliary = Auxiliary(base, 4, 0.01)
    state = batch.state_k
    with torch.no_grad():
        same = stream._predict(auxiliary.network, state)
        torch.testing.assert_close(same, stream._predict(base, state), rtol=0, atol=0)
    labels = batch.codes.masked_fill(~batch.masked_k, -100)
    losses = [
        float(auxiliary.learn(lambda network: stream._predict(network, state), labels))
        for _ in range(8)
    ]
    assert losses[-1] < losses[0] - 0.1
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    own = sum(parameter.numel() for parameter in auxiliary.parameters)
    assert own < sum(parameter.numel() for parameter in base.parameters()) / 2
    shared = {id(parameter) for parameter in base.parameters()}
    others = [p for p in auxiliary.network.parameters() if not p.requires_grad]
    assert others and all(id(parameter) in shared for parameter in others)


def test_the_auxiliary_network_goes_on_from_a_checkpoint(random_shapes_model, batch):
    def step(module):
        module.loss_terms({"image": batch})
        return module._auxiliary.state_dict()["adapters"]

    whole = turbo(random_shapes_model, matching=DistributionMatching(auxiliary_rank=2))
    step(whole)
    checkpoint = {"state_dict": whole.state_dict()}
    whole.on_save_checkpoint(checkpoint)
    checkpoint = deepcopy(checkpoint)  # as a file would be
    assert not any(name.startswith(("base", "teacher")) for name in checkpoint["state_dict"])
    resumed = turbo(random_shapes_model, matching=DistributionMatching(auxiliary_rank=2))
    resumed.load_state_dict(checkpoint["state_dict"])
    resumed.on_load_checkpoint(checkpoint)
    for mine, theirs in zip(step(resumed), step(whole), strict=True):
        assert torch.equal(mine, theirs)


def test_an_auxiliary_network_goes_back_with_its_student(random_shapes_model, batch):
    module = turbo(random_shapes_model, matching=DistributionMatching(auxiliary_rank=2))
    module.loss_terms({"image": batch})
    checkpoint = {"state_dict": {}}
    module.on_save_checkpoint(checkpoint)
    kept = deepcopy(checkpoint)
    module.loss_terms({"image": batch})
    assert not _same_adapters(module, kept)
    module.on_load_checkpoint(kept)
    assert _same_adapters(module, kept)


def _same_adapters(module, checkpoint):
    ours = module._auxiliary.state_dict()["adapters"]
    return all(map(torch.equal, ours, checkpoint[AUXILIARY_KEY]["adapters"]))


def test_the_auxiliary_network_learns_as_fast_as_it_is_told_now(random_shapes_model):
    base = turbo(random_shapes_model).base
    resumed = Auxiliary(base, 2, 0.001)
    resumed.load_state_dict(Auxiliary(base, 2, 0.01).state_dict())
    assert [group["lr"] for group in resumed.optimizer.param_groups] == [0.001]


@pytest.mark.bad_input
def test_adapters_of_another_rank(random_shapes_model):
    base = turbo(random_shapes_model).base
    with pytest.raises(UserError, match="auxiliary_rank is 4, but"):
        Auxiliary(base, 4, 0.01).load_state_dict(Auxiliary(base, 2, 0.01).state_dict())


@pytest.mark.bad_input
def test_terms_share_one_auxiliary_network(random_shapes_model, batch):
    terms = {str(rank): DistributionMatching(auxiliary_rank=rank) for rank in (2, 8)}
    with pytest.raises(UserError, match=r"asks for rank 2 and .* the other for rank 8"):
        turbo(random_shapes_model, **terms).loss_terms({"image": batch})


@torch.no_grad()
def test_the_base_of_stories_is_guided_away_from_what_their_sampler_is(stream, batch, monkeypatch):
    """A prompt has an empty prompt of its own there."""
    base = stream.module.base
    plain = stream.base_logits(batch.state_k, 1.5)
    monkeypatch.setattr(type(base), "null_prompt_of", lambda model, prompt: list(prompt)[:1])
    expected = 2.5 * stream._predict(base, batch.state_k)
    others = batch._replace(prompt_ids=[prompt[:1] for prompt in batch.prompt_ids])
    expected -= 1.5 * ImageStream(stream.module, others)._predict(base, batch.state_k)
    found = stream.base_logits(batch.state_k, 1.5)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(found, plain, atol=1e-2)


@pytest.mark.parametrize(
    "term",
    [
        DistributionMatching(auxiliary_rank=2),
        DraftAndCorrect(),
        SelfCorrection(),
        GuidanceDistillation(guidance_scale=1.5),
    ],
    ids=lambda term: type(term).__name__,
)
def test_only_the_student_gets_gradients(random_shapes_model, batch, term):
    module = turbo(random_shapes_model, term=term)
    torch.manual_seed(1)
    loss = module.training_step({"image": batch}, 0)
    drawn = torch.rand(())
    torch.manual_seed(1)
    assert torch.equal(torch.rand(()), drawn), "no one's random numbers are used up"
    assert loss.isfinite() and loss > 0
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.student.parameters())
    others = [module.teacher, module.base]
    assert all(p.grad is None for network in others for p in network.parameters())


def test_the_student_is_trained_to_begin_as_it_is_sampled(random_shapes_model, batch, monkeypatch):
    module = turbo(random_shapes_model)
    module.sampling = ImageSampling(4, random_start=0.5)
    read = []
    given = UnifiedPrompting.text_to_image

    def noted(sequences, prompts, codes):
        read.append(codes)
        return given(sequences, prompts, codes)

    monkeypatch.setattr(UnifiedPrompting, "text_to_image", noted)
    module.loss_terms({"image": batch})
    (codes,) = read
    assert torch.equal(codes, mixed_start(batch.state_k, [0, 1, 2], 0.5, MASK, 512))
    shown = (codes != MASK) & batch.masked_k
    assert 0.3 < float(shown.sum() / batch.masked_k.sum()) < 0.7


@torch.no_grad()
def test_the_target_begins_as_the_student_does_but_for_the_teacher(random_shapes_model, batch):
    module = turbo(random_shapes_model, consistency=ImageConsistency())
    module.sampling = ImageSampling(4, random_start=0.5)
    stream = ImageStream(module, batch._replace(state_t=batch.state_k, masked_t=batch.masked_k))
    assert torch.equal(stream.target_logits, stream.logits)
    module.consistency_target = TeacherTarget()
    masked = stream._predict(module.teacher, batch.state_k)
    del stream.__dict__["target_logits"]
    assert torch.equal(stream.target_logits, masked)
