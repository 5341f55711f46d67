"""Pretraining on clips: of the tokenizer, and of Show-o."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer

from showo_turbo.data import ImageDataModule, PretrainDataModule
from showo_turbo.data.pretraining import PretrainBatchSizes
from showo_turbo.errors import UserError
from showo_turbo.evaluation.plan import EvaluationPlan
from showo_turbo.losses.image_tokenizer import entropy_loss, reconstruction_error
from showo_turbo.models.magvitv2 import MAGVITv2, MAGVITv2Config
from showo_turbo.models.showo import SizeChanges
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes.clip_checker import ClipsChecker, read_frame
from showo_turbo.shapes.write_clips import ShapesClips
from showo_turbo.training.masking import mask_codes, mask_frame_by_frame
from showo_turbo.training.pretrain_magvitv2 import PretrainMAGVITv2, of_latent_frames
from showo_turbo.training.pretrain_showo import PretrainShowo

from ..models.test_video_sequences import naive_logits


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """The shipped image tokenizer, inflated."""
    folder = tmp_path_factory.mktemp("tokenizer")
    MAGVITv2.from_pretrained("shapes").inflated(2).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return ShapesClips(tmp_path_factory.mktemp("clips") / "w", clips=6, validation_clips=2)


def trainer(**options):
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def test_easy_clips_are_read_the_same_without_training(tokenizer, world):
    """Shapes move by whole patches, whenever a latent frame begins."""
    data = ImageDataModule(24, shapes=world, batch_size=2, val_batch_size=2)
    module = PretrainMAGVITv2(initial_weights=str(tokenizer), read_image=read_frame)
    (values,) = trainer().validate(module, data)
    assert values["val/same_reading"] == 1.0


def test_a_tokenizer_of_clips_learns(tokenizer, world):
    data = ImageDataModule(24, shapes=world, batch_size=2, val_batch_size=2)
    module = PretrainMAGVITv2(initial_weights=str(tokenizer), object_weight=8.0)
    before = MAGVITv2.from_pretrained(tokenizer).state_dict()
    trainer(max_steps=1, limit_val_batches=0).fit(module, data)
    after = module.model.state_dict()
    key = "encoder.down.0.block.0.conv1.weight"
    assert before[key].shape[2] == 3 and not before[key][:, :, :2].any()
    assert after[key][:, :, :2].any(), "earlier frames are learned from"


def test_losses_of_clips_are_those_of_their_frames():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 4, 3, 5, 5, generator=generator)
    weights = torch.rand(2, 3, 5, 5, generator=generator)
    frames = latents.transpose(1, 2).flatten(0, 1)
    for joint in (False, True):
        torch.testing.assert_close(
            entropy_loss(latents, weights, joint=joint),
            entropy_loss(frames, weights.flatten(0, 1), joint=joint),
        )
    pixels, others = torch.rand(2, 2, 3, 9, 8, 8, generator=generator)
    torch.testing.assert_close(
        reconstruction_error(others, pixels),
        reconstruction_error(*(own.transpose(1, 2).flatten(0, 1) for own in (others, pixels))),
    )
    of_frames = torch.arange(9.0).reshape(1, 9, 1, 1)
    assert of_latent_frames(of_frames, 4).flatten().tolist() == [0, 2.5, 6.5]


def module(model, tokenizer, **options):
    made = PretrainShowo(
        changed_sizes=SizeChanges(video_frames=5),
        initial_weights=str(model),
        image_tokenizer=str(tokenizer),
        text_tokenizer=str(model),
        **options,
    )
    made.trainer = SimpleNamespace(datamodule=SimpleNamespace(resolution=24))
    made.configure_model()
    made.logged = {}
    made.log = lambda name, value, **_: made.logged.update({name: float(value)})
    made.log_dict = lambda values, **_: [made.log(*entry) for entry in values.items()]
    return made


@pytest.mark.parametrize("by_frame", [0.0, 0.6, 1.0])
def test_masked_tokens_of_clips_are_predicted(random_shapes_model, tokenizer, by_frame):
    """One by one, from one forward over each sequence."""
    made = module(random_shapes_model, tokenizer, caption_dropout=0.0, frame_by_frame=by_frame)
    assert made.model.config.image_tokens == 5 * 36
    pixels = torch.rand(2, 3, 17, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    stream = {"pixels": pixels, "caption": ["a red circle", "a star"], "seed": [3, 4]}
    codes = made.image_tokenizer.encode(pixels)
    masked = mask_codes(codes, made.model.mask_code, stream["seed"])
    framed = mask_frame_by_frame(codes, made.model.mask_code, stream["seed"], 5)
    chosen = {0.0: [], 0.6: [0], 1.0: [0, 1]}[by_frame]  # 0.55 is drawn from seed 3, 0.79 from 4
    masked[chosen] = framed[chosen]
    losses = []
    for row, caption in enumerate(stream["caption"]):
        ids = made.text_tokenizer.encode(caption)
        scores = naive_logits(made.model, ids, masked[row].tolist())
        hidden = masked[row] == made.model.mask_code
        losses += F.cross_entropy(scores[hidden], codes[row][hidden], reduction="none")
    loss = made.training_step({"image": stream}, 0)
    torch.testing.assert_close(loss, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)


def test_a_run_on_clips(random_shapes_model, tokenizer, world):
    """Drawing, answering, and validation with the score of clips."""
    made = PretrainShowo(
        changed_sizes=SizeChanges(video_frames=5),
        initial_weights=str(random_shapes_model),
        image_tokenizer=str(tokenizer),
        text_tokenizer=str(random_shapes_model),
        evaluation=EvaluationPlan(checker=ClipsChecker()),
        sampling=ImageSampling(2),
    )
    data = PretrainDataModule(
        24, PretrainBatchSizes(2, 2, 1), 2, shapes=world, prompts_per_category=1, fit_limit=2
    )
    runner = trainer(max_steps=2, num_sanity_val_steps=0)
    runner.fit(made, data)
    values = runner.validate(made, data)
    scores = {key: value for entry in values for key, value in entry.items()}
    assert scores["val/validation/score/2_steps_guidance_0"] == 0.0
    assert "val/ar/exact_match" in scores


@pytest.mark.bad_input
class TestBadInput:
    def test_clips_of_another_length(self, random_shapes_model, tokenizer):
        made = module(random_shapes_model, tokenizer)
        stream = {"pixels": torch.zeros(1, 3, 9, 24, 24), "caption": ["a"], "seed": [1]}
        with pytest.raises(UserError, match="have 108 tokens, those of the model 180"):
            made.training_step({"image": stream}, 0)

    def test_masks_of_clips(self, random_shapes_model):
        with pytest.raises(
            UserError, match=r"^frame_by_frame is 1\.5; expected a share, set it to"
        ):
            PretrainShowo(frame_by_frame=1.5)
        made = PretrainShowo(initial_weights=str(random_shapes_model), frame_by_frame=0.5)
        with pytest.raises(UserError, match=r"^frame_by_frame is 0\.5, but the model generates im"):
            made.configure_model()

    @pytest.mark.parametrize("frames", [2, 16])
    def test_clips_that_a_tokenizer_cannot_learn_from(self, tokenizer, frames):
        made = PretrainMAGVITv2(initial_weights=str(tokenizer))
        made.configure_model()
        with pytest.raises(UserError, match=rf"a clip has {frames} frames"):
            made.training_step({"pixels": torch.zeros(1, 3, frames, 24, 24)}, 0)

    def test_what_the_tokenizer_starts_from(self, tokenizer):
        with pytest.raises(UserError, match="tokenizer and initial_weights: neither is given"):
            PretrainMAGVITv2()
        with pytest.raises(UserError, match="tokenizer and initial_weights: both are given"):
            PretrainMAGVITv2(MAGVITv2Config(), str(tokenizer))
