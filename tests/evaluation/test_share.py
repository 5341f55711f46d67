"""Samples divided over two processes: the figures are those of one."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from showo_turbo.evaluation import Checker, EvaluationData, EvaluationPlan, ScoreCache, Share, run
from showo_turbo.evaluation.data import GatheredBatches
from showo_turbo.metrics import FID
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding

from ..support.watched_run import free_port
from .worlds import Brightness, metadata, records, shapes_bundle

NOISY = ImageSampling(token_temperature=1.0, confidence_temperature=2.0)


class Means(nn.Module):
    """Three features of an image."""

    num_features = 3

    def forward(self, images):
        return images.double().mean(dim=(2, 3))


class Fickle(Checker):
    """Likes images by their bits, so that every prompt has its own verdict."""

    def can_judge(self, prompt):
        return True

    def judge(self, pixels, prompts):
        return [bool((image > 0).sum() % 2) for image in pixels]


@cache
def bundle(seed):
    """In double precision, so that rounding tips no comparison."""
    found = shapes_bundle(seed)
    found.network.double()
    return found


def measure(photographs, scores):
    plan = EvaluationPlan(
        sampling_steps=(3,),
        guidance_scales=(0.0,),
        drivers=("block",),
        guidance_candidates=(0.0, 1.0),
        stage_sampling_steps=(2,),
        sampling=NOISY,
        teacher_samplings=(NOISY,),
        timed_texts=2,
        seed=1,  # prompts differ in variety
        checker=Fickle(),
        metrics=(Brightness(), FID(photographs, network=Means(), resolution=24)),
        decoding=TextDecoding(max_new_tokens=16),
        variety_prompts=3,
        variety_images=3,
        batch_size=2,
    )
    share = Share.of_this_process()
    images = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    student = bundle(1)
    gathered = GatheredBatches(student.image_tokenizer, share)
    for part in (slice(0, 2), slice(2, 3)):
        asked = {"pixels": images[part], "question": ["What?"] * len(images[part])}
        gathered.add({"instructions": asked | {"answer": ["It is."] * len(images[part])}})
    # Fewer questions than processes.
    asked = {"pixels": images[:1], "question": ["What?"], "benchmark": ["POPE"]}
    gathered.add({"questions": asked | {"truth": [{"label": "yes"}]}})
    data = EvaluationData(
        {"test": metadata(1)},
        choice=metadata(1, "validation")[:5],
        further={"unseen": metadata(1, "unseen_combination")[:2]},
        texts=[*gathered.texts, *records(2)],
        questions=gathered.questions,
    )
    models = {"teacher": lambda: bundle(0), "student": lambda: student}
    report = run(models, data, plan, ScoreCache(scores, share), share=share)
    found = report.to_dict()
    assert report.text[0].timed == 2 and report.text[0].timed_seconds > 0
    return {"scalars": report.scalars("val"), **found}


def without_times(found):
    if isinstance(found, dict):
        times = ("second", "commit")
        kept = {key: value for key, value in found.items() if not any(t in key for t in times)}
        return {key: without_times(value) for key, value in kept.items()}
    return [without_times(entry) for entry in found] if isinstance(found, list) else found


def close(first, second):
    """Equal, but for the order in which floats were added."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(close(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(close, first, second))
    return first == (pytest.approx(second, rel=1e-6) if isinstance(second, float) else second)


def one_of_two(rank, folder):
    """What a process of its own runs."""
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    try:
        found = measure(folder / "photographs", folder / "scores")
        (folder / f"{rank}.json").write_text(json.dumps(found))
    finally:
        distributed.destroy_process_group()


@pytest.fixture
def photographs(tmp_path):
    from PIL import Image

    folder = tmp_path / "photographs"
    folder.mkdir()
    for index in range(3):
        Image.new("RGB", (24, 24), (80 * index, 10, 200 - 40 * index)).save(folder / f"{index}.png")
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over fork and TCP")
def test_two_processes_measure_what_one_does(tmp_path, photographs, python):
    alone = without_times(measure(photographs, None))
    port = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    code = "from pathlib import Path; from tests.evaluation.test_share import one_of_two; "
    processes = [
        subprocess.Popen(
            [python, "-c", f"{code} one_of_two({rank}, Path({str(tmp_path)!r}))"],
            cwd=Path(__file__).parents[2],
            env=os.environ | port | {"OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert without_times(first) == without_times(second)
    assert close(without_times(first), json.loads(json.dumps(alone)))
    verdicts = [row["score"] for row in alone["images"]]
    distinct = [row["variety"]["distinct_of_each"] for row in alone["images"]]
    assert len(distinct) == 3 and all(len(set(of_row)) > 1 for of_row in distinct)
    assert len(set(verdicts)) > 1 and min(verdicts) > 0 and max(verdicts) < 1
    # One process goes on where two have stopped.
    kept = len(list((tmp_path / "scores").iterdir()))
    assert close(without_times(measure(photographs, tmp_path / "scores")), alone)
    assert len(list((tmp_path / "scores").iterdir())) == kept > 10


def test_a_share_alone_is_everything():
    share = Share()
    assert [*share.indices(3)] == [0, 1, 2] and share.gather("abc") == ["a", "b", "c"]
    assert share.broadcast(5) == 5 and share.is_first and not share.is_divided


def test_shares_are_disjoint_and_whole():
    shares = [Share(rank, 3) for rank in range(3)]
    assert [[*share.indices(7)] for share in shares] == [[0, 3, 6], [1, 4], [2, 5]]
    assert all(share.holds(index) for share in shares for index in share.indices(7))
