"""Every configuration that ships is parsed, and those that a CPU carries are run."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from showo_turbo.cli.main import main
from showo_turbo.cli.sweep import check_examples, full_config, read_settings
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.shapes import ShapesWorld
from showo_turbo.shapes.write import LLAVA_TRAIN_FILE
from showo_turbo.sweeps import SearchSpace

from .continuous import write_shapes_model

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
RECIPES = sorted((CONFIGS.parent / "recipes/own_pictures").glob("*.yaml"))
OVERLAYS = [path for path in FILES if path.parent.name == "hardware"]
SWEEPS = [path for path in FILES if path.parent.name == "sweeps"]
TURBO = CONFIGS / "turbo.yaml"
RESOLUTIONS = [path for path in FILES if path.match("turbo_*.yaml")]
LOGGERS = [path for path in FILES if path.parent.name == "loggers"]
STAGES = [path for path in FILES if path.match("stages/stage_*.yaml")]
QUICKSTART, VARIED = CONFIGS / "quickstart.yaml", CONFIGS / "quickstart_varied.yaml"
STAGED = CONFIGS / "stages" / "pretrain.yaml"
PARTS = [*OVERLAYS, *SWEEPS, *LOGGERS, TURBO, *RESOLUTIONS, STAGED, *STAGES, VARIED]
WHOLE = [[path] for path in FILES if path not in PARTS]
WHOLE += [[TURBO, path] for path in RESOLUTIONS] + [[STAGED, path] for path in STAGES]
WHOLE += [[QUICKSTART, VARIED], *([path] for path in RECIPES)]
"""The files of each run, in the order in which they are merged."""


def test_the_files_are_found():
    assert TURBO in FILES
    assert {paths[-1].stem for paths in WHOLE} >= {
        "clip_projector",
        "clip_instructions",
        "quickstart",
        "quickstart_mmada",
        "quickstart_varied",
        "pretrain_magvitv2",
        "pretrain_mmada",
        "pretrain_showo",
        "pretrain_clip_tokenizer",
        "pretrain_clips",
        "pretrain_stories",
        "student_clips",
        "student_stories",
        "stage_1",
        "stage_2",
        "stage_3",
        "turbo_256",
        "turbo_512",
        "turbo_256_renewed",
        "turbo_512_renewed",
        "turbo_mmada",
    }
    assert {path.stem for path in OVERLAYS} == {
        "cpu",
        "single_gpu",
        "ddp",
        "fsdp",
        "24gb",
        "80gb",
        "80gb_lora",
        "8x24gb",
        "float8",
    }
    assert {path.stem for path in SWEEPS} == {"segments", "table_3"}
    assert {path.stem for path in RECIPES} == {"image_tokenizer", "base", "student"}
    assert {path.stem for path in LOGGERS} == {"tensorboard", "csv", "wandb", "mlflow", "none"}


def options(paths):
    return [argument for path in paths for argument in ("-c", str(path))]


def merged(paths):
    """What the files of a run say of its trainer and its model; callbacks replace earlier ones."""
    found = {"trainer": {}, "model": {}}
    callbacks = []
    for path in paths:
        content = yaml.safe_load(path.read_text())
        trainer = dict(content.get("trainer", {}))
        callbacks = trainer.pop("callbacks", callbacks) + trainer.pop("callbacks+", [])
        found["trainer"] |= trainer
        found["model"] |= content.get("model", {}).get("init_args", {})
    found["trainer"]["callbacks"] = callbacks
    return found


def name_of(paths):
    return paths[-1].stem


def printed(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", *arguments, "--print_config"])
    assert ended.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("paths", WHOLE, ids=name_of)
def test_a_run_stops_where_its_numbers_go_wrong(paths):
    callbacks = merged(paths)["trainer"]["callbacks"]
    assert "FiniteGuard" in [entry["class_path"] for entry in callbacks]


@pytest.mark.parametrize("paths", WHOLE, ids=name_of)
def test_a_log_of_a_run_has_lines(paths):
    callbacks = merged(paths)["trainer"]["callbacks"]
    assert "StageProgressBar" in [entry["class_path"] for entry in callbacks]


@pytest.mark.parametrize("path", [TURBO, *RESOLUTIONS], ids=lambda path: path.stem)
def test_every_value_is_commented(path):
    lines = path.read_text().splitlines()
    values = [line for line in lines if re.match(r"[ -]*\w+: +[^#\s]", line)]
    assert len(values) > (35 if path == TURBO else 18)
    assert [line for line in values if "class_path" not in line and " # " not in line] == []


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_fits_over_a_config(path, capsys):
    config = printed(options([TURBO, CONFIGS / "turbo_256.yaml", path]), capsys)
    for key, value in yaml.safe_load(path.read_text())["trainer"].items():
        assert config["trainer"][key] == value or key in ("strategy", "plugins")


@pytest.mark.parametrize("size", ["24gb", "80gb", "8x24gb"])
def test_a_card_s_overlay_keeps_the_learning_rate(size, capsys):
    overlay = CONFIGS / "hardware" / f"{size}.yaml"
    config = printed(options([TURBO, CONFIGS / "turbo_256.yaml", overlay]), capsys)
    model = config["model"]["init_args"]
    assert model["gradient_checkpointing"] == ("elementwise" if size == "80gb" else True)
    assert model["backward_by_stream"] is True
    optimizer = model["optimizer"]
    assert optimizer["init_args"]["lr"] == 1e-5 and optimizer["init_args"]["weight_decay"] == 0.01
    assert optimizer["class_path"].endswith("EightBitAdamW" if size == "24gb" else ".AdamW")
    assert size == "24gb" or optimizer["init_args"]["fused"] is True


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_fits_over_a_config_that_chooses_the_precision(path, capsys):
    config = printed(options([CONFIGS / "quickstart.yaml", path]), capsys)
    plugins = [plugin["class_path"].rpartition(".")[2] for plugin in config["trainer"]["plugins"]]
    assert plugins == (["Float8Precision"] if path.stem == "float8" else [])
    assert (
        config["trainer"]["precision"] == yaml.safe_load(path.read_text())["trainer"]["precision"]
    )


def kinds_of(callbacks):
    return [entry["class_path"].rpartition(".")[2] for entry in callbacks]


@pytest.mark.parametrize("number", range(len(WHOLE)), ids=[name_of(paths) for paths in WHOLE])
def test_a_config_is_parsed_with_overlays_and_its_run_moves_as_a_whole(number, capsys):
    """A machine and a logger, others for each; the callbacks stay, and the logger's are added.

    Whatever is written goes where `trainer.default_root_dir` says.
    """
    cards = TURBO in WHOLE[number]  # overlays of cards are those of turbo.yaml
    own = ("gb", "gb_lora", "float8")
    machines = [path for path in OVERLAYS if cards or not path.stem.endswith(own)]
    machine, logger = machines[number % len(machines)], LOGGERS[number // 2 % len(LOGGERS)]
    files = options([*WHOLE[number], machine, logger])
    whole = printed([*files, "--trainer.default_root_dir", "elsewhere"], capsys)
    assert whole["model"]["class_path"].startswith("showo_turbo.")
    assert whole["data"]["class_path"].startswith("showo_turbo.")
    folder = merged(WHOLE[number])["trainer"]["default_root_dir"]
    assert folder.startswith("runs/") and folder not in yaml.safe_dump(whole)
    config = whole["trainer"]
    for key, value in yaml.safe_load(machine.read_text())["trainer"].items():
        assert config[key] == value or key in ("strategy", "plugins")
    asked = yaml.safe_load(logger.read_text())["trainer"]["logger"]
    listed = kinds_of(merged(WHOLE[number])["trainer"]["callbacks"])
    if asked is False:
        assert config["logger"] is False and kinds_of(config["callbacks"]) == listed
        return
    assert config["logger"]["class_path"] == asked["class_path"]
    assert kinds_of(config["callbacks"]) == [*listed, "LearningRateMonitor", "Throughput"]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_value_of_a_sweep_fits_the_quickstart(path):
    settings = read_settings(path)
    config = full_config(["-c", str(CONFIGS / "quickstart.yaml")])
    check_examples(SearchSpace(settings, config))
    split = ShapesWorld(Path("data")).prompts().validation.stem
    assert settings.metric.startswith(f"val/{split}/score/")


@pytest.mark.parametrize("paths", WHOLE, ids=name_of)
def test_the_horizon_of_a_schedule_is_that_of_the_run(paths):
    config = merged(paths)
    schedule = config["model"].get("lr_scheduler")
    if schedule is not None:
        assert schedule["init_args"]["total_steps"] == config["trainer"]["max_steps"]


@pytest.mark.bad_input
def test_an_unknown_key_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "-c", str(CONFIGS / "quickstart.yaml"), "--model.init_args.guidanse", "1"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "guidanse" in error and "Traceback" not in error


SMALL_WORLD = ["--data.init_args.shapes.images=48", "--data.init_args.shapes.documents=16"]


@pytest.mark.parametrize("name", ["pretrain_magvitv2", "pretrain_mmada", "pretrain_showo"])
def test_pretraining_runs(name, tmp_path, monkeypatch, world):
    monkeypatch.chdir(tmp_path)
    family = name.removeprefix("pretrain_")
    sizes = [
        f"--model.init_args.{family}.hidden_size=32",
        f"--model.init_args.{family}.heads=2",
        f"--model.init_args.{family}.layers=1",
        "--data.init_args.batch_sizes.image=4",
        "--data.init_args.batch_sizes.text=2",
        "--data.init_args.prompts_per_category=1",
    ]
    main(
        [
            "fit",
            "-c",
            str(CONFIGS / f"{name}.yaml"),
            "--trainer.accelerator=cpu",
            *SMALL_WORLD,
            "--data.init_args.shapes.validation_images=8",
            "--data.init_args.shapes.folder",
            str(world),
            "--trainer.fast_dev_run=2",
            *(["--data.init_args.batch_size=4"] if family == "magvitv2" else sizes),
        ]
    )


@pytest.mark.parametrize("name", ["clip_projector", "clip_instructions"])
def test_the_steps_over_clip_run(name, tmp_path, monkeypatch, world, random_shapes_model):
    monkeypatch.chdir(tmp_path)
    folder = write_shapes_model(tmp_path / "features", "clip")
    model = ["--model.init_args.initial_weights", str(folder)]
    files = {
        "instructions.init_args.images": world,
        "instructions.init_args.annotations": world / LLAVA_TRAIN_FILE,
    }
    if name == "clip_projector":
        model[1] = str(random_shapes_model)
        sizes = {"encoder": folder / "clip", "tokens": 16, "width": 8}
        for key, value in sizes.items():
            model += [f"--model.init_args.showo.vision_{key}", str(value)]
    else:
        files |= {
            "captions.init_args.images": world / "train2017",
            "captions.init_args.annotations": world / "annotations/captions_train2017.json",
            "web_text.init_args.files": [str(world / "refinedweb")],
        }
    main(
        [
            "fit",
            "-c",
            str(CONFIGS / f"{name}.yaml"),
            *model,
            "--model.init_args.image_tokenizer=shapes",
            f"--model.init_args.text_tokenizer={folder}",
            "--data.init_args.resolution=24",
            "--data.init_args.question_resolution=24",
            "--data.init_args.loader.num_workers=0",
            "--data.init_args.loader.pin_memory=false",
            *(f"--data.init_args.{key}={value}" for key, value in files.items()),
            "--trainer.accelerator=cpu",
            "--trainer.precision=32-true",
            "--trainer.fast_dev_run=2",
        ]
    )


def test_pretraining_on_stories_runs(tmp_path, monkeypatch, world):
    monkeypatch.chdir(tmp_path)
    main(
        [
            "fit",
            "-c",
            str(CONFIGS / "pretrain_stories.yaml"),
            "--trainer.accelerator=cpu",
            *SMALL_WORLD,
            "--data.init_args.shapes.validation_images=8",
            f"--data.init_args.shapes.folder={world}",
            "--data.init_args.stories.folder=stories",
            "--data.init_args.stories.count=4",
            "--data.init_args.prompts_per_category=1",
            "--data.init_args.batch_sizes={image: 1, text: 1, language: 1, story: 2}",
            "--trainer.fast_dev_run=1",
        ]
    )


def test_pretraining_on_clips_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["inflate", "shapes", "clip_tokenizer"])
    world = [
        "--trainer.accelerator=cpu",
        "--data.init_args.shapes.folder=clips",
        "--data.init_args.shapes.clips=4",
        "--data.init_args.shapes.validation_clips=2",
        "--data.init_args.shapes.level=hard",
        "--trainer.fast_dev_run=1",
    ]
    tokenizer = ["-c", str(CONFIGS / "pretrain_clip_tokenizer.yaml"), *world]
    tokenizer += ["--model.init_args.initial_weights=clip_tokenizer"]
    main(["fit", *tokenizer, "--data.init_args.batch_size=2"])
    model = ["-c", str(CONFIGS / "pretrain_clips.yaml"), *world]
    model += ["--model.init_args.image_tokenizer=clip_tokenizer"]
    model += ["--data.init_args.prompts_per_category=1"]
    main(["fit", *model, "--data.init_args.batch_sizes={image: 1, text: 1}"])


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_a_stage_runs(path, tmp_path, monkeypatch, world, random_shapes_model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shapes-pretrain").symlink_to(world)
    arguments = [*options([STAGED, path]), "--trainer.accelerator=cpu", *SMALL_WORLD]
    if path.stem == "stage_1":
        arguments.append("--data.init_args.captions.per_class=1")
        sizes = {"hidden_size": 32, "heads": 2, "layers": 1}
        arguments += [f"--model.init_args.showo.{name}={size}" for name, size in sizes.items()]
    else:
        arguments.append(f"--model.init_args.initial_weights={random_shapes_model}")
    main(
        [
            "fit",
            *arguments,
            "--data.init_args.shapes.validation_images=8",
            "--data.init_args.prompts_per_category=1",
            "--data.init_args.batch_sizes={image: 2, text: 2, language: 1}",
            "--trainer.fast_dev_run=1",
        ]
    )


def curriculum_of(config):
    (curriculum,) = (
        callback["init_args"]
        for callback in config["trainer"]["callbacks"]
        if callback["class_path"].endswith("Curriculum")
    )
    return curriculum


@pytest.mark.parametrize(
    ("name", "tokens", "stages", "top_k"),
    [
        ("turbo_256", 256, [(16, 10.0, 4, 4), (8, 1.5, 2, 2)], {2: 200, 4: 200}),
        ("turbo_512", 1024, [(32, 15.0, 8, 4), (16, 1.75, 4, 2)], {2: 200, 4: 500}),
    ],
)
def test_the_paper_s_stages(capsys, name, tokens, stages, top_k):
    config = printed(options([TURBO, CONFIGS / f"{name}.yaml"]), capsys)
    assert config["data"]["init_args"]["resolution"] ** 2 // 16**2 == tokens
    found = curriculum_of(config)["stages"]
    assert stages == [
        (
            stage["sampling"]["sampling_steps"],
            stage["sampling"]["guidance_scale"],
            stage["image_segments"],
            stage["text_segments"],
        )
        for stage in found
    ]
    model = config["model"]["init_args"]
    # Trajectories are greedy; teacher and student are measured as the paper samples.
    assert model["teacher_sampling"] == asdict(ImageSampling())
    assert [model["sampling"]] == model["evaluation"]["teacher_samplings"]
    assert ImageSampling(**model["sampling"]) == ImageSampling(
        4,
        token_temperature=1.0,
        confidence_temperature=1.0,
        top_k=top_k,
        confidence_annealing="compounding",
    )
    assert model["max_language_length"] == (128 + 1) + tokens + 2
    assert model["decoding"]["max_new_tokens"] == 512


def test_the_quickstart_samples_in_one_order(capsys):
    config = printed(options([CONFIGS / "quickstart.yaml"]), capsys)
    model, stages = config["model"]["init_args"], curriculum_of(config)["stages"]
    teacher = ImageSampling(**model["teacher_sampling"])
    assert teacher == ImageSampling(18, 1.0, reveal_order="halton")
    first, *rounds = (SamplingChanges(**stage["sampling"]).over(teacher) for stage in stages)
    student = ImageSampling(**model["sampling"])
    assert student == ImageSampling(4, mask_schedule="pow", reveal_order="halton")
    assert first == teacher
    assert rounds == [replace(student, sampling_steps=8)] * 2
    assert model["decoding"]["max_new_tokens"] == 96
