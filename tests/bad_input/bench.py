"""Malformed inputs, each given to the real command in a folder of its own."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from lightning.pytorch import Trainer
from PIL import Image

from showo_turbo.cli.main import main
from showo_turbo.data import CaptionFiles, ImageDataModule
from showo_turbo.models.magvitv2 import MAGVITv2Config
from showo_turbo.training import PretrainMAGVITv2

from ..tiny import write_tiny_model


def source(class_name, **options):
    """A source of data as it is written in YAML."""
    return {
        "class_path": class_name,
        "init_args": {name: str(value) for name, value in options.items()},
    }


def caption_files(images, annotations):
    return source("CaptionFiles", images=images, annotations=annotations)


def instruction_files(images, annotations):
    return source("InstructionFiles", images=images, annotations=annotations)


def text_files(*files, **changes):
    options = {"files": [str(file) for file in files]} | changes
    return {"class_path": "TextFiles", "init_args": options}


TOKENIZER_SIZES = {
    "channels": 8,
    "bits": 4,
    "norm_groups": 4,
    "encoder_multipliers": (1, 1),
    "decoder_multipliers": (1, 1),
    "encoder_blocks": (1, 1),
    "decoder_blocks": (1, 1),
}

RUN_RECORD = {"run", "run/config.yaml"}
"""What Lightning writes when a run begins, whole: the configuration that it was given."""

CAPTIONS = ["a red circle", "a blue square", "two green stars", "a white triangle"]


class Good:
    """A small model and small files that are all right, in a folder; a case spoils one of them."""

    def __init__(self, folder):
        self.folder = folder
        self.images = folder / "images"
        self.captions = folder / "captions.json"
        self.instructions = folder / "instructions.json"
        self.texts = folder / "texts.parquet"
        self.prompts = folder / "prompts.jsonl"
        self.model = write_tiny_model(folder / "model")
        self.image_tokenizer = self.model / "magvitv2"
        self.images.mkdir()
        for number in range(len(CAPTIONS)):
            gray = 60 * number
            Image.new("RGB", (16, 16), (gray, 255 - gray, 128)).save(self.image(number))
        self.captions.write_text(json.dumps(self.coco()))
        self.instructions.write_text(json.dumps(self.llava()))
        pq.write_table(pa.table({"content": [f"document {i}" for i in range(8)]}), self.texts)
        self.prompts.write_text('{"prompt": "a red circle", "tag": "single"}\n')

    @cached_property
    def checkpoint(self):
        """What Lightning wrote after a step of pretraining an image tokenizer."""
        files = CaptionFiles(self.images, self.captions)
        trainer = Trainer(
            accelerator="cpu",
            max_steps=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = PretrainMAGVITv2(MAGVITv2Config(**TOKENIZER_SIZES))
        trainer.fit(module, ImageDataModule(16, files, batch_size=2))
        trainer.save_checkpoint(self.folder / "last.ckpt")
        return self.folder / "last.ckpt"

    def collection(self, output):
        """The command line that collects trajectories of images and texts."""
        captions = ["--captions.images", self.images, "--captions.annotations", self.captions]
        questions = ["--instructions.images", self.images]
        questions += ["--instructions.annotations", self.instructions]
        settings = [
            "--images.sampling.sampling_steps",
            "4",
            "--images.segments",
            "2",
            "--texts.decoding.max_new_tokens",
            "64",
        ]
        return ["collect", output, *captions, *questions, *settings, "--model", self.model]

    @cached_property
    def stores(self):
        """The folder of the two stores that it makes."""
        main([str(argument) for argument in self.collection(self.folder / "stores")])
        return self.folder / "stores"

    def image(self, number):
        return self.images / f"{number}.png"

    def coco(self):
        """Content of a captions file."""
        numbers = range(len(CAPTIONS))
        return {
            "images": [{"id": i, "file_name": f"{i}.png"} for i in numbers],
            "annotations": [{"id": i, "image_id": i, "caption": CAPTIONS[i]} for i in numbers],
        }

    def llava(self):
        """Content of an instructions file."""
        return [
            {
                "id": str(number),
                "image": f"{number}.png",
                "conversations": [
                    {"from": "human", "value": "<image>\nWhat is this?"},
                    {"from": "gpt", "value": caption},
                ],
            }
            for number, caption in enumerate(CAPTIONS)
        ]

    def config(self):
        """A short run of distillation, from which a case changes one value."""
        return {
            "model": {
                "class_path": "ShowoTurbo",
                "init_args": {
                    "student": str(self.model),
                    "image_tokenizer": str(self.image_tokenizer),
                    "max_language_length": 16,
                    "teacher_sampling": {"sampling_steps": 4},
                    "decoding": {"max_new_tokens": 16},
                },
            },
            "data": {
                "class_path": "DistillationDataModule",
                "init_args": {
                    "resolution": 16,
                    "captions": caption_files(self.images, self.captions),
                    "instructions": instruction_files(self.images, self.instructions),
                    "web_text": text_files(self.texts),
                    "batch_sizes": {"image": 2, "text": 0, "language": 1},
                },
            },
            "trainer": {
                "accelerator": "cpu",
                "logger": False,
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "max_epochs": -1,
                "max_steps": 1,
                "default_root_dir": "run",
                "callbacks": [
                    {
                        "class_path": "Curriculum",
                        "init_args": {
                            "stages": [{"epochs": 1, "image_segments": 2}],
                        },
                    }
                ],
            },
        }


class Bench:
    """Runs commands in a folder, and sees what they leave there."""

    def __init__(self, folder, good, capsys):
        self.folder = folder
        self.good = good
        self._capsys = capsys

    def write(self, name, content):
        """A file of this text, these bytes or this JSON value."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def configure(self, **changes):
        """The good configuration with some values changed; `__` goes into a mapping or a list."""
        config = self.good.config()
        for key, value in changes.items():
            place = config
            *path, last = [int(part) if part.isdigit() else part for part in key.split("__")]
            for part in path:
                place = place[part]
            place[last] = value
        return self.write("config.yaml", yaml.safe_dump(config))

    def language_model(self, **data):
        """A configuration that trains on plain texts alone."""
        config = self.good.config()
        networks = {
            "initial_weights": self.good.model,
            "image_tokenizer": self.good.image_tokenizer,
        }
        options = {name: str(path) for name, path in networks.items()}
        sizes = {"image": 0, "text": 0, "language": 2}
        config["model"] = {"class_path": "PretrainShowo", "init_args": options}
        config["data"] = {
            "class_path": "PretrainDataModule",
            "init_args": {"resolution": 16, "batch_sizes": sizes} | data,
        }
        del config["trainer"]["callbacks"]
        return self.write("config.yaml", config)

    def pretraining(self, captions, images):
        """A configuration that trains an image tokenizer on the images that captions name."""
        config = self.good.config()
        files = caption_files(images, captions)
        data = {"resolution": 16, "batch_size": 2, "captions": files}
        config["model"] = {
            "class_path": "PretrainMAGVITv2",
            "init_args": {"tokenizer": TOKENIZER_SIZES},
        }
        config["data"] = {"class_path": "ImageDataModule", "init_args": data}
        del config["trainer"]["callbacks"]
        return self.write("config.yaml", config)

    def run(self, *arguments):
        """Run `showo-turbo`; give its status, output and errors."""
        self._capsys.readouterr()
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code or 0
        captured = self._capsys.readouterr()
        return SimpleNamespace(status=status, output=captured.out, errors=captured.err)

    def listing(self):
        """Every file and its checksum, every folder and every link."""
        return {
            str(path.relative_to(self.folder)): _summary(path)
            for path in sorted(self.folder.rglob("*"))
        }


def _summary(path):
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"


@dataclass(frozen=True)
class Case:
    """A malformed input.

    Attributes:
        name: What is wrong with it.
        prepare: Writes it to the bench's folder, and gives the command line that meets it.
        value: The part of the message that names it.
        expected: The part that says what was expected.
        remedy: The part that says what to do.
    """

    name: str
    prepare: Callable[[Bench], list[object]]
    value: str
    expected: str
    remedy: str

    def check(self, bench):
        """One clear line, status 2, no traceback, and nothing is written."""
        arguments = self.prepare(bench)
        before = bench.listing()
        ended = bench.run(*arguments)
        assert ended.status == 2, f"status {ended.status}: {ended.errors}{ended.output}"
        assert "Traceback" not in ended.output + ended.errors
        *_, last = ended.errors.splitlines()
        assert last.startswith("showo-turbo: ") and ended.errors.count("showo-turbo: ") == 1
        assert len(last) <= 700, f"no line, but a page: {last}"
        for part in (self.value, self.expected, self.remedy):
            assert part in last, f"{part!r} is not in {last!r}"
        after = bench.listing()
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        assert changed <= RUN_RECORD, f"left or changed: {changed}"


def table(cases):
    """A parametrized test argument `case` of all cases."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    return pytest.mark.parametrize("case", cases, ids=[name.replace(" ", "-") for name in names])
