"""A model family outside of the package, through the ordinary commands by its class path."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from showo_turbo.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "extend"
FAMILY = "own_family.LabelMaskGIT"
NAMES = ("own_family", "own_captions", "train_own_family")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A working directory with the examples, a tiny base, and a YAML file that makes runs short."""
    folder = tmp_path_factory.mktemp("own_family")
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        import train_own_family

        train_own_family.train_base(
            folder / "own_family", steps=2, batch_size=4, hidden_size=16, layers=1, heads=2
        )
    shutil.copy(EXAMPLES.parents[1] / "configs/quickstart.yaml", folder / "base.yaml")
    callbacks = yaml.safe_load((folder / "own_family.yaml").read_text())["trainer"]["callbacks"]
    (stage,) = callbacks[0]["init_args"]["stages"]
    del stage["lr_scheduler"]
    stage |= {"epochs": 2, "image_trajectories": 8, "sampling": {"sampling_steps": 4}}
    callbacks[1]["init_args"]["dirpath"] = "run/checkpoints"
    tiny = {
        "data": {"init_args": {"batch_sizes": {"image": 4}, "prompts_per_category": 2}},
        "trainer": {
            "default_root_dir": "run",
            "callbacks": callbacks,
            "enable_progress_bar": False,
        },
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    yield folder
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def here(base, monkeypatch):
    monkeypatch.chdir(base)
    monkeypatch.setattr(sys, "path", [str(base), *(entry for entry in sys.path if entry)])
    return base


def lightning(command, *options):
    files = [part for name in ("base", "own_family", "tiny") for part in ("-c", f"{name}.yaml")]
    main([command, *files, *map(str, options)])


def mistake(capsys, *arguments):
    """The one line of a user's mistake."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


MODEL = ["--model", "own_family/base", "--family", FAMILY]
CAPTIONS = ["--captions", "own_captions.CaptionLines", "--captions.file", "own_family/labels.txt"]


def test_it_is_collected_from_distilled_validated_drawn_from_and_exported(here, capsys):
    sampling = ["--images.sampling.sampling_steps", "4", "--images.sampling.guidance_scale", "1"]
    main(["collect", "stores", *MODEL, *CAPTIONS, "--num_images", "8", *sampling])
    manifest = json.loads((here / "stores/images/manifest.json").read_text())["identity"]
    assert manifest["model"]["family"] == "label_maskgit"
    assert manifest["model"]["text_vocabulary_size"] == 0

    lightning("fit", "--trainer.check_val_every_n_epoch", 1)
    config = json.loads((here / "run/student/config.json").read_text())
    assert config["_class_name"] == "LabelMaskGIT"
    assert not (here / "run/student/tokenizer.json").exists()

    lightning("validate", "--model.init_args.student", "run/student")
    table = json.loads((here / "run/evaluation/validate.json").read_text())
    assert {row["steps"] for row in table["images"]} == {4, 2}

    main(["export", "run/checkpoints/last.ckpt", "exported", "--family", FAMILY])
    import own_family

    student = own_family.LabelMaskGIT.from_pretrained(here / "run/student").state_dict()
    exported = own_family.LabelMaskGIT.from_pretrained(here / "exported").state_dict()
    untrained = own_family.LabelMaskGIT.from_pretrained(here / "own_family/base").state_dict()
    assert all(torch.equal(exported[name], value) for name, value in student.items())
    assert not all(torch.equal(untrained[name], value) for name, value in student.items())

    draw = ["generate", "a red circle", "--model", "exported", "--family", FAMILY]
    main([*draw, "--output", "drawn", "--sampling_steps", "2"])
    assert (here / "drawn/00000.png").is_file()


def test_guidance_is_against_the_label_of_none(here):
    from own_family import LabelMaskGIT

    from showo_turbo.sampling.image_sampling import ImageSampling
    from showo_turbo.sampling.parallel import denoise_images

    model = LabelMaskGIT.from_pretrained(here / "own_family/base").eval()
    masked = torch.full((1, 36), model.mask_code)
    with torch.no_grad():
        conditional, nothing = (
            model.image_logits([prompt], masked) for prompt in ([3], model.null_prompt)
        )
    step = next(denoise_images(model, [[3]], ImageSampling(2, guidance_scale=2.0)))
    torch.testing.assert_close(step.logits, 3 * conditional - 2 * nothing, rtol=1e-4, atol=1e-4)


@pytest.mark.bad_input
def test_a_class_that_is_not_named(here, capsys):
    line = mistake(capsys, "generate", "a red circle", "--output", "x", *MODEL[:2])
    assert "is of the architecture 'LabelMaskGIT'" in line and "--family" in line
    assert not (here / "x").exists()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("family", "problem"),
    [
        ("own_family.LabelMaskGIT2", "cannot be imported"),
        ("no_such_module.Mine", "cannot be imported"),
        ("own_family", "cannot be imported"),
        ("own_family.SIZES", "is not a class"),
        ("own_captions.CaptionLines", "encode_prompt, image_logits, longest_prompt"),
        ("showo_turbo.Showo", "but the family is Showo"),
    ],
)
def test_a_class_that_does_not_fit(here, capsys, family, problem):
    run = ["generate", "a red circle", "--output", "x", "--model", "own_family/base"]
    assert problem in mistake(capsys, *run, "--family", family)
    assert not (here / "x").exists()


@pytest.mark.bad_input
def test_what_it_cannot_do(here, capsys):
    draw = ["generate", "--output", "x", *MODEL]
    assert "is not one of the 300 labels" in mistake(capsys, *draw, "a pink hat")
    assert "no compiled decoding" in mistake(capsys, *draw, "a red circle", "--compile", "true")
    image = here / "image.png"
    from PIL import Image

    Image.new("RGB", (24, 24)).save(image)
    asked = mistake(capsys, "answer", image, "--question", "what is it?", *MODEL)
    assert "LabelMaskGIT does not write text" in asked
    assert not (here / "x").exists()


@pytest.mark.bad_input
def test_a_stream_of_text(here, capsys):
    files = [part for name in ("base", "own_family", "tiny") for part in ("-c", f"{name}.yaml")]
    options = [
        *("--trainer.default_root_dir", "refused"),
        *("--model.losses.text", "TextRegularizer"),
        *("--data.batch_sizes.text", "1"),
    ]
    line = mistake(capsys, "fit", *files, *options)
    assert "the stream text needs a model that writes text" in line
    assert not list((here / "refused").rglob("*.safetensors"))
