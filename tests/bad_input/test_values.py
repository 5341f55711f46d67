"""Values that no configuration can mean, where the classes and functions that they reach raise."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from torch import nn
from torch.optim import AdamW

from showo_turbo.callbacks import Curriculum
from showo_turbo.cli.lightning import check_trainer_options
from showo_turbo.curriculum import Stage
from showo_turbo.data import DistillationBatchSizes, DistillationDataModule
from showo_turbo.data.bad_samples import BadSamples
from showo_turbo.data.loader import LoaderOptions
from showo_turbo.errors import UserError
from showo_turbo.losses import ImageRegularizer
from showo_turbo.models.showo import ShowoConfig
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.training import ShowoTurbo
from showo_turbo.training.loss_checks import check_losses
from showo_turbo.training.optimization import optimizer_and_schedule
from showo_turbo.trajectories.segments import check_segments

from .bench import table

pytestmark = pytest.mark.bad_input

NAN = float("nan")
SIZES = ShowoConfig(codebook_size=64, image_tokens=16)
TRAINER = {
    "default_root_dir": None,
    "accumulate_grad_batches": 1,
    "overfit_batches": 0.0,
    "gradient_clip_val": None,
}


@dataclass(frozen=True)
class Value:
    """A wrong value, what raises on it, and what the message says."""

    name: str
    value: str
    expected: str
    remedy: str
    use: Callable[[], object]


def stage(**changes):
    return lambda: Stage(**({"epochs": 1} | changes))


def sampling(**changes):
    return lambda: ImageSampling(**changes).check(SIZES)


def decoding(**changes):
    return lambda: TextDecoding(**changes).check()


def data(**changes):
    return lambda: DistillationDataModule(16, **changes)


def batches(**sizes):
    return data(batch_sizes=DistillationBatchSizes(**sizes))


def trainer(**changes):
    return lambda: check_trainer_options(TRAINER | changes)


def losses(**terms):
    return lambda: check_losses(terms)


def adam(**options):
    return lambda: optimizer_and_schedule(nn.Linear(1, 1), partial(AdamW, **options), None)


VALUES = [
    Value("no stage", "no stages", "at least one", "give", lambda: Curriculum([])),
    Value(
        "no segment",
        "image_segments is 0",
        "at least 1",
        "correct the stage",
        stage(image_segments=0),
    ),
    Value(
        "no text segment",
        "text_segments is 0",
        "at least 1",
        "correct the stage",
        stage(text_segments=0),
    ),
    Value(
        "no trajectory",
        "image_trajectories is 0",
        "at least 1",
        "correct the stage",
        stage(image_trajectories=0),
    ),
    Value(
        "refresh below 0",
        "refresh_every_n_epochs is -1",
        "0 or more",
        "correct the stage",
        stage(refresh_every_n_epochs=-1),
    ),
    Value(
        "rate below 0",
        "learning_rate is -1",
        "above 0",
        "correct the stage",
        stage(learning_rate=-1.0),
    ),
    Value(
        "rate NaN", "learning_rate is nan", "above 0", "correct the stage", stage(learning_rate=NAN)
    ),
    Value(
        "steps of nothing",
        "no lr_scheduler",
        "name one",
        "leave lr_interval out",
        stage(lr_interval="step"),
    ),
    Value("no steps", "steps is 0", "at least 1", "set the number", lambda: check_segments(0, 1)),
    Value(
        "endless steps",
        "steps is 1000000000000",
        "at most 32,767",
        "set the number",
        lambda: check_segments(10**12, 1),
    ),
    Value(
        "segments", "3 segments", "do not divide 4 steps", "choose", lambda: check_segments(4, 3)
    ),
    Value(
        "guidance below 0",
        "guidance_scale is -1",
        "0 or more",
        "must",
        sampling(guidance_scale=-1.0),
    ),
    Value(
        "guidance NaN", "guidance_scale is nan", "0 or more", "must", sampling(guidance_scale=NAN)
    ),
    Value("no block", "block_size is 0", "at least 1", "must", decoding(block_size=0)),
    Value("no new token", "max_new_tokens is 0", "at least 1", "must", decoding(max_new_tokens=0)),
    Value("batch below 0", "'image': -1", "at least 1", "0 for those", batches(image=-1)),
    Value(
        "no batch",
        "'image': 0",
        "at least 1 for one",
        "0 for those to leave out",
        batches(image=0, text=0, language=0),
    ),
    Value(
        "no batch to measure", "val_batch_size is 0", "at least 1", "set it", data(val_batch_size=0)
    ),
    Value("no epoch", "samples_per_epoch is 0", "at least 1", "set it", data(samples_per_epoch=0)),
    Value(
        "workers",
        "num_workers is -1",
        "0 or more",
        "set it so",
        lambda: LoaderOptions(num_workers=-1),
    ),
    Value(
        "bad samples",
        "max_bad_samples is -1",
        "0 or more",
        "leaves out",
        lambda: BadSamples(-1, Path()),
    ),
    Value(
        "language",
        "max_language_length is 1",
        "at least 2",
        "set it so",
        lambda: ShowoTurbo(max_language_length=1),
    ),
    Value(
        "negative weight",
        "ImageRegularizer is -1",
        "0 or more",
        "correct it",
        lambda: ImageRegularizer(weight=-1.0),
    ),
    Value(
        "no weight", "(mine) are 0", "above 0", "set it", losses(mine=ImageRegularizer(weight=0.0))
    ),
    Value("no term", "there are none", "above 0", "set it", losses()),
    Value(
        "name of the sum",
        "losses.loss has the name of the sum",
        "train/loss",
        "give the term another",
        losses(loss=ImageRegularizer()),
    ),
    Value(
        "optimizer",
        "Invalid learning rate: -1.0",
        "the optimizer cannot be made",
        "correct its options",
        adam(lr=-1.0),
    ),
    Value(
        "clip NaN",
        "gradient_clip_val is nan",
        "0 or more",
        "null not to clip",
        trainer(gradient_clip_val=NAN),
    ),
    Value(
        "accumulate none",
        "accumulate_grad_batches is 0",
        "a whole number from 1",
        "such as 1",
        trainer(accumulate_grad_batches=0),
    ),
    Value(
        "a file for the run",
        f"default_root_dir: {__file__} is a file",
        "the folder of the run",
        "name another",
        trainer(default_root_dir=Path(__file__)),
    ),
    *(
        Value(
            f"{address} for the run",
            f"default_root_dir: {address} is an address",
            "a folder of this machine",
            "name it",
            trainer(default_root_dir=address),
        )
        for address in ("s3://bucket/run", "memory://run", "gs://bucket")
    ),
    Value(
        "the same batches",
        "overfit_batches is 0.5",
        "leave it out",
        "set data.init_args.samples_per_epoch",
        trainer(overfit_batches=0.5),
    ),
]


@table(VALUES)
def test_a_value_is_refused(case):
    with pytest.raises(UserError) as raised:
        case.use()
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    for part in (case.value, case.expected, case.remedy):
        assert part in message
