"""Real photographs go through collection and training, at the geometry of 256 px images."""

import torch
from lightning.pytorch import Trainer

from showo_turbo.callbacks import Curriculum, Stage
from showo_turbo.data import (
    CaptionFiles,
    DistillationBatchSizes,
    DistillationDataModule,
    InstructionFiles,
    TextFiles,
)
from showo_turbo.models.checkpoints import resolve_folder
from showo_turbo.models.magvitv2 import MAGVITv2, MAGVITv2Config
from showo_turbo.models.showo import Showo, ShowoConfig
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import TrajectoryStore


def write_models(folder):
    """Narrow random networks in the released layout: 256 px, 256 tokens, 8,192 codes."""
    torch.manual_seed(0)
    config = ShowoConfig(
        text_vocabulary_size=640,
        tokenizer=None,
        eos_id=0,
        hidden_size=32,
        layers=1,
        heads=2,
    )
    network = Showo(config)
    with torch.no_grad():
        network.showo.lm_head.bias[config.vocabulary.eot_id] = 4  # so that answers end
    network.save_pretrained(folder / "showo")
    tokenizer = resolve_folder("shapes", "showo") / "tokenizer.json"
    (folder / "showo/tokenizer.json").write_bytes(tokenizer.read_bytes())
    sizes = {"channels": 8, "encoder_blocks": (1,) * 5, "decoder_blocks": (1,) * 5}
    image_tokenizer = MAGVITv2(MAGVITv2Config(norm_groups=4, **sizes))
    image_tokenizer.save_pretrained(folder / "magvitv2")


def test_photographs_are_collected_for_and_trained_on(photographs, tmp_path):
    write_models(tmp_path)
    module = ShowoTurbo(
        student=str(tmp_path / "showo"),
        image_tokenizer=str(tmp_path / "magvitv2"),
        text_tokenizer=str(tmp_path / "showo"),
        max_language_length=32,
    )
    data = DistillationDataModule(
        256,
        captions=CaptionFiles(photographs.images, photographs.captions),
        instructions=InstructionFiles(photographs.root, photographs.instructions),
        web_text=TextFiles([photographs.texts]),
        batch_sizes=DistillationBatchSizes(image=2, text=1, language=1),
    )
    stage = Stage(epochs=1, steps=8, guidance_scale=1.5, image_trajectories=4, text_trajectories=4)
    losses = []

    class Keep(Curriculum):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_index):
            losses.append(float(outputs["loss"]))

    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path / "run",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[Keep([stage], max_new_tokens=64, batch_size=4)],
    )
    trainer.fit(module, data)
    assert len(losses) == 2 and all(0 < loss < 1000 for loss in losses)
    store = TrajectoryStore.open(tmp_path / "run/curriculum/round-0/images", kind="images")
    assert store.num_samples == 4
