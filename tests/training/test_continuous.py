"""Training of models that read continuous features of images."""

import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from showo_turbo.callbacks import Curriculum
from showo_turbo.curriculum import Stage
from showo_turbo.data import DistillationBatchSizes, DistillationDataModule
from showo_turbo.errors import UserError
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.inference.model_folder import write_model_folder
from showo_turbo.models.registry import load_model
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesWorld
from showo_turbo.training.pretrain_showo import PretrainShowo
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import TextTrajectoryDataset, TrajectoryStore, fingerprint_module

from .. import naive
from ..continuous import write_shapes_model

SHAPES = {"clip": (16, 8), "latents": (36, 9)}


@pytest.fixture(scope="module", params=list(SHAPES))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind, tmp_path_factory):
    return write_shapes_model(tmp_path_factory.mktemp(kind), kind)


def run(model, world, folder, resolution=24):
    torch.manual_seed(1)
    module = ShowoTurbo(
        student=str(model),
        text_tokenizer=str(model),
        max_language_length=32,
        decoding=TextDecoding(max_new_tokens=64),
        optimizer=partial(torch.optim.AdamW, lr=1e-3),
    )
    data = DistillationDataModule(
        resolution,
        shapes=ShapesWorld(world, images=48, documents=16, validation_images=8),
        batch_sizes=DistillationBatchSizes(image=4, text=2, language=2),
    )
    stage = Stage(
        epochs=1,
        sampling=SamplingChanges(sampling_steps=2),
        image_segments=1,
        text_segments=1,
        image_trajectories=8,
        text_trajectories=8,
    )
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        callbacks=[
            Curriculum([stage], batch_size=8, shard_size=8),
            ModelCheckpoint(folder / "checkpoints", save_last=True),
        ],
    )
    trainer.fit(module, data)
    return module


def test_distillation_trains_on_features(model, kind, world, tmp_path):
    module = run(model, world, tmp_path)
    store = TrajectoryStore.open(tmp_path / "curriculum/round-0/texts", kind="texts")
    records = TextTrajectoryDataset(store)
    assert len(records) > 0
    assert records[0].image.shape == SHAPES[kind] and records[0].image.dtype == torch.float16
    encoder = module.image_encoder
    assert store.identity.model.image_tokenizer == fingerprint_module(encoder)
    assert fingerprint_module(encoder) != fingerprint_module(module.image_tokenizer)
    base, after = load_model(model), module.student
    for name, parameter in base.mm_projector.named_parameters():
        assert not torch.equal(parameter, after.mm_projector.get_parameter(name)), name
    saved = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert saved["state_dict"].keys() == {f"student.{key}" for key in base.state_dict()}
    assert saved["showo_config"] == base.config.to_dict()
    assert module.student.training and not encoder.training
    # The teacher's folder is a whole model, and so is what a checkpoint holds.
    teacher = (tmp_path / "curriculum/round-0/teacher").rename(tmp_path / "moved")
    assert (
        json.loads((teacher / "config.json").read_text())["showo_turbo"]["vision_encoder"] is None
    )
    again = ShowoTurbo(student=str(teacher), text_tokenizer=str(teacher))
    again.configure_model()
    from_checkpoint = ShowoTurbo.load_from_checkpoint(tmp_path / "checkpoints/last.ckpt")
    for other in (LoadedModel.from_pretrained(teacher), again, from_checkpoint):
        assert fingerprint_module(other.image_encoder) == fingerprint_module(encoder)


@pytest.mark.bad_input
def test_images_of_another_size_than_the_encoder_takes(model, world, tmp_path):
    with pytest.raises(UserError, match=r"the data has resolution 16, .* set resolution to 24"):
        run(model, world, tmp_path, resolution=16)
    assert not (tmp_path / "curriculum").exists()


def test_pretraining_predicts_answers_from_features(model, tmp_path):
    torch.manual_seed(0)
    made = PretrainShowo(initial_weights=str(model), text_tokenizer=str(model))
    made.configure_model()
    made.log_dict = made.log = lambda *_, **__: None
    network, encode = made.model, made.text_tokenizer.encode
    generator = torch.Generator().manual_seed(0)
    stream = {
        "pixels": torch.rand(3, 3, 24, 24, generator=generator) * 2 - 1,
        "question": ["what is it?", "how many?", "where?"],
        "answer": ["a red circle", "two", "at the top left"],
    }
    features = made._encode_asked_images(stream["pixels"])
    losses = []
    for row, question, answer in zip(features, stream["question"], stream["answer"], strict=True):
        # One by one, without padding.
        prompt = network.encode_question(made.text_tokenizer, question)
        targets = torch.tensor([*encode(f" {answer}"), network.eot_id])
        logits = naive.feature_logits(network, row, [*prompt, *targets.tolist()])[:, :640]
        losses += F.cross_entropy(logits[-len(targets) - 1 : -1], targets, reduction="none")
    loss = made.training_step({"text": stream}, 0)
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in network.mm_projector.parameters())
    # A checkpoint of what began with a whole folder.
    write_model_folder(
        tmp_path,
        network.state_dict(),
        network.config,
        text_tokenizer=made.text_tokenizer,
        vision_encoder=made.vision_encoder,
    )
    began = PretrainShowo(initial_weights=str(tmp_path), text_tokenizer=str(tmp_path))
    began.configure_model()
    checkpoint = {"state_dict": began.state_dict(), "pytorch-lightning_version": "2.5.0"}
    began.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    again = PretrainShowo.load_from_checkpoint(tmp_path / "last.ckpt")
    torch.testing.assert_close(again._encode_asked_images(stream["pixels"]), features)
    assert again.model.config.reads == network.config.reads
    trained = {name for name, parameter in made.named_parameters() if parameter.requires_grad}
    assert trained == {f"model.{name}" for name, _ in network.named_parameters()}
