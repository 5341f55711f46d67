"""What a run says to a log is of use, and comes in lines."""

import os
import shutil
import subprocess

import yaml

from ..support import counter


def test_a_log_holds_lines_and_no_noise(python, tmp_path):
    shutil.copy(counter.__file__, tmp_path)
    trainer = {
        "accelerator": "cpu",
        "max_epochs": 3,
        "default_root_dir": "run",
        "callbacks": [{"class_path": "StageProgressBar"}],
    }
    model, data = ({"class_path": f"counter.{name}"} for name in ("Counter", "Batches"))
    content = {"model": model, "data": data, "trainer": trainer}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    ended = subprocess.run(
        [python, "-m", "showo_turbo", "fit", "-c", "config.yaml"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout + ended.stderr
    assert "GPU available" in said, "what Lightning says is not all left out"
    for noise in ("Tip:", "deprecated", "FutureWarning", "in eval mode at", "\r", "\x1b"):
        assert noise not in said, noise
    assert max(map(len, said.splitlines())) < 400
    epochs = [line for line in ended.stdout.splitlines() if line.startswith("epoch")]
    assert [line.partition(",")[0] for line in epochs] == [
        "epoch 1: step 4",
        "epoch 2: step 8",
        "epoch 3: step 12",
    ]
