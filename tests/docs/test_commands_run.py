"""Every command on every page is run with smaller sizes, or listed here with the reason why not."""

import json
import re
import shlex
import shutil
import sys
import time
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from showo_turbo.cli.main import main
from showo_turbo.data.clip_writing import write_clip
from showo_turbo.models.checkpoints import resolve_folder

from ..cli.test_own_pictures import write_pictures
from ..clips import colored_frames, write_clip_model
from ..continuous import write_shapes_model
from .pages import DOCS, ROOT, commands, forget_modules, write_files

SMALLER = {
    "-c configs/quickstart.yaml": "-c configs/quickstart.yaml -c smaller/quickstart.yaml",
    "-c ../../configs/quickstart.yaml": "-c configs/quickstart.yaml -c smaller/quickstart.yaml",
    "-c config.yaml": "-c configs/quickstart.yaml -c smaller/quickstart.yaml",
    "-c configs/stages/pretrain.yaml": "-c configs/stages/pretrain.yaml -c smaller/pretrain.yaml",
    "stage_1.yaml": "stage_1.yaml --data.init_args.captions.per_class 2",
    "make-shapes data/shapes": "make-shapes data/shapes --images 48 --documents 16 "
    "--validation_images 8",
    "--shapes.folder data/shapes": "--shapes.folder data/shapes --shapes.images 48 "
    "--shapes.documents 16 --shapes.validation_images 8",
    "--num_images 64 --num_texts 64": "--num_images 4 --num_texts 4",
    "collect data/collected": "collect data/collected --model tiny",
    "--world_size 2": "--world_size 1",
    "--teacher shapes": "--teacher tiny",
}
"""What a command of a page says, and what is run; all else is run as the page says it."""

NOT_RUN = {
    "showo-turbo * configs/turbo.yaml * configs/hardware/[df]*": "days on several GPUs",
    "showo-turbo fit * --data.init_args.batch_sizes {image: 8, *": "weights of the hub, days",
    "showo-turbo fit * configs/hardware/single_gpu.yaml": "a GPU",
    "showo-turbo validate * configs/turbo.yaml *": "weights of the hub",
    "showo-turbo * --model showlab/*": "weights of the hub",
    "showo-turbo * --model me/*": "a model on the hub",
    "showo-turbo download *": "the network; tests/hub/test_datasets.py",
    "showo-turbo push * --license apache-2.0": "an account; tests/hub",
    "showo-turbo push * --overwrite": "an account; tests/hub",
    "showo-turbo demo *": "serves until it is stopped; tests/demo",
    "showo-turbo sweep *": "dozens of trainings; tests/cli/test_sweep.py",
    "showo-turbo fit -c configs/quickstart_mmada.yaml": "an hour; tests/cli/test_mmada.py",
    "showo-turbo replay *": "a run that has failed; tests/callbacks/test_finite_guard.py",
    "showo-turbo generate-video * --format mp4 *": "an extra; tests/cli/test_generate_video.py",
    "showo-turbo fit -c recipes/own_pictures/*": "tests/cli/test_own_pictures.py",
    "showo-turbo export runs/own/*": "tests/cli/test_own_pictures.py",
    "showo-turbo * own_family*": "needs a base; tests/examples/test_own_family.py",
    "python train_own_family.py *": "tests/examples/test_own_family.py",
    "python benchmarks/*": "hours; tests/test_benchmarks.py",
    "python recipes/show_o_turbo/*": "captions of COCO; tests/recipes/test_show_o_turbo.py",
    "bash recipes/openmoji/run.sh": "hours; tests/recipes/test_openmoji.py",
    "tensorboard *": "serves until it is stopped",
    "lmms-eval *": "an extra and the network; tests/test_lmms.py",
    "sbatch *": "a cluster; tests/examples/test_machines.py",
    "docker *": "Docker; tests/examples/test_machines.py",
    "hf *": "the network",
    "pip *": "changes the environment; .ci/run",
    **dict.fromkeys(
        ("pytest *", "ruff *", "lint-imports", "mypy", "sphinx-build *"),
        "checks of the whole repository; .ci/run",
    ),
}
"""Patterns of commands, and what they need or which tests run them in another way."""

WRITES = {
    "fit": "runs/**/checkpoints/last.ckpt",
    "validate": "runs/quickstart/evaluation/validate.json",
    "predict": "runs/quickstart/predictions/**/*.png",
    "report": "{0}/report.html",
    "export": "{1}/config.json",
    "make-shapes": "{0}/annotations/captions_train2017.json",
    "collect": "{0}/images/manifest.json",
    "trajectories": "{0}/*-strips/*.png",
    "split-pictures": "{1}/train.json",
    "train-text-tokenizer": "{0}",
    "inflate": "{1}/config.json",
    "generate": "{output}/*.png",
    "generate-video": "{output}/*.gif",
    "answer": "{output}/answers.jsonl",
    "tell": "{output}/stories.jsonl",
    **dict.fromkeys(("inpaint", "extrapolate", "edit"), "{output}/*.png"),
}
"""What a command writes, by its arguments; all of them print something too."""


def picture(path):
    Image.effect_noise((48, 48), 80).convert("RGB").save(path)


def mask(path):
    (image := Image.new("L", (48, 48))).paste(255, (0, 0, 24, 48))
    image.save(path)


def own_pictures(folder):
    content = write_pictures(folder)
    (folder / "dog.png").symlink_to("000.png")
    folder.with_name("captions.json").write_text(json.dumps(content))


def own_run(folder):
    shutil.copytree("runs/quickstart", folder)
    shutil.rmtree(folder / "student")
    included_model(folder / "student")


def included_model(folder):
    folder.symlink_to(resolve_folder("shapes", "showo"))


def lines(*values):
    return lambda path: path.write_text("".join(f"{json.dumps(value)}\n" for value in values))


ASSUMED = {
    **dict.fromkeys(("photo.png", "scene.png", "first.png"), picture),
    "mask.png": mask,
    "clip.gif": lambda path: write_clip(path, colored_frames(), 100),
    "jobs.jsonl": lines({"image": "photo.png", "mask": "mask.png", "prompt": "a red circle"}),
    "stories.jsonl": lines({"request": "move the red circle right"}),
    "a.txt": lambda path: path.write_text("a cat\na dog\n"),
    "my/pictures": own_pictures,
    "runs/own/student": own_run,
    "runs/own/base/model": included_model,
    "runs/clips/model": write_clip_model,
    "runs/stories/model": lambda path: write_shapes_model(path, "codes"),
    "runs/student_stories/student": lambda path: write_shapes_model(path, "codes"),
}
"""What pages assume to be there, and what writes a small one."""


def line_of(command):
    return " ".join(command.words)


def reason_not_to_run(command):
    return next((NOT_RUN[one] for one in NOT_RUN if fnmatchcase(line_of(command), one)), None)


RUN = [command for command in commands() if not reason_not_to_run(command)]
_FIRST = {command.words: command.block.page for command in reversed(RUN)}
PAGES = {
    page: [command for command in RUN if command.block.page == page]
    for page in sorted(set(_FIRST.values()))
}
"""The commands of each page that has some of its own, in order: later ones need earlier ones."""


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory, random_shapes_model):
    """A folder like the repository's in which the first command was run."""
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "configs").symlink_to(ROOT / "configs")
    (folder / "smaller").symlink_to(Path(__file__).with_name("smaller"))
    (folder / "tiny").symlink_to(random_shapes_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["fit", *shlex.split(SMALLER["-c configs/quickstart.yaml"])])
    return folder


@pytest.fixture
def run(tmp_path, quickstart, monkeypatch, capsys):
    """Runs commands in a copy of that folder, without the shapes world."""
    without = shutil.ignore_patterns("data")
    shutil.copytree(quickstart, tmp_path, symlinks=True, dirs_exist_ok=True, ignore=without)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    own = set(sys.modules)

    def run_one(command):
        assert command.words[0] == "showo-turbo", f"{command}: add it to NOT_RUN, with the reason"
        line = shlex.join(command.words)
        for said, smaller in SMALLER.items():
            line = re.sub(rf"{re.escape(said)}(?= |$)", smaller, line)
        for name, write in ASSUMED.items():
            if name in line and not Path(name).exists():
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                write(Path(name))
        name, *arguments = shlex.split(line)[1:]
        if name == "fit" and "--help" not in line:  # a run does not start in the folder of another
            shutil.rmtree("runs/quickstart", ignore_errors=True)
        start = time.time_ns()
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, capsys.readouterr().err
        assert capsys.readouterr().out.strip()
        return name, arguments, start

    yield run_one
    forget_modules(own, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_run(page, run, tmp_path):
    for path in [*page.parent.glob("*.py"), *page.parent.glob("*.yaml")]:
        shutil.copy(path, tmp_path)
    write_files(page, tmp_path)
    for command in PAGES[page]:
        name, arguments, start = run(command)
        options = dict(pairwise(arguments))
        if {"--help", "--dry_run"} & {name, *arguments} or name == "plan":
            continue
        if name == "answer" and "--output" not in options:
            continue
        pattern = WRITES[name].format(*arguments, output=options.get("--output"))
        written = [path for path in Path().glob(pattern) if path.stat().st_mtime_ns >= start]
        assert written, f"{command} wrote no {pattern}"


def test_the_first_command_writes_what_the_start_page_lists(quickstart):
    table = (DOCS / "start.md").read_text(encoding="utf-8").partition("| file | content |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(names) > 10
    for name in names:
        pattern = f"report{name}" if name.startswith(".") else name
        assert list((quickstart / "runs/quickstart").glob(pattern)), name


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_not_run_is_on_a_page(pattern):
    """The tests that a reason names exist."""
    assert any(fnmatchcase(line_of(command), pattern) for command in commands())
    for place in re.findall(r"tests/\S+|\.ci/\S+", NOT_RUN[pattern]):
        assert (ROOT / place).exists(), place
