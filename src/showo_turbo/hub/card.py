"""The model card of a run: what the model is, how it was trained, what was measured."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, shown
from ..inference.model_card import CARD_FILE
from ..models.checkpoints import read_config
from ..models.registry import ARCHITECTURE_KEY
from ..utils.text_files import ENCODING
from ..viz.page import read_run

GRID = "grid.png"
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def check_license(name: str | None) -> None:
    """Raise on what the hub does not take for a licence.

    Raises:
        UserError: If it is not an identifier such as `apache-2.0`.
    """
    if name is not None and not _LICENSE.fullmatch(name):
        raise UserError(
            f"license is {shown(name)}; expected an identifier of the hub, such as apache-2.0, "
            "cc-by-sa-4.0 or other, name one"
        )


def run_card(model: Path, run: Path | None, name: str, license: str | None = None) -> str:
    """The model card of a model folder, with the figures of the run that it comes from.

    Args:
        model: The model folder.
        run: The run's folder; None if it is not known.
        name: What the model is called on the hub.
        license: Its licence, an identifier of the hub; not stated if None.

    Raises:
        UserError: If a file of the run is damaged.
    """
    own = model / CARD_FILE
    text = own.read_text(encoding=ENCODING) if own.is_file() else f"# {name.partition('/')[2]}\n"
    found = _FRONT_MATTER.match(text)
    front = found[1].splitlines() if found else ["library_name: showo-turbo"]
    body = text[found.end() :] if found else text
    front = [line for line in front if not line.startswith("license:")]
    if license is not None:
        front.append(f"license: {license}")
    front += ["tags:", f"- {_architecture(model)}", "- consistency-distillation"]
    parts = ["---\n" + "\n".join(front) + "\n---\n" + body.replace("<this folder>", name).strip()]
    if run is not None:
        parts += _sections(run)
    stated = f"The licence is {license}." if license else "The licence is not stated."
    parts.append(f"## Licence\n\n{stated}")
    return "\n\n".join(parts) + "\n"


def _architecture(model: Path) -> str:
    """What the hub's users search for: the architecture's name in lower case."""
    return str(read_config(model).get(ARCHITECTURE_KEY, "Showo")).lower()


def _sections(run: Path) -> list[str]:
    """How the model was trained, and what was measured, as far as the run's folder says."""
    sections = []
    stages = _stages(read_run(run, run.name).config) if _is_run(run) else []
    if stages:
        header = "| stage | epochs | segments of images | segments of texts | teacher's sampling |"
        lines = [header, "|---|---|---|---|---|", *stages]
        sections.append(
            "## How it was trained\n\nBy consistency distillation (Show-o Turbo, "
            "[arXiv 2502.05415](https://arxiv.org/abs/2502.05415)), stage by stage:\n\n"
            + "\n".join(lines)
        )
    if (run / GRID).is_file():
        sections.append(
            "## Images\n\nThe same prompts and seeds by teacher and student. Green frames: a "
            "checker finds the prompt satisfied; red: it does not; gray: not judged.\n\n"
            f"![Images by teacher and student]({GRID})"
        )
    if (run / "report.md").is_file():
        figures = (run / "report.md").read_text(encoding=ENCODING).strip()
        sections.append(f"## Figures\n\n{figures}")
    return sections


def _is_run(folder: Path) -> bool:
    return (folder / "report.json").is_file() or any(folder.rglob("events.out.tfevents.*"))


def _stages(config: Mapping[str, Any]) -> list[str]:
    """A row of each stage of the configuration's `Curriculum`."""
    callbacks = (config.get("trainer") or {}).get("callbacks") or []
    rows = []
    for entry in callbacks if isinstance(callbacks, list) else [callbacks]:
        if str(entry.get("class_path", "")).rpartition(".")[2] != "Curriculum":
            continue
        for number, stage in enumerate(entry["init_args"]["stages"], start=1):
            sampling = {k: v for k, v in (stage.get("sampling") or {}).items() if v is not None}
            cells = [
                number,
                stage.get("epochs", ""),
                stage.get("image_segments", ""),
                stage.get("text_segments", ""),
                ", ".join(f"{key} {value}" for key, value in sampling.items()),
            ]
            rows.append("| " + " | ".join(map(str, cells)) + " |")
    return rows
