import sys
from types import SimpleNamespace

import pytest

from showo_turbo.callbacks import Curriculum, StageProgressBar
from showo_turbo.callbacks.stage_progress_bar import describe_epoch
from showo_turbo.curriculum import Stage
from showo_turbo.curriculum.rounds import round_of_epoch
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges

from .runs import Bystander, make_trainer


def at(epoch, round_index):
    curriculum = Curriculum(
        [
            Stage(epochs=2, sampling=SamplingChanges(guidance_scale=1.5), image_segments=4),
            Stage(epochs=3, sampling=SamplingChanges(sampling_steps=8), image_segments=2),
        ]
    )
    curriculum.round = round_index
    return SimpleNamespace(callbacks=[object(), curriculum], current_epoch=epoch)


@pytest.mark.parametrize(
    ("epoch", "round_index", "parts"),
    [
        (0, 0, ["stage 1/2 (16 steps, guidance 1.5, 4 image and 4 text segments)", "epoch 1/2"]),
        (1, 0, ["stage 1/2", "epoch 2/2"]),
        (2, 1, ["stage 2/2 (8 steps, guidance 0", "epoch 1/3"]),
    ],
)
def test_the_stage_and_the_epoch_in_it(epoch, round_index, parts):
    shown = describe_epoch(at(epoch, round_index), ImageSampling())
    assert all(part in shown for part in parts)


def test_without_a_curriculum():
    assert (
        describe_epoch(SimpleNamespace(callbacks=[], current_epoch=4), ImageSampling()) == "epoch 5"
    )


def test_a_log_has_a_line_for_each_epoch(tmp_path, capsys):
    trainer = make_trainer(tmp_path, StageProgressBar(), enable_progress_bar=True, max_epochs=2)

    class Logging(Bystander):
        def training_step(self, batch, batch_index):
            self.log("loss", 12.586845397949219, prog_bar=True)
            return super().training_step(batch, batch_index)

    trainer.fit(Logging())
    printed = capsys.readouterr()
    assert "\r" not in printed.out + printed.err
    first, second = [line for line in printed.out.splitlines() if line.startswith("epoch")]
    assert first.startswith("epoch 1: step 2, loss 12.59, ") and first.endswith(" s")
    assert second.startswith("epoch 2: step 4, ")


def test_an_epoch_that_is_resumed_has_its_name_and_its_own_time(tmp_path, capsys):
    class Stopping(Bystander):
        def on_train_batch_end(self, *_):
            self.trainer.save_checkpoint(tmp_path / "middle.ckpt")
            self.trainer.should_stop = True

    make_trainer(tmp_path, max_epochs=1).fit(Stopping())
    capsys.readouterr()
    bar = {"enable_progress_bar": True, "max_epochs": 1}
    trainer = make_trainer(tmp_path, StageProgressBar(), **bar)
    trainer.fit(Bystander(), ckpt_path=tmp_path / "middle.ckpt", weights_only=True)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if ": step 2" in line]
    assert line.startswith("epoch 1: step 2, ")
    assert float(line.split(", ")[-1].removesuffix(" s")) < 60


class Played(Curriculum):
    """Changes stages when the real one does, and does nothing else."""

    def do_nothing(self, *_, **__):
        pass

    setup = on_fit_start = on_train_start = on_fit_end = do_nothing

    def on_train_epoch_end(self, trainer, module):
        last = len(self.rounds) - 1
        self.round = min(last, round_of_epoch(self.stages, trainer.current_epoch + 1))


def test_a_line_is_of_the_epoch_that_has_ended(tmp_path, capsys):
    """Also where the next stage has begun meanwhile."""
    played = Played([Stage(epochs=2, image_segments=4), Stage(epochs=1, image_segments=2)])
    options = {"enable_progress_bar": True, "max_epochs": 3}
    make_trainer(tmp_path, played, StageProgressBar(), **options).fit(Bystander())
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("stage")]
    assert [(line.partition(" (")[0], line.partition("), ")[2][:18]) for line in lines] == [
        ("stage 1/2", "epoch 1/2: step 2,"),
        ("stage 1/2", "epoch 2/2: step 4,"),
        ("stage 2/2", "epoch 1/1: step 6,"),
    ]


def test_it_is_the_trainers_bar(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    trainer = make_trainer(tmp_path, StageProgressBar(), enable_progress_bar=True, max_epochs=2)
    trainer.fit(Bystander())
    assert type(trainer.progress_bar_callback) is StageProgressBar
    shown = capsys.readouterr().out
    assert "epoch 1:" in shown and "epoch 2:" in shown
