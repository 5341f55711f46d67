"""What a run has left in its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...errors import UserError, shown
from ...evaluation.image_scores import ImageScore
from ...evaluation.report import REPORT_FORMAT
from ...utils.files import read_json
from ...utils.text_files import ENCODING
from .curves import Curves, read_curves
from .logs import find_logs

_ROWS = {"text": ("model", "decoding", "n"), "abilities": ("model", "ability", "n")}
"""What every row of a table has at least."""

_ONLY_ELSEWHERE = {"verbose", "return_predictions"}
"""Options of `validate`, `test` and `predict` that `fit` does not have."""


@dataclass(frozen=True)
class Evaluation:
    """What `EvaluationTable` wrote of one command.

    Attributes:
        images: Scores by sampling steps and guidance.
        top_k: Scores by top-k.
        text: Scores of answers, as `TextScore.to_dict` gave them.
        abilities: Scores of the changing of images, as `AbilityScore.to_dict` gave them.
    """

    images: list[ImageScore]
    top_k: list[ImageScore]
    text: list[dict[str, Any]]
    abilities: list[dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """A run's folder, read.

    Attributes:
        name: What the run is called on the page.
        folder: Where it is.
        report: Its `report.json`; empty if it was not measured.
        images: The scores on the test prompts in the report.
        unseen_combinations: Those on prompts whose combination training never showed.
        evaluations: What `validate` and `test` measured, by command.
        config: The configuration that it was started with, the last one if it was resumed.
        curves: Its training curves.
    """

    name: str
    folder: Path
    report: dict[str, Any]
    images: list[ImageScore]
    unseen_combinations: list[ImageScore]
    evaluations: dict[str, Evaluation]
    config: dict[str, Any]
    curves: Curves

    def pictures(self, pattern: str) -> list[Path]:
        """Files in the folder, sorted."""
        return sorted(self.folder.glob(pattern))


def read_runs(folders: Sequence[Path], logs: Sequence[Path] = ()) -> list[Run]:
    """Read runs, each called by as much of its path as tells it from the others.

    Args:
        folders: Those of the runs.
        logs: Folders with logs that lie elsewhere, of a single run.

    Raises:
        UserError: If there is none, one is named twice, or one cannot be read.
    """
    if not folders:
        raise UserError("there are no runs to report on; name at least one run's folder")
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{folder} is named twice; name each run once")
    depth = 1
    while len({place.parts[-depth:] for place in places}) < len(places):
        depth += 1
    names = ["/".join(place.parts[-depth:]) for place in places]
    if logs and len(folders) > 1:
        raise UserError(
            f"logs are named for {len(folders)} runs; expected a single run with logs elsewhere, "
            "report each by itself"
        )
    return [read_run(folder, name, logs) for folder, name in zip(folders, names, strict=True)]


def read_run(folder: Path, name: str, elsewhere: Sequence[Path] = ()) -> Run:
    """Read a run's folder.

    Args:
        folder: Where it is.
        name: What the run is called on the page.
        elsewhere: Folders with further logs of it.

    Raises:
        UserError: If it is not a run's folder, or its report is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the folder of a run, its default_root_dir")
    logs = find_logs(folder)
    for place in elsewhere:
        if not (further := find_logs(place)):
            raise UserError(
                f"{place} holds no logs; expected those of TensorBoard, CSVLogger or MLflow, name "
                "the folder that the logger wrote to"
            )
        logs += further
    path = folder / "report.json"
    evaluations = {name: folder / "evaluation" / f"{name}.json" for name in ("validate", "test")}
    evaluations = {name: file for name, file in evaluations.items() if file.is_file()}
    if not path.is_file() and not evaluations and not logs:
        raise UserError(
            f"{folder} holds neither report.json nor logs; name the folder of a run, its "
            "default_root_dir"
        )
    report = _read_scores(path, ("images", "unseen_combinations")) if path.is_file() else {}
    measured = {name: _read_scores(file, ("images", "top_k")) for name, file in evaluations.items()}
    config = _read_config(folder, logs)
    curves = read_curves(logs, stage_epochs(config))
    return Run(
        name,
        folder,
        report,
        report.get("images", []),
        report.get("unseen_combinations", []),
        {
            name: Evaluation(found["images"], found["top_k"], found["text"], found["abilities"])
            for name, found in measured.items()
        },
        config,
        curves,
    )


def _read_scores(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read what was measured, with an `ImageScore` in place of each row under these names.

    Raises:
        UserError: If the file holds something else.
    """
    found = read_json(path)
    written = found.get("format", REPORT_FORMAT) if isinstance(found, dict) else None
    if type(written) is int and written > REPORT_FORMAT:
        raise UserError(
            f"{path} has the format {written} of a newer showo-turbo; expected at most "
            f"{REPORT_FORMAT}, update showo-turbo"
        )
    try:
        if type(written) is not int or written < 1:
            raise ValueError(f"format {shown(written)}")
        _check_rows(found)
        scores = {
            name: [ImageScore.from_dict(row) for row in found.get(name, [])] for name in names
        }
        return {"text": [], "abilities": [], **found, **scores}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} was not measured by showo-turbo ({error!r}); restore it or measure again"
        ) from None


def _check_rows(found: dict[str, Any]) -> None:
    """Raise on other lists than those that a page has tables of."""
    for name, keys in _ROWS.items():
        for row in found.get(name, []):
            missing = [key for key in keys if key not in row]
            if missing:
                raise ValueError(f"{name} lacks {', '.join(missing)}")


def stage_epochs(config: dict[str, Any]) -> list[int]:
    """How many epochs each stage of a configuration's `Curriculum` has; none without one."""
    callbacks = (config.get("trainer") or {}).get("callbacks") or []
    for entry in callbacks if isinstance(callbacks, list) else [callbacks]:
        if str(entry.get("class_path", "")).rpartition(".")[2] == "Curriculum":
            return [int(stage["epochs"]) for stage in entry["init_args"]["stages"]]
    return []


def _read_config(folder: Path, logs: Sequence[Path]) -> dict[str, Any]:
    """The newest `config.yaml` of a training, beside the logs or in the folder.

    `validate` and the like note their options too, beside logs of their own.
    """
    files = [place / "config.yaml" for place in (folder, *logs)]
    files = [file for file in files if file.is_file()]
    found: dict[str, Any] = {}
    for file in sorted(files, key=lambda file: file.stat().st_mtime):
        try:
            config = yaml.safe_load(file.read_text(encoding=ENCODING))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{file} is not a YAML file ({reason}); restore or remove it") from None
        if isinstance(config, dict) and not _ONLY_ELSEWHERE & set(config):
            found = config
    return found
