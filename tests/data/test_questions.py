from pathlib import Path

import pytest
import torch

from showo_turbo.data.questions import QuestionFiles
from showo_turbo.errors import BadSample, UserError
from showo_turbo.metrics import MME, MMMU, POPE

from .benchmarks import write_mme, write_mmmu, write_pope

RED, BLUE = torch.tensor([1.0, -1.0, -1.0]), torch.tensor([-1.0, -1.0, 1.0])


def opened(files, **options):
    files = {name: Path(value) if "/" in value else value for name, value in files.items()}
    return QuestionFiles(**files).open(16, **options)


def colors(questions):
    items = [questions[index] for index in range(len(questions))]
    assert all(item["pixels"].shape == (3, 16, 16) for item in items)
    return [item["pixels"][:, 8, 8].tolist() for item in items]


def test_pope_is_asked_about_its_images(tmp_path):
    questions = opened(write_pope(tmp_path))
    assert colors(questions) == [RED.tolist(), BLUE.tolist()]
    assert questions[0]["question"] == "Is there a square?"
    metric = POPE()
    metric.update(["yes", "yes"], [questions[index]["truth"] for index in (0, 1)])
    assert float(metric.compute()) == 0.5


def test_mme_brings_its_images_along(tmp_path):
    questions = opened(write_mme(tmp_path / "MME"))
    assert colors(questions) == [RED.tolist()] * 2
    metric = MME()
    metric.update(["Yes", "Yes"], [questions[index]["truth"] for index in (0, 1)])
    assert float(metric.compute()) == 50


def test_mmmu_shows_options_and_the_first_image(tmp_path):
    questions = opened(write_mmmu(tmp_path / "MMMU"))
    assert colors(questions) == [BLUE.tolist()] * 2
    assert questions[0]["question"].splitlines() == [
        "Which color has ?",
        "(A) red",
        "(B) blue",
        "Answer with the option's letter.",
    ]
    assert questions[1]["question"] == "How many squares?"
    metric = MMMU()
    metric.update(["(B)", "8"], [questions[index]["truth"] for index in (0, 1)])
    assert float(metric.compute()) == 0.5


def test_mmmu_is_read_split_by_split(tmp_path):
    files = write_mmmu(tmp_path / "MMMU")
    write_mmmu(tmp_path / "MMMU" / "more")  # subjects anywhere below, here as more/Art
    assert len(opened(files)) == 4
    one = tmp_path / "MMMU" / "Art" / "validation-00000-of-00001.parquet"
    assert len(opened(files | {"path": str(one)})) == 2
    one.rename(one.with_name("dev-00000-of-00001.parquet"))
    assert len(opened(files)) == 2 == len(opened(files | {"split": "dev"}))


@pytest.mark.bad_input
def test_hidden_answers_are_refused(tmp_path):
    files = write_mmmu(tmp_path / "MMMU")
    with pytest.raises(UserError, match=r"validation_Art_1 in .* is hidden .*choose the split val"):
        opened(files | {"split": "test"})


def test_questions_without_an_image_can_be_left_out(tmp_path):
    files = write_mmmu(tmp_path / "MMMU", image_1=None)
    with pytest.raises(BadSample, match=r"validation_Art_2 in .* has no image"):
        opened(files)
    left_out = []
    assert len(opened(files, skip=left_out.append)) == 1 == len(left_out)


@pytest.mark.bad_input
def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="expected the folder of its images"):
        QuestionFiles("POPE", tmp_path)
    with pytest.raises(UserError, match="images of MME is"):
        QuestionFiles("MME", tmp_path, tmp_path)
    with pytest.raises(UserError, match="holds no questions of the split 'validation'"):
        QuestionFiles("MMMU", tmp_path).open(16)
    damaged = {"bytes": b"no picture", "path": "1.png"}
    questions = opened(write_mmmu(tmp_path / "MMMU", image_1=damaged))
    with pytest.raises(BadSample, match=r"the image of validation_Art_2 in .* cannot be read"):
        questions[1]
