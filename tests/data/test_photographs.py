"""Real photographs go through collection and training, at the geometry of the released models."""

from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from showo_turbo.callbacks import Curriculum
from showo_turbo.cli.main import main
from showo_turbo.curriculum import Stage
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
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import TrajectoryStore, fingerprint_module

from ..bad_input.bench import source

CONFIGS = Path(__file__).parents[2] / "configs"


def write_models(folder, image_tokens=256, bits=13):
    """Narrow random networks in the released layout: 16 px a token, 8,192 codes of 13 bits."""
    torch.manual_seed(0)
    config = ShowoConfig(
        text_vocabulary_size=640,
        codebook_size=2**bits,
        image_tokens=image_tokens,
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
    image_tokenizer = MAGVITv2(MAGVITv2Config(bits=bits, norm_groups=4, **sizes))
    image_tokenizer.save_pretrained(folder / "magvitv2")


def test_photographs_are_collected_for_and_trained_on(photographs, tmp_path):
    write_models(tmp_path)
    module = ShowoTurbo(
        student=str(tmp_path / "showo"),
        image_tokenizer=str(tmp_path / "magvitv2"),
        text_tokenizer=str(tmp_path / "showo"),
        max_language_length=32,
        decoding=TextDecoding(max_new_tokens=64),
    )
    data = DistillationDataModule(
        256,
        captions=CaptionFiles(photographs.images, photographs.captions),
        instructions=InstructionFiles(photographs.root, photographs.instructions),
        web_text=TextFiles([photographs.texts]),
        batch_sizes=DistillationBatchSizes(image=2, text=1, language=1),
    )
    sampling = SamplingChanges(sampling_steps=8, guidance_scale=1.5)
    stage = Stage(epochs=1, sampling=sampling, image_trajectories=4, text_trajectories=4)
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
        callbacks=[Keep([stage], batch_size=4)],
    )
    trainer.fit(module, data)
    assert len(losses) == 2 and all(0 < loss < 1000 for loss in losses)
    store = TrajectoryStore.open(tmp_path / "run/curriculum/round-0/images", kind="images")
    assert store.num_samples == 4


@pytest.mark.parametrize(
    ("name", "resolution"),
    [("turbo_256", 256), pytest.param("turbo_512", 512, marks=pytest.mark.slow)],
)
def test_the_papers_configs_run(photographs, tmp_path, monkeypatch, name, resolution):
    """Both stages as they are written, with narrow networks, fewer codes and few trajectories."""
    monkeypatch.chdir(tmp_path)
    write_models(tmp_path, image_tokens=(resolution // 16) ** 2, bits=10)
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    (callback,) = config["trainer"]["callbacks+"]
    curriculum = callback["init_args"]
    for stage in curriculum["stages"]:
        stage |= {"image_trajectories": 2, "text_trajectories": 2}
    curriculum |= {"batch_size": 2}
    config["model"]["init_args"] |= {"decoding": {"max_new_tokens": 64}}
    config["data"]["init_args"] |= {
        "captions": source(
            "CaptionFiles", images=photographs.images, annotations=photographs.captions
        ),
        "instructions": source(
            "InstructionFiles", images=photographs.root, annotations=photographs.instructions
        ),
        "web_text": {"class_path": "TextFiles", "init_args": {"files": [str(photographs.texts)]}},
        "loader": {"num_workers": 0},
    }
    config["model"]["init_args"] |= {
        "student": "showo",
        "image_tokenizer": "magvitv2",
        "text_tokenizer": "showo",
    }
    Path("narrow.yaml").write_text(yaml.safe_dump(config))
    main(
        [
            "fit",
            "-c",
            str(CONFIGS / "turbo.yaml"),
            "-c",
            "narrow.yaml",
            "-c",
            str(CONFIGS / "hardware/cpu.yaml"),
        ]
    )

    run = tmp_path / "runs" / name
    student = Showo.from_pretrained(run / "student")
    assert fingerprint_module(student) != fingerprint_module(Showo.from_pretrained("showo"))
    for index, stage in enumerate(curriculum["stages"]):
        settings = TrajectoryStore.open(run / f"curriculum/round-{index}/images").identity.settings
        for key in ("sampling_steps", "guidance_scale"):
            assert settings[f"sampling.{key}"] == stage["sampling"][key]
        assert settings["segments"] == stage["image_segments"]
    assert (run / "checkpoints/last.ckpt").is_file()
