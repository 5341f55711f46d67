"""The prompts of the paper's protocols, and overlays that are parsed over its configurations."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from showo_turbo.cli.main import main
from showo_turbo.data import PromptFile
from showo_turbo.errors import UserError

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "show_o_turbo"
OVERLAYS = sorted(path.name for path in RECIPE.glob("*.yaml"))


@pytest.fixture
def coco_prompts(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    yield import_module("coco_prompts")
    sys.modules.pop("coco_prompts")


@pytest.fixture
def captions(tmp_path):
    """Six pictures with two captions each, the later one listed first."""
    entries = [
        {"image_id": n, "id": 10 * n + k, "caption": f" caption {k}\nof {n} "}
        for n in range(6)
        for k in (1, 0)
    ]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"images": [], "annotations": entries}))
    return path


def test_a_caption_of_each_picture(coco_prompts, captions, tmp_path, capsys):
    arguments = ["--captions", str(captions), "--count", "4", "--output", str(tmp_path / "p.jsonl")]
    coco_prompts.main(arguments)
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len({row["image_id"] for row in rows}) == 4
    assert all(row["prompt"] == f"caption 0 of {row['image_id']}" for row in rows)
    assert len(PromptFile(tmp_path / "p.jsonl", None)) == 4
    before = (tmp_path / "p.jsonl").read_text()
    coco_prompts.main(arguments)
    assert (tmp_path / "p.jsonl").read_text() == before
    assert coco_prompts.choose(captions, 4, seed=1) != rows


@pytest.mark.bad_input
def test_too_few_pictures(coco_prompts, captions):
    with pytest.raises(UserError, match="captions of 6 images"):
        coco_prompts.choose(captions, 30000, seed=0)


def test_the_overlays_are_found():
    assert OVERLAYS == ["coco_fid.yaml", "geneval.yaml", "hpd.yaml", "questions.yaml", "top_k.yaml"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_fits_over_the_paper_s_configuration(name, capsys):
    over = ["turbo.yaml", "turbo_256.yaml"]
    files = [*(ROOT / "configs" / one for one in over), RECIPE / "geneval.yaml", RECIPE / name]
    with pytest.raises(SystemExit) as ended:
        main(
            ["validate", *(part for path in files for part in ("-c", str(path))), "--print_config"]
        )
    assert ended.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    wanted = yaml.safe_load((RECIPE / name).read_text())["model"]["init_args"]["evaluation"]
    found = config["model"]["init_args"]["evaluation"]
    assert list(found["tables"]) == wanted["tables"]
    kinds = [entry["class_path"] for entry in wanted.get("metrics", ())]
    assert [entry["class_path"] for entry in found["metrics"]][: len(kinds)] == kinds
