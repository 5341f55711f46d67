"""The notebook runs; the scripts for clusters and containers are what they claim to be."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
TINY = "images, documents, trajectories, epochs = 48, 16, 4, 1"
SLURM = sorted((ROOT / "examples" / "slurm").glob("*.sbatch"))


def test_the_notebook_is_clean():
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert [cell.metadata.get("tags") for cell in cells].count(["parameters"]) == 1


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    """With few samples in place of its sizes."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (sizes,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    named = re.findall(r"^([a-z_, ]+) =", sizes.source, re.MULTILINE)
    assert sorted(", ".join(named).split(", ")) == sorted(TINY.partition(" =")[0].split(", "))
    sizes.source = TINY
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "16 guided steps [" in printed and "student in 4 steps: [" in printed
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 5
    assert (tmp_path / "runs/notebook/student/config.json").is_file()


@pytest.mark.parametrize("script", SLURM, ids=lambda path: path.stem)
def test_a_slurm_script_is_shell(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    text = script.read_text()
    assert "set -euo pipefail" in text and "#SBATCH --requeue" in text
    assert text.index("#SBATCH") < text.index("set -euo"), "Slurm reads them before any command"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Programs in place of Slurm's, which note what they were called with."""
    for name, body in {
        "srun": 'echo "srun $*" >> calls; exit "${STATUS:-0}"',
        "scontrol": 'echo "scontrol $*" >> calls',
    }.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(script, *arguments, status=0):
        variables = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "STATUS": str(status),
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_NTASKS_PER_NODE": "8",
        }
        command = ["bash", ROOT / "examples" / "slurm" / script, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True
        )
        calls = tmp_path / "calls"
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_a_distillation_is_requeued_where_time_ended_it(cluster):
    done, calls = cluster("distill.sbatch", "-c", "a.yaml", status=143)
    assert done.returncode == 0
    assert "showo-turbo fit -c a.yaml -c configs/hardware/ddp.yaml" in calls[0]
    assert "--trainer.num_nodes 2 --trainer.devices 8 --resume auto" in calls[0]
    assert calls[1:] == ["scontrol requeue 7"]


@pytest.mark.parametrize("status", [0, 2])
def test_another_end_is_the_job_s(cluster, status):
    done, calls = cluster("distill.sbatch", "-c", "a.yaml", status=status)
    assert done.returncode == status and len(calls) == 1


@pytest.mark.bad_input
def test_a_distillation_of_nothing(cluster):
    done, calls = cluster("distill.sbatch")
    assert done.returncode == 2 and "usage: sbatch" in done.stderr and not calls


def test_the_dockerfile():
    """By hadolint where it is there; and by what is copied and named."""
    path = ROOT / "examples" / "docker" / "Dockerfile"
    if linter := shutil.which("hadolint"):
        done = subprocess.run([linter, path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    lines = re.sub(r"\\\n", " ", path.read_text()).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    known = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in steps} <= known and steps[0][0] == "FROM"
    for name, rest in steps:
        if name == "COPY":
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources)
        if name in ("ENTRYPOINT", "CMD"):
            assert all(isinstance(word, str) for word in json.loads(rest))
        if name == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest and "rm -rf /var/lib/apt/lists/*" in rest
    users = [rest for name, rest in steps if name == "USER"]
    assert users and users[-1] != "root"
    image = steps[0][1]
    assert ":" in image and not image.endswith(":latest")
