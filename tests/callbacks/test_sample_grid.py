from types import SimpleNamespace

import numpy as np
import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from showo_turbo.callbacks import SampleGrid
from showo_turbo.callbacks.sample_grid import log_picture
from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling

from .runs import Bystander, make_trainer, turbo_data

TWO_STEPS = (ImageSampling(sampling_steps=2), ImageSampling(sampling_steps=1, guidance_scale=1.0))
PROMPTS = ["a red circle", "two squares"]


@pytest.mark.parametrize("name", ["student", "model"])
def test_every_so_many_epochs(tmp_path, name):
    grid = SampleGrid(PROMPTS, every_n_epochs=2, samplings=TWO_STEPS)
    make_trainer(tmp_path, grid, max_epochs=5).fit(Bystander(name=name))
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["epoch-0002.png", "epoch-0004.png"]
    with Image.open(tmp_path / "samples" / names[0]) as image:
        image.verify()


def test_tensorboard_gets_the_picture(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="logs")
    grid = SampleGrid(PROMPTS, samplings=TWO_STEPS)
    make_trainer(tmp_path, grid, logger=[logger, CSVLogger(tmp_path)]).fit(Bystander())
    events = EventAccumulator(logger.log_dir).Reload()
    (event,) = events.Images("samples")
    assert event.step == 2
    assert event.width > 2 * 96 and event.height > 2 * 96


def test_prompts_of_the_data_are_judged(tmp_path):
    data = turbo_data(tmp_path)
    data.prepare_data()
    grid = SampleGrid(samplings=TWO_STEPS)
    module = Bystander()
    trainer = make_trainer(tmp_path, grid)
    trainer.datamodule = data
    grid.on_fit_start(trainer, module)
    assert len(grid.prompts) == 6 and "a " in grid.prompts[0]
    columns = grid._draw(trainer, module, grid.prompts)
    assert all(len(column.satisfied) == 6 for column in columns)


def test_own_prompts_are_not_judged(tmp_path):
    grid = SampleGrid(PROMPTS, samplings=TWO_STEPS)
    trainer, module = make_trainer(tmp_path, grid), Bystander()
    (first, _) = grid._draw(trainer, module, PROMPTS)
    (again, _) = grid._draw(trainer, module, PROMPTS)
    assert first.satisfied is None
    assert np.array_equal(first.pixels, again.pixels), "the same prompts, the same seeds"


def test_training_goes_on_in_training_mode(tmp_path):
    module = Bystander()
    module.student.train()
    grid = SampleGrid(PROMPTS, samplings=TWO_STEPS)
    grid._draw(make_trainer(tmp_path, grid), module, PROMPTS)
    assert module.student.training


def test_loggers_that_take_pictures_themselves():
    logged = []
    weights_and_biases = SimpleNamespace(
        experiment=object(), log_image=lambda **options: logged.append(options)
    )
    picture = np.zeros((4, 4, 3), np.uint8)
    log_picture(weights_and_biases, "samples", picture, 7)
    assert logged[0]["key"] == "samples" and logged[0]["step"] == 7
    log_picture(SimpleNamespace(experiment=object()), "samples", picture, 7)  # passed over


def test_the_module_s_own_sampling_in_so_many_steps(tmp_path):
    module = Bystander()
    grid = SampleGrid(PROMPTS, sampling_steps=(3, 1))
    assert grid._samplings(module) == [ImageSampling(3), ImageSampling(1)]
    module.sampling = ImageSampling(8, 1.0, top_k=5)
    assert grid._samplings(module) == [
        ImageSampling(3, 1.0, top_k=5),
        ImageSampling(1, 1.0, top_k=5),
    ]
    assert SampleGrid(PROMPTS, samplings=TWO_STEPS)._samplings(module) == TWO_STEPS


def test_samplings_from_yaml():
    parser = ArgumentParser()
    parser.add_class_arguments(SampleGrid, "grid")
    given = {"samplings": [{"sampling_steps": 4}, {"sampling_steps": 16, "guidance_scale": 1.5}]}
    found = parser.instantiate_classes(parser.parse_object({"grid": given})).grid
    assert [(s.sampling_steps, s.guidance_scale) for s in found.samplings] == [(4, 0.0), (16, 1.5)]


@pytest.mark.bad_input
def test_bad_input(tmp_path):
    with pytest.raises(UserError, match="every_n_epochs is 0"):
        SampleGrid(PROMPTS, every_n_epochs=0)
    with pytest.raises(UserError, match="no prompts"):
        SampleGrid([])
    with pytest.raises(UserError, match="no prompts"):
        make_trainer(tmp_path, SampleGrid()).fit(Bystander())
    with pytest.raises(UserError, match="steps is 99"):
        grid = SampleGrid(PROMPTS, samplings=(ImageSampling(sampling_steps=99),))
        make_trainer(tmp_path, grid).fit(Bystander())
    with pytest.raises(UserError, match="has none"):
        make_trainer(tmp_path, SampleGrid(PROMPTS)).fit(Bystander(name="other"))
    assert not (tmp_path / "samples").exists()
