"""A small but whole run: random networks of hardly any width, a tiny world, and two stages."""

import shutil
from pathlib import Path
from typing import Any

import torch

from showo_turbo.models.checkpoints import resolve_folder
from showo_turbo.models.showo import Showo, ShowoConfig

STAGE = {"text_segments": 1, "image_trajectories": 12, "text_trajectories": 12}
GUIDED = {"sampling_steps": 4, "guidance_scale": 1.0}
SHORT = {"sampling_steps": 2}
CONFIG: dict[str, Any] = {
    "seed_everything": 0,
    "model": {
        "class_path": "ShowoTurbo",
        "init_args": {
            "student": "model",
            "text_tokenizer": "model",
            "max_language_length": 32,
            "decoding": {"max_new_tokens": 32},
            "evaluation": {
                "fit_sampling_steps": [2],
                "decoding": {"max_new_tokens": 6},
                "checker": {"class_path": "ShapesChecker"},
            },
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}},
        },
    },
    "data": {
        "class_path": "DistillationDataModule",
        "init_args": {
            "resolution": 24,
            "shapes": {
                "class_path": "ShapesWorld",
                "init_args": {
                    "folder": "run/world",
                    "images": 200,
                    "documents": 64,
                    "validation_images": 4,
                },
            },
            "batch_sizes": {"image": 3, "text": 2, "language": 1},
            "prompts_per_category": 1,
            "val_batch_size": 8,
        },
    },
    "trainer": {
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": "run",
        "max_epochs": -1,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "gradient_clip_val": 1.0,
        "enable_progress_bar": False,
        "logger": {
            "class_path": "TensorBoardLogger",
            "init_args": {"save_dir": "run", "name": "logs"},
        },
        "callbacks": [
            {
                "class_path": "Curriculum",
                "init_args": {
                    "batch_size": 4,
                    "shard_size": 4,
                    "stages": [
                        STAGE | {"epochs": 3, "sampling": GUIDED, "image_segments": 2},
                        STAGE | {"epochs": 2, "sampling": SHORT, "image_segments": 1},
                    ],
                },
            },
            {
                "class_path": "StepCheckpoint",
                "init_args": {
                    "dirpath": "run/checkpoints",
                    "every_n_train_steps": 2,
                    "save_last": True,
                },
            },
            {
                "class_path": "ModelCheckpoint",
                "init_args": {
                    "dirpath": "run/checkpoints",
                    "filename": "end-of-{epoch}",
                    "save_on_train_epoch_end": True,
                },
            },
            {"class_path": "ExportStudent"},
        ],
    },
}


def write_model(folder: Path) -> None:
    """Random networks for the shapes world, with hardly any width."""
    torch.manual_seed(0)
    config = ShowoConfig(
        text_vocabulary_size=640,
        codebook_size=512,
        image_tokens=36,
        max_text_length=32,
        tokenizer=None,
        image_tokenizer="shapes",
        eos_id=0,
        hidden_size=32,
        layers=1,
        heads=2,
        max_position_embeddings=256,
    )
    network = Showo(config)
    with torch.no_grad():
        # Answers of a random network never end; this one says `eot` often.
        network.showo.lm_head.bias[config.vocabulary.eot_id] = 4
    network.save_pretrained(folder)
    shutil.copy(resolve_folder("shapes", "showo") / "tokenizer.json", folder)
