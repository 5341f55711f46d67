"""The README's main command in a reduced form, as a real process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]

STAGE = {"epochs": 1, "text_segments": 2, "image_trajectories": 8, "text_trajectories": 8}
GUIDED = {"sampling_steps": 4, "guidance_scale": 1.0}
REDUCED = {
    "trainer": {
        "callbacks": [
            {
                "class_path": "Curriculum",
                "init_args": {
                    "stages": [
                        STAGE
                        | {
                            "sampling": {"sampling_steps": 4, "guidance_scale": 1.0},
                            "image_segments": 2,
                        },
                        STAGE | {"sampling": {"sampling_steps": 2}, "image_segments": 1},
                    ],
                },
            },
            {"class_path": "StageProgressBar"},
            {"class_path": "SampleGrid"},
            {"class_path": "ExportStudent"},
            {
                "class_path": "SpeedupReport",
                "init_args": {
                    "film_strips": 1,
                    "settings": {
                        "sampling_steps": [4, 2],
                        "stage_sampling_steps": [2],
                        "guidance_candidates": [0, 1],
                        "prompts_per_category": 1,
                        "validation_prompts_per_category": 1,
                        "unseen_prompts_per_category": 1,
                        "text_records": 4,
                        "timed_texts": 1,
                        "variety_prompts": 2,
                    },
                },
            },
        ]
    }
}


@pytest.mark.slow
def test_the_quickstart_runs_from_data_to_report(tmp_path, random_shapes_model):
    (tmp_path / "reduced.yaml").write_text(yaml.safe_dump(REDUCED))
    command = [
        str(Path(sys.executable).parent / "showo-turbo"),
        "fit",
        "-c",
        str(ROOT / "configs/quickstart.yaml"),
        "-c",
        "reduced.yaml",
        "--data.init_args.shapes.images=48",
        "--data.init_args.shapes.documents=16",
        "--data.init_args.shapes.validation_images=8",
        f"--model.init_args.student={random_shapes_model}",
        f"--model.init_args.text_tokenizer={random_shapes_model}",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]

    run = tmp_path / "runs/quickstart"
    report = json.loads((run / "report.json").read_text())
    assert {row["model"] for row in report["images"]} == {"teacher", "stage1", "student"}
    assert {row["decoding"] for row in report["text"]} == {"ar", "jacobi"}
    assert set(report["seconds"]) >= {"data", "collect", "fit", "validate"}
    assert len(report["seconds"]["collect"]) == len(report["seconds"]["fit"]) == 2
    for row in report["images"]:
        assert row["n"] == 6 and row["ci95"][0] <= row["score"] <= row["ci95"][1]
        assert ("variety" in row) == (row["model"] != "stage1")
    for name in ("grid.png", "variety.png", "report.csv", "report.md", "student/config.json"):
        assert (run / name).is_file(), name
    assert list((run / "film_strips").glob("*.png"))
    assert list((run / "lightning_logs").rglob("events.out.tfevents.*"))
    shutil.rmtree(run)
