import copy

import pytest
import torch
from lightning.pytorch import Trainer

from showo_turbo.data import DistillationBatchSizes, DistillationDataModule
from showo_turbo.errors import UserError
from showo_turbo.evaluation import EvaluationPlan
from showo_turbo.losses import LossTerm, LossValue, published_losses
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes import ShapesChecker, ShapesWorld
from showo_turbo.shapes.checker import read_image
from showo_turbo.targets import StudentTarget, TeacherTarget
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import (
    ImageCollection,
    ImagePrompt,
    ImageTrajectoryDataset,
    TextTrajectory,
    TrajectoryStore,
    collate_image_trajectories,
    collate_text_trajectories,
    collect_images,
    image_identity,
)

TERMS = list(published_losses())


def losses(default=None, **weights):
    """The published terms with other weights: `default` for those that are not named."""
    terms = published_losses()
    for name, term in terms.items():
        term.weight = weights.get(name, term.weight if default is None else default)
    return terms


def turbo(model, **options):
    torch.manual_seed(0)
    options = {"max_language_length": 32} | options
    module = ShowoTurbo(student=str(model), text_tokenizer=str(model), **options)
    module.configure_model()
    return module


@pytest.fixture(scope="module")
def batch(random_shapes_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    module = turbo(random_shapes_model)
    encode = module.text_tokenizer.encode
    prompts = [ImagePrompt(str(i), t, encode(t)) for i, t in enumerate(["a circle", "two squares"])]
    settings = ImageCollection(ImageSampling(4, 1.0), segments=2, topk_targets=8)
    store = TrajectoryStore.create_or_continue(
        folder / "images", image_identity("teacher", prompts, settings)
    )
    images = ImageTrajectoryDataset(
        collect_images(module.teacher, prompts, settings, store, progress=False)
    )
    generator = torch.Generator().manual_seed(0)
    answers = [
        TextTrajectory(
            key=str(i),
            text="what is it?",
            image=torch.randint(0, 512, (36,), generator=generator),
            prompt_ids=torch.tensor(encode("what is it?")),
            answer_ids=torch.randint(1, 640, (16 * (i + 1) - i,), generator=generator),
            blocks=[torch.randint(1, 640, (3, 16), generator=generator) for _ in range(i + 1)],
        )
        for i in range(2)
    ]
    return {
        "image": collate_image_trajectories(
            [images[0], images[1]], [0, 3], segments=2, mask_code=512
        ),
        "text": collate_text_trajectories(answers, [[0], [0, 1]], segments=1),
        "language": {"text": ["A circle is round.", "A square is not."]},
    }


def loss_of(module, batch):
    logged = {}
    module.log = lambda name, value, **_: logged.update({name: float(value)})
    return module.training_step(batch, 0), logged


def test_the_loss_is_the_weighted_sum_of_the_logged_terms(random_shapes_model, batch):
    terms = losses(**dict(zip(TERMS, (0.3, 0.7, 0.2, 1.5, 0.4), strict=True)))
    loss, logged = loss_of(turbo(random_shapes_model, losses=terms), batch)
    expected = sum(terms[term].weight * logged[f"train/{term}"] for term in TERMS)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert all(logged[f"train/{term}"] > 0 for term in TERMS)


def test_terms_are_logged_by_segment(random_shapes_model, batch):
    _, logged = loss_of(turbo(random_shapes_model), batch)
    parts = [logged[f"train/image_regularizer/segment_{s}"] for s in (0, 1)]
    assert sum(parts) / 2 == pytest.approx(logged["train/image_regularizer"], rel=1e-5)


def test_a_term_without_weight_is_not_computed(random_shapes_model, batch):
    terms = losses(image_consistency=0, text_consistency=0, language=0)
    _, logged = loss_of(turbo(random_shapes_model, losses=terms), batch)
    assert "train/image_consistency" not in logged and "train/language" not in logged


@pytest.mark.parametrize(
    ("without", "calls"),
    [("image", ["answer_logits"]), ("text", ["image_logits", "image_logits"])],
)
def test_a_stream_without_weight_asks_no_network(
    random_shapes_model, batch, monkeypatch, without, calls
):
    made = []
    for name in ("image_logits", "answer_logits"):
        given = getattr(Showo, name)

        def noted(*arguments, name=name, given=given, **options):
            made.append(name)
            return given(*arguments, **options)

        monkeypatch.setattr(Showo, name, noted)
    terms = losses(**{f"{without}_consistency": 0, f"{without}_regularizer": 0})
    loss, logged = loss_of(turbo(random_shapes_model, losses=terms), batch)
    assert made == calls
    assert loss > 0 and not any(name.startswith(f"train/{without}") for name in logged)


@pytest.mark.bad_input
def test_streams_that_all_have_no_weight_are_refused(random_shapes_model, batch, world, tmp_path):
    module = turbo(random_shapes_model, losses=losses(default=0, language=1))
    with pytest.raises(UserError, match=r"batch's streams \(image\) are 0"):
        loss_of(module, {"image": batch["image"]})
    data = DistillationDataModule(
        24,
        shapes=ShapesWorld(world, images=48, documents=16, validation_images=8),
        batch_sizes=DistillationBatchSizes(image=4, text=2, language=0),
    )
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path
    )
    with pytest.raises(UserError, match="all weights of the loss terms of image, text are 0"):
        trainer.fit(module, data)


@pytest.mark.parametrize("target", [StudentTarget(), TeacherTarget()])
def test_only_the_student_gets_gradients(random_shapes_model, batch, target):
    module = turbo(random_shapes_model, consistency_target=target)
    loss, _ = loss_of(module, batch)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.student.parameters())
    others = [module.teacher, module.image_tokenizer]
    assert all(p.grad is None for network in others for p in network.parameters())


class Counted(LossTerm):
    """Asks for some of the logits, and counts the samples."""

    def __init__(self, stream, *names):
        super().__init__(stream)
        self.names = names
        type(self).asks_for = names

    def compute(self, inputs):
        found = [getattr(inputs, name) for name in self.names]
        per_sample = torch.stack([logits.float().square().mean((1, 2)) for logits in found]).sum(0)
        return LossValue(per_sample.mean(), per_sample, torch.ones(len(per_sample)))


@pytest.mark.parametrize(
    ("names", "versions"),
    [
        (["fixed_point_logits"], [[]]),
        (["logits"], [["logits"]]),
        (["logits", "fixed_point_logits", "target_logits"], [["logits", "target_logits"]]),
    ],
)
def test_only_what_a_term_asks_for_is_computed(
    random_shapes_model, batch, monkeypatch, names, versions
):
    made = []
    given = Showo.answer_logits

    def noted(model, batch, versions, **options):
        made.append(list(versions))
        return given(model, batch, versions, **options)

    monkeypatch.setattr(Showo, "answer_logits", noted)
    module = turbo(random_shapes_model, losses={"mine": Counted("text", *names)})
    loss, logged = loss_of(module, batch)
    assert made == versions
    assert logged["train/mine"] == pytest.approx(float(loss))
    assert {name for name in logged if "segment" in name} == {"train/mine/segment_0"}


def test_what_is_asked_for_without_notice_takes_a_pass_of_its_own(random_shapes_model, batch):
    def value(asks_for):
        term = Counted("text", "logits", "fixed_point_logits")
        type(term).asks_for = asks_for
        return loss_of(turbo(random_shapes_model, losses={"mine": term}), batch)[1]["train/mine"]

    assert value(()) == pytest.approx(value(("logits", "fixed_point_logits")), rel=1e-5)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"mine": Counted("imgae", "logits")}, "losses.mine has the stream 'imgae'; expected one"),
        ({"mine": object()}, "losses.mine is of the class object, which has no method compute; "),
        ({}, "there are none"),
    ],
)
def test_terms_that_cannot_be_computed(random_shapes_model, terms, message):
    with pytest.raises(UserError, match=message):
        turbo(random_shapes_model, losses=terms)


class Careless(LossTerm):
    """A term with a mistake, or with another."""

    def __init__(self, stream=None):
        if stream is not None:
            super().__init__(stream)

    def compute(self, inputs):
        return inputs.logits.mean()


@pytest.mark.bad_input
def test_mistakes_in_a_term_name_the_term(random_shapes_model, batch, monkeypatch):
    with pytest.raises(UserError, match=r"losses.mine: Careless has no stream.*super\(\).__init__"):
        turbo(random_shapes_model, losses={"mine": Careless()})
    monkeypatch.setattr(Careless, "asks_for", ("logit",))
    with pytest.raises(UserError, match=r"losses.mine asks for 'logit', which the stream image"):
        turbo(random_shapes_model, losses={"mine": Careless("image")})
    monkeypatch.setattr(Careless, "asks_for", ())
    module = turbo(random_shapes_model, losses={"mine": Careless("image")})
    with pytest.raises(UserError, match=r"what losses.mine computes is .* expected a LossValue"):
        loss_of(module, batch)


@pytest.mark.bad_input
def test_a_target_that_is_none(random_shapes_model):
    with pytest.raises(UserError, match="class str, which has no method network"):
        turbo(random_shapes_model, consistency_target="ema")


@pytest.mark.bad_input
@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_are_no_factor(weight):
    with pytest.raises(UserError, match="weight of Counted is"):
        LossTerm.__init__(Counted("text"), "text", weight)


def test_only_the_student_reads_noise_at_first(random_shapes_model):
    module = turbo(random_shapes_model, noise_size=4, noise_scale=0.2)
    assert module.student.noise.token.weight.any()
    assert not module.teacher.noise.token.weight.any()
    assert not module.base.noise.token.weight.any()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "options, message",
    [
        ({"noise_size": -1}, r"noise_size is -1; expected 0 or more"),
        ({"noise_size": 4, "noise_scale": -0.1}, r"noise_scale is -0\.1; expected 0 or more"),
        ({"noise_scale": 0.1}, r"noise_scale is 0\.1, but .* set noise_size"),
    ],
)
def test_noise_that_is_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        ShowoTurbo(**options)


@pytest.mark.bad_input
def test_noise_of_a_student_that_reads_some_has_its_scale(random_shapes_model, tmp_path):
    turbo(random_shapes_model, noise_size=4).student.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"noise_scale is 0\.2, but .* reads noise already"):
        ShowoTurbo(str(tmp_path), noise_size=4, noise_scale=0.2).load_base(0.2)


@pytest.mark.bad_input
def test_flex_attention_where_it_cannot_train():
    with pytest.raises(UserError, match=r"^flex_attention is"):
        ShowoTurbo(flex_attention=True, gradient_checkpointing="elementwise")
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(UserError, match="on the device cpu"):
        trainer.fit(ShowoTurbo(flex_attention=True), [])


def test_the_targets_differ_once_the_student_has_moved(random_shapes_model, batch):
    def consistency(target):
        module = turbo(random_shapes_model, consistency_target=target)
        with torch.no_grad():
            for parameter in module.student.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.1)
        return loss_of(module, batch)[1]["train/image_consistency"]

    assert consistency(StudentTarget()) != pytest.approx(consistency(TeacherTarget()))


def test_the_checkpoint_holds_the_student_alone(random_shapes_model):
    state = turbo(random_shapes_model).state_dict()
    assert state and all(key.startswith("student.") for key in state)


def test_configure_model_is_idempotent(random_shapes_model):
    module = turbo(random_shapes_model)
    student = module.student
    module.configure_model()
    assert module.student is student


def test_reseeding_copies_and_does_not_share(random_shapes_model):
    module = turbo(random_shapes_model)
    with torch.no_grad():
        module.student.showo.lm_head.bias.add_(1)
    module.reseed_teacher()
    frozen = copy.deepcopy(module.teacher.state_dict())
    with torch.no_grad():
        module.student.showo.lm_head.bias.add_(1)
    assert all(torch.equal(v, frozen[k]) for k, v in module.teacher.state_dict().items())


def test_gradient_checkpointing_gives_the_same_gradients(random_shapes_model, batch):
    def gradient(enabled):
        module = turbo(random_shapes_model, gradient_checkpointing=enabled)
        module.student.train()
        loss_of(module, batch)[0].backward()
        return module.student.showo.model.layers[0].mlp.fc1.weight.grad

    torch.testing.assert_close(gradient(True), gradient(False))


def test_bfloat16_is_close_to_float32(random_shapes_model, batch):
    def losses(dtype):
        module = turbo(random_shapes_model)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss, logged = loss_of(module, batch)
        loss.backward()
        gradient = module.student.showo.lm_head.weight.grad
        assert gradient.dtype == torch.float32  # bf16-mixed: the weights stay as they are
        assert gradient.isfinite().all()
        return logged

    exact, rounded = losses(torch.float32), losses(torch.bfloat16)
    for name, value in exact.items():
        assert rounded[name] == pytest.approx(value, rel=0.05, abs=1e-3), name
        assert value == 0 or rounded[name] != value, f"{name} was not computed in bfloat16"


def test_validation_scores_images_and_texts(random_shapes_model, world):
    plan = EvaluationPlan(
        sampling_steps=(4, 2), guidance_scales=(0.0, 1.0), checker=ShapesChecker()
    )
    module = turbo(random_shapes_model, evaluation=plan)
    data = DistillationDataModule(
        24,
        shapes=ShapesWorld(world, images=48, documents=16, validation_images=8),
        prompts_per_category=1,
    )
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    (values, *_) = trainer.validate(module, data, verbose=False)
    assert "val/validation/score/4_steps_guidance_0" in values
    report = module.evaluation_report
    assert [(r.steps, r.guidance) for r in report.images] == [(4, 0), (2, 0), (4, 1), (2, 1)]
    ar, *jacobi = report.text
    assert jacobi and all(row.exact_match == ar.exact_match for row in jacobi)


def test_the_shipped_image_tokenizer_is_read_by_the_checker(random_shapes_model):
    from showo_turbo.shapes.render import render

    from ..support.scenes import sample_scene

    module = turbo(random_shapes_model)
    same = 0
    for index in range(200):
        scene, _ = sample_scene(index, seed=123)
        pixels = torch.from_numpy(render(scene)).permute(2, 0, 1)[None].float() / 127.5 - 1
        decoded = module.image_tokenizer.decode(module.image_tokenizer.encode(pixels))
        image = ((decoded[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
        same += read_image(image) == scene
    assert same >= 199
