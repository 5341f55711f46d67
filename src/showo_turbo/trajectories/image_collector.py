"""Collecting the teacher's image trajectories."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.options import check_seed, seed_of_each
from ..sampling.parallel import denoise_images
from ..utils.random import stateless_seed
from .collection import (
    ALONE,
    Processes,
    ShardContent,
    batches,
    check_items,
    check_positive,
    collect,
    store_identity,
)
from .manifest import StoreIdentity
from .model_identity import ModelIdentity
from .record import ImageTrajectory
from .recorder import StateRecorder
from .segments import check_segments
from .shards import pack_images
from .source import Collecting, ImageSource
from .store import TrajectoryStore


class ImagePrompt(NamedTuple):
    """A prompt to collect an image trajectory for.

    Attributes:
        key: Its name in its data set.
        text: What it says.
        ids: Its ids, as `encode_prompt` gives them.
    """

    key: str
    text: str
    ids: Sequence[int]


@dataclass(frozen=True)
class ImageCollection:
    """How image trajectories are collected.

    Args:
        sampling: How the teacher samples: its steps `K`, its guidance, which the student learns to
            do without, and so on. With the likeliest tokens, and no noise on the order of revealing
            or one draw of it for all images (`shared_noise_seed`), a trajectory is a function of
            its prompt, which is what a student can learn in few steps.
        segments: Equal segments at whose ends the teacher's distributions are recorded; they divide
            the steps. Training cuts the trajectory into so many, or into a divisor of it.
        topk_targets: How many of the most probable codes of a distribution are recorded. With 1 the
            regularizer's target is the code that greedy decoding chose: a student then follows the
            choice where the teacher was undecided, instead of being as undecided itself, and
            parallel tokens agree with each other sooner.
        seed: Of what every trajectory draws for itself, if the sampling says that it does.
        source: What generates the images; by default the teacher, as `sampling` says. Such as
            `Sampled`, `Mixed`, `FirstAccepted`, or an `ImageSource` of your own.
        batch_size: Prompts decoded at once, of a shard those of about equal length. It changes no
            more than the rounding of floating-point numbers, and is not part of a store's identity.
        shard_size: Prompts that go into a shard: what an interruption costs at most.

    Raises:
        UserError: If a value is out of range or the segments do not divide the steps.
    """

    sampling: ImageSampling = field(default_factory=ImageSampling)
    segments: int = 4
    topk_targets: int = 16
    seed: int = 0
    batch_size: int = 32
    shard_size: int = 256
    source: ImageSource | None = None

    def __post_init__(self) -> None:
        check_segments(self.sampling.sampling_steps, self.segments)
        check_positive(self, "topk_targets", "batch_size", "shard_size")
        check_seed(self.seed)
        if self.sampling.revise_below > 0:
            raise UserError(
                f"revise_below is {self.sampling.revise_below}, but a trajectory has one step that "
                "reveals a token; leave it out where trajectories are collected"
            )

    def check(self, model: ImageModel, captions: Sequence[str] = ()) -> None:
        """Raise on what a model cannot do.

        Args:
            model: Of the architecture and size that generates.
            captions: What to generate.

        Raises:
            UserError: Naming the value and its range.
        """
        if self.source is None:
            self.sampling.check(model.config)
        else:
            self.source.check(self, model, captions)


def image_identity(
    teacher: str,
    prompts: Sequence[ImagePrompt],
    settings: ImageCollection,
    model: ModelIdentity = ModelIdentity(),
    base: str | None = None,
) -> StoreIdentity:
    """Return what determines a store of image trajectories.

    Args:
        teacher: The teacher's `fingerprint_module`.
        prompts: All prompts of the collection, in order.
        settings: How they are collected.
        model: What the teacher is, apart from its weights.
        base: Fingerprint of the model that the run started from, where the source samples it.
    """
    rows = ([prompt.key, prompt.text, list(prompt.ids)] for prompt in prompts)
    recorded = asdict(replace(settings, sampling=settings.sampling.resolved, source=None))
    del recorded["source"]
    if settings.source is not None:
        recorded["source"] = settings.source.identity()
        if settings.source.needs_base:
            recorded["base"] = base
    return store_identity("images", teacher, rows, len(prompts), recorded, model)


def collect_images(
    teacher: ImageModel,
    prompts: Sequence[ImagePrompt],
    settings: ImageCollection,
    store: TrajectoryStore,
    processes: Processes = ALONE,
    progress: bool = True,
    *,
    base: ImageModel | None = None,
    decode: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | None = None,
) -> TrajectoryStore:
    """Decode images as the settings say and record how; continue what an earlier run began.

    Args:
        teacher: The network to record.
        prompts: All prompts, the same in every process.
        settings: How to collect.
        store: Begun with the `image_identity` of these arguments.
        processes: Who shares the work.
        progress: Whether to show a progress bar.
        base: The model that the run started from, for sources that generate with it.
        decode: Turns codes into pixels, for sources that look at them.
        device: Where the teacher decodes; it is brought there if anything is left to collect. By
            default it stays where it is.

    Returns:
        The finished store.

    Raises:
        UserError: If there are no prompts, the store is another's, or the settings do not fit the
            teacher.
    """
    check_items(store, "images", prompts, settings.shard_size)
    networks = {"teacher": teacher} | ({} if base is None else {"base": base})
    collecting = Collecting(networks, settings, decode, prompts)

    def draw(batch: Sequence[int]) -> Sequence[ImageTrajectory | None]:
        asked = [prompts[index] for index in batch]
        seeds = [stateless_seed(settings.seed, index, stream="image") for index in batch]
        if settings.source is None:
            return record_images(teacher, asked, settings, seeds)
        return settings.source.draw(collecting, asked, seeds)

    def make_shard(indices: range, advance: Callable[[int], None]) -> ShardContent:
        drawn: dict[int, ImageTrajectory | None] = {}
        for batch in batches(indices, settings.batch_size, lambda i: len(prompts[i].ids)):
            drawn |= zip(batch, draw(batch), strict=True)
            advance(len(batch))
        records = [record for index in indices if (record := drawn[index]) is not None]
        mass = torch.cat([torch.zeros(0), *(record.kept_mass for record in records)]).double()
        totals = {"positions": mass.numel(), "kept_mass": round(float(mass.sum()), 3)}
        rejected = len(drawn) - len(records)
        filtered = {"rejected": rejected} if rejected else {}
        with torch.autocast("cpu", enabled=False):  # under it float16 cannot be stacked
            tensors = pack_images(records, teacher.config.image_tokens)
            return ShardContent(tensors, len(records), filtered, totals)

    return collect(teacher, store, make_shard, processes, progress, device)


@torch.no_grad()
def record_images(
    teacher: ImageModel,
    prompts: Sequence[ImagePrompt],
    settings: ImageCollection,
    seeds: Sequence[int] | None = None,
    known: Tensor | None = None,
    done: int = 0,
) -> list[ImageTrajectory]:
    """Decode one batch of prompts and record the trajectories.

    Args:
        teacher: The network to record, in evaluation mode.
        prompts: The batch.
        settings: How to collect.
        seeds: One per prompt, for its random draws; see `denoise_images`.
        known: `(batch, image_tokens)` codes to start from, `mask_code` where unknown; recorded as
            state `done`.
        done: Steps that are left out at the beginning; the states before have no token yet.

    Raises:
        UserError: If the settings do not fit the teacher.
    """
    recorder = StateRecorder(
        teacher.mask_code,
        teacher.mask_code,
        settings.sampling.sampling_steps,
        settings.segments,
        settings.topk_targets,
    )
    if known is not None:
        recorder.begin(known, done)
    ids = [prompt.ids for prompt in prompts]
    seeds = seed_of_each(seeds, len(prompts))
    for step in denoise_images(teacher, ids, settings.sampling, seeds, known, done):
        recorder.add(step)
    return [
        ImageTrajectory(
            key=prompt.key,
            prompt=prompt.text,
            prompt_ids=torch.tensor(list(prompt.ids), dtype=torch.int32),
            noise_seed=seed,
            **recorder.states(sample),
        )
        for sample, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
    ]
