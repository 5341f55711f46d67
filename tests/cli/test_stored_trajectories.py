"""`collect` once, then `fit` on what it made, through the real command."""

import json
import shutil
import subprocess

import pytest
import yaml

from showo_turbo.cli.main import main
from showo_turbo.inference import ShowoPipeline
from showo_turbo.models.showo import Showo
from showo_turbo.trajectories import TrajectoryStore, fingerprint_module
from showo_turbo.utils.lock import folder_lock

from ..tiny import write_tiny_model

COUNT = 6
IMAGES = [
    *("--images.sampling.sampling_steps", 4, "--images.sampling.guidance_scale", 0.5),
    *("--images.segments", 2),
    *("--images.shard_size", 2, "--images.topk_targets", 3),
]
TEXTS = [
    *("--texts.decoding.max_new_tokens", 24, "--texts.decoding.block_size", 8),
    *("--texts.max_repeats", 40),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tmp_path_factory.mktemp("world") / "world"


def shapes(world):
    names = {"images": COUNT, "documents": 4, "validation_images": 2}
    options = ["--shapes.folder", world]
    for name, count in names.items():
        options += [f"--shapes.{name}", count]
    return options


@pytest.fixture(scope="module")
def collected(model, world, tmp_path_factory):
    """Image trajectories for all captions, and text trajectories for a few questions."""
    folder = tmp_path_factory.mktemp("collected") / "stores"
    counts = ["--num_images", COUNT, "--num_texts", 4]
    run = ["collect", folder, *shapes(world), *IMAGES, *TEXTS, *counts, "--model", model]
    main([str(argument) for argument in run])
    return folder


@pytest.fixture
def stores(collected, tmp_path):
    """The same, for a test to spoil."""
    return shutil.copytree(collected, tmp_path / "stores")


@pytest.fixture
def config(model, world, tmp_path):
    """A short distillation; gives a function that writes it with changes."""

    def write(name, data=None, stage=None, student=model, batch_sizes=None, from_world=True):
        stages = {"epochs": 1, "image_segments": 2}
        values = {
            "seed_everything": 3,
            "model": {
                "class_path": "ShowoTurbo",
                "init_args": {
                    "student": str(student),
                    "image_tokenizer": str(model / "magvitv2"),
                    "max_language_length": 16,
                    "teacher_sampling": {"sampling_steps": 4, "guidance_scale": 0.5},
                    "decoding": {"max_new_tokens": 24, "block_size": 8},
                },
            },
            "data": {
                "class_path": "DistillationDataModule",
                "init_args": {
                    "resolution": 16,
                    "batch_sizes": batch_sizes or {"image": 2, "text": 0, "language": 0},
                }
                | (data or {}),
            },
            "trainer": {
                "accelerator": "cpu",
                "logger": False,
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "limit_val_batches": 0,
                "default_root_dir": str(tmp_path / name),
                "callbacks": [
                    {
                        "class_path": "Curriculum",
                        "init_args": {
                            "stages": [stages | {"image_trajectories": COUNT} | (stage or {})],
                            "topk_targets": 3,
                            "shard_size": 2,
                        },
                    },
                    {"class_path": "ExportStudent"},
                ],
            },
        }
        if from_world:
            values["data"]["init_args"]["shapes"] = {
                "class_path": "ShapesWorld",
                "init_args": {
                    "folder": str(world),
                    "images": COUNT,
                    "documents": 4,
                    "validation_images": 2,
                },
            }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def student_of(run):
    return fingerprint_module(Showo.from_pretrained(run / "student"))


def test_the_student_is_that_of_a_run_that_collects_by_itself(command, stores, config, tmp_path):
    given = {"trajectories": {"images": str(stores / "images")}}
    assert command("fit", "-c", config("itself")).status == 0
    # Neither captions nor a shapes world are needed.
    result = command("fit", "-c", config("given", given, from_world=False))
    assert result.status == 0, result.errors
    assert student_of(tmp_path / "given") == student_of(tmp_path / "itself")
    itself = TrajectoryStore.open(tmp_path / "itself/curriculum/round-0/images")
    assert itself.fingerprint == TrajectoryStore.open(stores / "images").fingerprint
    assert not (tmp_path / "given/curriculum/round-0/images").exists()


def test_a_stage_s_own_trajectories_come_first(command, stores, config, tmp_path):
    own = {"trajectories": {"images": str(stores / "images")}}
    run = config("stage", {"trajectories": {"images": "none"}}, own, from_world=False)
    assert command("fit", "-c", run).status == 0
    assert (tmp_path / "stage/student").exists()


def test_texts_are_given_and_images_collected(command, stores, config, tmp_path):
    given = {"trajectories": {"texts": str(stores / "texts")}}
    sizes = {"image": 2, "text": 1, "language": 1}
    assert command("fit", "-c", config("texts", given, batch_sizes=sizes)).status == 0
    assert (tmp_path / "texts/curriculum/round-0/images").exists()
    assert not (tmp_path / "texts/curriculum/round-0/texts").exists()


def test_fewer_segments_than_recorded(command, stores, config):
    given = {"trajectories": {"images": str(stores / "images")}}
    assert command("fit", "-c", config("one", given, {"image_segments": 1})).status == 0


def test_another_teacher_is_accepted_with_a_warning(command, stores, config, tmp_path):
    other = write_tiny_model(tmp_path / "other", seed=3)
    given = {"trajectories": {"images": str(stores / "images"), "on_mismatch": "warn"}}
    run = config("warned", given, student=other, from_world=False)
    with pytest.warns(UserWarning, match="was made by teacher .*trained on nevertheless"):
        assert command("fit", "-c", run).status == 0
    assert (tmp_path / "warned/student").exists()


def test_a_resumed_run_checks_what_it_was_trained_on(command, model, stores, config, tmp_path):
    given = {"trajectories": {"images": str(stores / "images")}}
    runs = [config(name, given, {"epochs": 2}) for name in ("whole", "resumed")]
    options = ["--trainer.enable_checkpointing", "true"]
    assert command("fit", "-c", runs[0], *options).status == 0
    resume = [*options, "--resume", "auto"]
    assert command("fit", "-c", runs[1], *resume, "--trainer.max_epochs", 1).status == 0
    other = ["collect", tmp_path / "other", "--shapes.folder", tmp_path / "world"]
    other += [*IMAGES, "--num_texts", 0, "--num_images", 4, "--model", model]
    other += ["--shapes.images", 6, "--shapes.documents", 4, "--shapes.validation_images", 2]
    assert command(*other).status == 0
    swapped = ["--data.init_args.trajectories.images", tmp_path / "other/images"]
    result = command("fit", "-c", runs[1], *resume, *swapped)
    assert "are not those that the checkpoint was trained on" in result.errors
    assert command("fit", "-c", runs[1], *resume).status == 0
    assert student_of(tmp_path / "resumed") == student_of(tmp_path / "whole")


@pytest.mark.bad_input
class TestBadInput:
    """That a run looks; `trajectories/test_stored.py` has all that can be wrong."""

    @pytest.fixture
    def refused(self, command, config, tmp_path):
        """The one line about a run that leaves nothing behind."""

        def run(trajectories, **changes):
            given = {"trajectories": {key: str(value) for key, value in trajectories.items()}}
            result = command("fit", "-c", config("refused", given, **changes))
            assert result.status == 2, result
            message = result.errors.strip().splitlines()[-1]
            assert message.startswith("showo-turbo: ")
            assert not (tmp_path / "refused/curriculum").exists()
            return message

        return run

    def test_another_teacher(self, refused, stores, model, tmp_path):
        other = write_tiny_model(tmp_path / "other", seed=3)
        made = fingerprint_module(ShowoPipeline.from_pretrained(model).network)[:12]
        asked = fingerprint_module(ShowoPipeline.from_pretrained(other).network)[:12]
        message = refused({"images": stores / "images"}, student=other)
        assert f"was made by teacher {made}..., but the teacher is {asked}..." in message
        assert "on_mismatch: warn" in message

    def test_other_sizes_are_refused_even_with_a_warning(self, refused, stores, tmp_path):
        other = write_tiny_model(tmp_path / "other", text_vocabulary_size=700)
        given = {"images": stores / "images", "on_mismatch": "warn"}
        message = refused(given, student=other)
        assert "was collected with text_vocabulary_size 640, but the model's is 700" in message

    def test_of_another_image_tokenizer(self, refused, stores):
        path = stores / "texts/manifest.json"
        manifest = json.loads(path.read_text())
        manifest["identity"]["model"]["image_tokenizer"] = "other"
        path.write_text(json.dumps(manifest))
        sizes = {"image": 0, "text": 1, "language": 0}
        message = refused({"texts": stores / "texts"}, batch_sizes=sizes)
        assert "was collected with image tokenizer other" in message

    def test_another_stage(self, refused, stores):
        stage = {"sampling": {"guidance_scale": 2.0}}
        message = refused({"images": stores / "images"}, stage=stage)
        assert "guidance_scale 0.5, but the stage says 2.0" in message

    def test_damaged(self, refused, stores):
        shard = stores / "images/images-00001.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1] + b"x")
        assert "is damaged" in refused({"images": stores / "images"})


class TestManyMachines:
    @pytest.fixture
    def parts(self, command, model, world, tmp_path):
        """Runs `collect` as one of several commands."""

        def run(name, *options, expected=0):
            options = [*IMAGES, *TEXTS, "--texts.shard_size", 2, *options]
            counts = ["--num_images", COUNT, "--num_texts", 4, "--model", model]
            result = command("collect", tmp_path / name, *shapes(world), *options, *counts)
            assert result.status == expected, result
            return result.output if expected == 0 else result.errors

        return run

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
    def test_the_store_is_that_of_one_command(self, parts, order, tmp_path):
        parts("whole")
        for rank in order:
            output = parts("shared", "--rank", rank, "--world_size", 3)
            assert ("make the rest" in output) == (rank != order[-1])
        assert content(tmp_path / "shared") == content(tmp_path / "whole")
        parts("shared", "--rank", 1, "--world_size", 3)  # once more changes nothing
        assert content(tmp_path / "shared") == content(tmp_path / "whole")

    def test_it_says_how_many_shards_are_there(self, parts):
        output = parts("shared", "--rank", 1, "--world_size", 2)
        assert "images: 1 of 3 shards are there, all of rank 1 among them" in output

    def test_slurm_numbers_the_commands(self, parts, monkeypatch, tmp_path):
        parts("whole")
        monkeypatch.setenv("SLURM_NTASKS", "2")
        for rank in range(2):
            monkeypatch.setenv("SLURM_PROCID", str(rank))
            parts("shared")
        assert content(tmp_path / "shared") == content(tmp_path / "whole")

    def test_a_killed_one_continues(self, parts, monkeypatch, tmp_path):
        parts("whole")

        def killed(self, *values, **names):
            written(self, *values, **names)
            raise KeyboardInterrupt

        written = TrajectoryStore.write_shard
        with monkeypatch.context() as patch:
            patch.setattr(TrajectoryStore, "write_shard", killed)
            parts("shared", "--rank", 0, "--world_size", 2, expected=130)
        parts("shared", "--rank", 1, "--world_size", 2)
        parts("shared", "--rank", 0, "--world_size", 2)
        assert content(tmp_path / "shared") == content(tmp_path / "whole")

    def test_two_at_once(self, parts, model, world, python, tmp_path):
        parts("whole")
        options = ["collect", tmp_path / "shared", *shapes(world), *IMAGES, *TEXTS]
        options += ["--texts.shard_size", 2, "--num_images", COUNT, "--num_texts", 4]
        runs = [
            subprocess.Popen(
                [
                    *(python, "-m", "showo_turbo", *map(str, options)),
                    *("--model", str(model), "--rank", str(rank), "--world_size", "2"),
                ]
            )
            for rank in range(2)
        ]
        assert [run.wait() for run in runs] == [0, 0]
        assert content(tmp_path / "shared") == content(tmp_path / "whole")

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--rank", 2, "--world_size", 2], "rank is 2, but world_size is 2; expected a rank"),
            (["--rank", -1, "--world_size", 2], "rank is -1, but world_size is 2"),
            (["--rank", 0, "--world_size", 0], "world_size is 0; expected at least 1"),
            (["--rank", 0], "rank is given, but no world_size"),
            (["--world_size", 2], "world_size is given, but no rank"),
        ],
    )
    def test_bad_numbers(self, parts, options, message, tmp_path):
        assert message in parts("shared", *options, expected=2)
        assert not (tmp_path / "shared").exists()

    @pytest.mark.bad_input
    def test_two_of_one_rank(self, parts, tmp_path):
        parts("shared", "--rank", 0, "--world_size", 2)
        with folder_lock(tmp_path / "shared/images", ".lock-1"):
            message = parts("shared", "--rank", 1, "--world_size", 2, expected=2)
            assert "shared/images is being written by process" in message
            # Nor does a single command write what several are writing.
            assert "is being written by process" in parts("shared", expected=2)

    @pytest.mark.bad_input
    def test_slurm_s_numbers_are_checked(self, parts, monkeypatch):
        monkeypatch.setenv("SLURM_NTASKS", "2")
        monkeypatch.setenv("SLURM_PROCID", "first")
        assert "SLURM_PROCID is 'first'; expected a whole number" in parts("x", expected=2)


def content(folder):
    """The bytes of all files in a folder and its subfolders."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
