"""A job of Slurm that is to be started again."""

import os
import subprocess
import sys


def requeue_job() -> None:
    """Have Slurm start this job again, which ends it; say so where Slurm does not."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    print(f"showo-turbo: Slurm is asked to start job {job} again", file=sys.stderr, flush=True)
    command = ["scontrol", "requeue", job]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        reason = " ".join(ended.stderr.split()) if ended.returncode else ""
    except OSError as error:
        reason = str(error)
    if reason:
        print(f"showo-turbo: it does not ({reason}); submit it again", file=sys.stderr, flush=True)
