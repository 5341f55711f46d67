import dataclasses
import json

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from showo_turbo.callbacks import EvaluationTable
from showo_turbo.errors import UserError
from showo_turbo.evaluation import Report

from ..evaluation.worlds import score, text_score
from .runs import Bystander, make_trainer


class Measured(Bystander):
    """Its evaluation is there when the validation's epoch ends, as that of `ShowoTurbo`."""

    def __init__(self):
        super().__init__()
        self.evaluation_report = Report()

    def on_validation_epoch_end(self):
        self.evaluation_report = Report(
            images=[
                score("student", 4, 0.0, (8, 10)),
                score("student", 4, 1.0, (9, 10)),
                score("student", 4, 0.0, (3, 10), split="unseen_combination"),
            ],
            text=[text_score("student", "ar"), text_score("student")],
        )

    on_test_epoch_end = on_validation_epoch_end


@pytest.mark.parametrize("command", ["validate", "test"])
def test_prints_and_writes(tmp_path, capsys, command):
    trainer = make_trainer(tmp_path, EvaluationTable(), limit_val_batches=1)
    getattr(trainer, command)(Measured(), verbose=False)
    shown = capsys.readouterr().out
    for part in ("4 steps", "none", "0.800", "0.900", "unseen combination", "Jacobi", "3.00"):
        assert part in shown
    found = json.loads((tmp_path / "evaluation" / f"{command}.json").read_text())
    assert [row["score"] for row in found["images"]] == [0.8, 0.9, 0.3]
    assert found["text"][1]["tokens_per_forward"] == 3.0
    lines = (tmp_path / "evaluation" / f"{command}.csv").read_text().splitlines()
    assert lines[0].startswith("figure,model,split,steps,guidance")
    assert len(lines) > 10


def test_quiet_during_fit_unless_asked(tmp_path, capsys):
    for during_fit in (False, True):
        trainer = make_trainer(
            tmp_path, EvaluationTable(during_fit=during_fit), limit_val_batches=1
        )
        trainer.fit(Measured())
        assert ("0.800" in capsys.readouterr().out) == during_fit
    assert not (tmp_path / "evaluation").exists()


def test_a_folder_of_its_own(tmp_path):
    table = EvaluationTable(folder=tmp_path / "elsewhere")
    make_trainer(tmp_path, table, limit_val_batches=1).validate(Measured(), verbose=False)
    assert (tmp_path / "elsewhere" / "validate.json").is_file()


@pytest.mark.bad_input
def test_a_module_that_measures_nothing(tmp_path):
    with pytest.raises(UserError, match="Bystander has none"):
        make_trainer(tmp_path, EvaluationTable()).validate(Bystander(), verbose=False)


class FurtherMeasured(Measured):
    """Measured by more than the checker, beside its teacher, and by top-k."""

    def on_validation_epoch_end(self):
        clip = {"CLIPScore": 0.3125}
        unjudged = dataclasses.replace(score("student", 4), satisfied=(), metrics=clip)
        self.evaluation_report = Report(
            images=[
                dataclasses.replace(score("teacher", 16, 0.0, (9, 10)), metrics=clip),
                score("student", 4, 0.0, (8, 10)),
                dataclasses.replace(unjudged, split="coco"),
            ],
            top_k=[dataclasses.replace(score("student", 4, 0.0, (7, 10)), top_k=20)],
        )


def test_further_metrics_and_top_k(tmp_path, capsys):
    logger = TensorBoardLogger(tmp_path, name="logs")
    trainer = make_trainer(tmp_path, EvaluationTable(), limit_val_batches=1, logger=logger)
    trainer.validate(FurtherMeasured(), verbose=False)
    shown = capsys.readouterr().out
    for part in ("teacher", "0.900", "CLIPScore", "0.3125", "top-k", "20", "0.700"):
        assert part in shown
    found = json.loads((tmp_path / "evaluation" / "validate.json").read_text())
    assert "score" not in found["images"][2]
    assert found["images"][2]["metrics"] == {"CLIPScore": 0.3125}
    assert found["top_k"][0]["top_k"] == 20 and found["top_k"][0]["score"] == 0.7
    lines = (tmp_path / "evaluation" / "validate.csv").read_text().splitlines()
    assert "CLIPScore,student,coco,4,0.0,,,0.3125,,,60" in lines
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert sorted(events.Tags()["images"]) == ["validate/coco", "validate/test"]
