"""The trainings that `inputs.py` compares, each in a folder of its own."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from shapes_clip import PATCH, WIDTH, descriptions, vision_encoder

from showo_turbo.evaluation import TextRecord
from showo_turbo.models.registry import load_config
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesWorld
from showo_turbo.shapes.scene import IMAGE_SIZE
from showo_turbo.shapes.write import LLAVA_TRAIN_FILE, LLAVA_VALIDATION_FILE
from showo_turbo.utils.files import read_json, write_json

BASE = "shapes"
SYSTEM_PROMPT = "A chat about an image."
CAPTIONS = "descriptions.json"


@dataclass(frozen=True)
class Scale:
    """How much is trained and asked.

    Attributes:
        images: Of the world.
        encoder_steps: Steps of the vision encoder.
        text_steps: Of the network that knows plain text alone.
        projector_steps: Of the projector alone.
        steps: Of all weights, on questions.
        batch_size: Questions or descriptions a step.
        questions: To score on.
    """

    images: int = 24000
    encoder_steps: int = 1000
    text_steps: int = 1000
    projector_steps: int = 500
    steps: int = 2000
    batch_size: int = 16
    questions: int = 1000


SMOKE = Scale(48, 2, 2, 2, 2, 2, 4)


def run_config(
    folder: Path, world: Path, steps: int, model: dict[str, Any], data: dict[str, Any]
) -> dict[str, Any]:
    """The configuration of a training.

    Args:
        folder: Where it goes.
        world: The shapes world.
        steps: Of the optimizer.
        model: Options of `PretrainShowo`.
        data: Options of `PretrainDataModule`.
    """
    schedule = {"warmup_steps": 100, "total_steps": steps, "decay_steps": steps // 2}
    return {
        "seed_everything": 0,
        "model": {
            "class_path": "PretrainShowo",
            "init_args": model
            | {
                "optimizer": {
                    "class_path": "showo_turbo.training.optimizers.MuonWithAdamW",
                    "init_args": {"lr": 2.0e-3, "weight_decay": 0.02},
                },
                "lr_scheduler": {
                    "class_path": "showo_turbo.training.schedules.WarmupStableDecay",
                    "init_args": schedule,
                },
            },
        },
        "data": {
            "class_path": "PretrainDataModule",
            "init_args": {"resolution": IMAGE_SIZE, "shapes": corpus(world)} | data,
        },
        "trainer": {
            "accelerator": "cpu",
            "plugins": [{"class_path": "showo_turbo.training.precision.AutoPrecision"}],
            "logger": False,
            "max_steps": steps,
            "max_epochs": -1,
            "gradient_clip_val": 1.0,
            "limit_val_batches": 0,
            "num_sanity_val_steps": 0,
            "default_root_dir": str(folder),
            "callbacks": [
                {"class_path": "FiniteGuard"},
                {
                    "class_path": "StepCheckpoint",
                    "init_args": {"every_n_train_steps": 200, "save_last": True},
                },
            ],
        },
    }


def corpus(world: Path) -> dict[str, Any]:
    """The world as it is."""
    made = read_json(world / "world.json")
    counts = {name: made[name] for name in ("images", "documents", "validation_images")}
    return {"class_path": "ShapesWorld", "init_args": {"folder": str(world), **counts}}


def batch_of(stream: str, size: int) -> dict[str, int]:
    """Batch sizes of one stream alone."""
    return dict.fromkeys(("image", "text", "language"), 0) | {stream: size}


def trained(folder: Path, config: dict[str, Any]) -> Path:
    """The model of a training: gone on with where it stopped, and exported when it is done."""
    model = folder / "model"
    if not (model / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "run.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        showo_turbo("fit", "-c", path, "--resume", "auto")
        longest = TextDecoding.max_new_tokens
        checkpoint = folder / "checkpoints/last.ckpt"
        showo_turbo("export", checkpoint, model, "--decoding.max_new_tokens", longest)
    return model


def showo_turbo(*arguments: object) -> None:
    """Run a command in a process of its own, so that one run leaves nothing to the next."""
    subprocess.run([sys.executable, "-m", "showo_turbo", *map(str, arguments)], check=True)


class Runs:
    """The trainings, each in a folder of its own.

    Args:
        folder: Where they go.
        scale: How much is trained.
    """

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.folder = folder
        self.scale = scale
        self.world = folder / "data"
        ShapesWorld(
            self.world,
            images=scale.images,
            documents=max(16, scale.images // 3),
            validation_images=max(8, scale.questions // 2),
        ).write()
        if not (self.world / CAPTIONS).exists():
            write_json(self.world / CAPTIONS, descriptions(self.world, LLAVA_TRAIN_FILE))
        files = (LLAVA_TRAIN_FILE, LLAVA_VALIDATION_FILE)
        self.encoder = folder / "encoder"
        self.retrieval = vision_encoder(self.encoder, self.world, files, scale.encoder_steps)

    def start(self, start: str) -> str:
        """The model that trainings start from."""
        if start == "unified":
            return BASE
        base = load_config(BASE)
        sizes = {
            name: getattr(base, name)
            for name in (
                "hidden_size",
                "layers",
                "heads",
                "max_text_length",
                "max_position_embeddings",
            )
        }
        model = {"showo": sizes, "language_weight": 1.0}
        data = {"batch_sizes": batch_of("language", 3 * self.scale.batch_size)}
        return str(self._train("text", self.scale.text_steps, model, data))

    def model(self, kind: str, start: str) -> Path:
        """The model that answers about one kind of inputs."""
        begun, size = self.start(start), self.scale.batch_size
        if kind != "codes":
            features = {"image_input": kind, "system_prompt": SYSTEM_PROMPT}
            if kind == "clip":
                patches = (IMAGE_SIZE // PATCH) ** 2
                features |= {"vision_encoder": str(self.encoder.absolute())}
                features |= {"vision_tokens": patches, "vision_width": WIDTH}
            model = {"showo": features, "trained": "projector", "as_captions": True}
            files = {"images": str(self.world), "annotations": str(self.world / CAPTIONS)}
            source = {"class_path": "InstructionFiles", "init_args": files}
            data = {"batch_sizes": batch_of("text", size), "instructions": source}
            name, steps = f"{kind}-{start}-projector", self.scale.projector_steps
            begun = str(self._train(name, steps, model | {"initial_weights": begun}, data))
        return self._train(
            f"{kind}-{start}",
            self.scale.steps,
            {"initial_weights": begun},
            {"batch_sizes": batch_of("text", size)},
        )

    def _train(self, name: str, steps: int, model: dict[str, Any], data: dict[str, Any]) -> Path:
        folder = self.folder / name
        return trained(folder, run_config(folder, self.world, steps, model, data))

    def records(self) -> list[TextRecord]:
        """The questions to score on."""
        source = ShapesWorld(self.world).instructions("val").open(IMAGE_SIZE)
        count = min(self.scale.questions, len(source))
        entries = [source.draw(index, index) for index in range(count)]
        return [TextRecord(e["pixels"], e["question"], e["answer"]) for e in entries]
