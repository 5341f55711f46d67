import copy
import dataclasses

import pytest
import torch
from lightning.pytorch import Trainer

from showo_turbo.data import DistillationBatchSizes, DistillationDataModule, ShapesWorld
from showo_turbo.data.shapes.checker import read_image
from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.training import turbo as turbo_module
from showo_turbo.training.turbo import LossWeights, ShowoTurbo
from showo_turbo.trajectories import (
    ImageCollection,
    ImagePrompt,
    ImageTrajectoryDataset,
    TextBlock,
    TrajectoryStore,
    collate_image_trajectories,
    collate_text_blocks,
    collect_images,
    image_identity,
)

TERMS = [field.name for field in dataclasses.fields(LossWeights)]


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
    blocks = [
        TextBlock(
            key=str(i),
            image_codes=torch.randint(0, 512, (36,), generator=generator),
            prompt_ids=torch.tensor(encode("what is it?")),
            prefix_ids=torch.randint(1, 640, (3 * i,), generator=generator),
            iterates=torch.randint(1, 640, (3, 16), generator=generator),
            valid_length=16 - i,
        )
        for i in range(2)
    ]
    return {
        "image": collate_image_trajectories([images[0], images[1]], [0, 3], mask_code=512),
        "text": collate_text_blocks(blocks, [0, 0], segments=1),
        "language": {"text": ["A circle is round.", "A square is not."]},
    }


def loss_of(module, batch):
    logged = {}
    module.log = lambda name, value, **_: logged.update({name: float(value)})
    return module.training_step(batch, 0), logged


def test_the_loss_is_the_weighted_sum_of_the_logged_terms(random_shapes_model, batch):
    weights = LossWeights(0.3, 0.7, 0.2, 1.5, 0.4)
    loss, logged = loss_of(turbo(random_shapes_model, weights=weights), batch)
    expected = sum(getattr(weights, term) * logged[f"train/{term}"] for term in TERMS)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert all(logged[f"train/{term}"] > 0 for term in TERMS)


def test_terms_are_logged_by_segment(random_shapes_model, batch):
    _, logged = loss_of(turbo(random_shapes_model), batch)
    parts = [logged[f"train/image_regularizer/segment_{s}"] for s in (0, 1)]
    assert sum(parts) / 2 == pytest.approx(logged["train/image_regularizer"], rel=1e-5)


def test_a_term_without_weight_is_not_computed(random_shapes_model, batch):
    weights = LossWeights(image_consistency=0, text_consistency=0, language=0)
    _, logged = loss_of(turbo(random_shapes_model, weights=weights), batch)
    assert "train/image_consistency" not in logged and "train/language" not in logged


@pytest.mark.parametrize(
    ("without", "calls"),
    [("image", ["block_logits"]), ("text", ["image_logits", "image_logits"])],
)
def test_a_stream_without_weight_asks_no_network(
    random_shapes_model, batch, monkeypatch, without, calls
):
    made = []
    for name in ("image_logits", "block_logits"):
        given = getattr(turbo_module, name)

        def noted(*arguments, name=name, given=given):
            made.append(name)
            return given(*arguments)

        monkeypatch.setattr(turbo_module, name, noted)
    weights = LossWeights(**{f"{without}_consistency": 0, f"{without}_regularizer": 0})
    loss, logged = loss_of(turbo(random_shapes_model, weights=weights), batch)
    assert made == calls
    assert loss > 0 and not any(name.startswith(f"train/{without}") for name in logged)


@pytest.mark.bad_input
def test_streams_that_all_have_no_weight_are_refused(random_shapes_model, batch, world, tmp_path):
    weights = LossWeights(0, 0, 0, 0, language=1)
    module = turbo(random_shapes_model, weights=weights)
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


@pytest.mark.parametrize("target", ["student", "teacher"])
def test_only_the_student_gets_gradients(random_shapes_model, batch, target):
    module = turbo(random_shapes_model, consistency_target=target)
    loss, _ = loss_of(module, batch)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.student.parameters())
    others = [module.teacher, module.image_tokenizer]
    assert all(p.grad is None for network in others for p in network.parameters())


def test_the_targets_differ_once_the_student_has_moved(random_shapes_model, batch):
    def consistency(target):
        module = turbo(random_shapes_model, consistency_target=target)
        with torch.no_grad():
            for parameter in module.student.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.1)
        return loss_of(module, batch)[1]["train/image_consistency"]

    assert consistency("student") != pytest.approx(consistency("teacher"))


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
    from showo_turbo.training.evaluation import EvaluationGrid

    grid = EvaluationGrid(sampling_steps=(4, 2), guidance_scales=(0.0, 1.0))
    module = turbo(random_shapes_model, evaluation=grid)
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
    rows = module.evaluation_rows
    assert [(r.steps, r.guidance) for r in rows["images"]] == [(4, 0), (2, 0), (4, 1), (2, 1)]
    ar, *jacobi = rows["text"]
    assert jacobi and all(row.exact_match == ar.exact_match for row in jacobi)


def test_the_shipped_image_tokenizer_is_read_by_the_checker(random_shapes_model):
    from showo_turbo.data.shapes.render import render
    from showo_turbo.data.shapes.sampling import sample_scene

    module = turbo(random_shapes_model)
    same = 0
    for index in range(200):
        scene, _ = sample_scene(index, seed=123)
        pixels = torch.from_numpy(render(scene)).permute(2, 0, 1)[None].float() / 127.5 - 1
        decoded = module.image_tokenizer.decode(module.image_tokenizer.encode(pixels))
        image = ((decoded[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
        same += read_image(image) == scene
    assert same >= 199
