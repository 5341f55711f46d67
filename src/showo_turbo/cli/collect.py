"""`showo-turbo collect`: record a model's trajectories outside of training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console
from torch import Tensor

from ..data import (
    CaptionSource,
    DistillationBatchSizes,
    DistillationDataModule,
    QuestionSource,
    StorySource,
)
from ..data import class_folders as _class_folders  # noqa: F401  # so that its class answers
from ..data import files as _files  # noqa: F401  # to its bare name, and likewise
from ..data import shards as _shards  # noqa: F401
from ..data.bad_samples import BadSamples
from ..data.images import encode_images
from ..data.sources import required
from ..data.stories import load_pictures
from ..errors import BadSample, UserError
from ..inference import ShowoPipeline
from ..models.registry import text_model
from ..shapes import ShapesWorld
from ..shapes import stories as _stories  # noqa: F401  # likewise
from ..trajectories import (
    ImageCollection,
    Processes,
    TextCollection,
    TrajectoryCollector,
    TrajectoryStore,
    describe_store,
    fingerprint_module,
)
from ..trajectories.requests import story_requests
from ..utils.random import Permutation, stable_hash
from .command_line import run_function
from .machines import processes_of
from .model_options import ModelOptions

Entry = TypeVar("Entry")


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(
        collect,
        arguments,
        name="collect",
        nested=("images", "texts"),
        default_classes={
            "captions": "CaptionFiles",
            "instructions": "InstructionFiles",
            "stories": "StoryFiles",
        },
    )


def collect(
    output: Path,
    captions: CaptionSource | None = None,
    instructions: QuestionSource | None = None,
    shapes: ShapesWorld | None = None,
    stories: StorySource | None = None,
    num_images: int | None = None,
    num_texts: int | None = None,
    seed: int = 0,
    max_bad_samples: int = 0,
    images: ImageCollection = ImageCollection(),
    texts: TextCollection = TextCollection(),
    model: ModelOptions = ModelOptions(),
    rank: int | None = None,
    world_size: int | None = None,
) -> None:
    """Collect a model's trajectories: images for captions, answers to questions.

    Stores go to `images` and `texts` in the output folder. Interrupted, the same command continues
    where it stopped. `showo-turbo trajectories` shows what they hold, and `fit` trains on them with
    `data.init_args.trajectories`.

    Many machines can share the work: give each the same command with a `--rank` of its own, or let
    Slurm number them. They need one shared folder and do not wait for each other; the store is
    finished by whoever finds that all parts are there, and is the same as that of one command.

    Args:
        output: Folder for the stores: a new one, or that of the same command.
        captions: Captions to generate images for; their own images are not read.
            `--captions.images` and `--captions.annotations` are those of `CaptionFiles`, COCO's
            format; another source is named with `--captions my_captions.Mine`.
        instructions: Questions to answer. `--instructions.images` and `--instructions.annotations`
            are those of `InstructionFiles`, LLaVA's format; another source is named with
            `--instructions my_questions.Mine`.
        shapes: A shapes world, generated if it is not there, for what is not named.
        stories: Stories to go on with, in place of captions and questions: every image but the
            first, and every text but the request, behind the true ones before it. Such as
            `ShapesStories`.
        num_images: Captions, or images of stories, to collect for; all by default, 0 for none.
        num_texts: Questions, or texts of stories, to collect for; all by default, 0 for none.
        seed: Chooses the captions and the questions, or among those of stories.
        max_bad_samples: Bad samples (damaged images, malformed records) that are left out, and
            listed in `bad_samples.txt` in the output folder, before the command gives up.
        images: How image trajectories are collected.
        texts: How text trajectories are collected.
        model: The model.
        rank: Which part of the shards this command makes, from 0; by default SLURM_PROCID, and all
            of them where there is no Slurm.
        world_size: Number of commands that share the work; by default SLURM_NTASKS, else 1. Under
            Slurm, `--rank 0 --world_size 1` makes one command do all.
    """
    processes = processes_of(rank, world_size)
    for name, count in (("num_images", num_images), ("num_texts", num_texts)):
        if count is not None and count < 0:
            raise UserError(f"{name} is {count}; expected 0 or more")
    if stories is not None and (captions or instructions or shapes) is not None:
        raise UserError(
            "both stories and captions, instructions or a shapes world are named; collect for one "
            "kind, and leave out the other"
        )
    with_images = num_images != 0 and (captions or shapes or stories) is not None
    with_texts = num_texts != 0 and (instructions or shapes or stories) is not None
    if not with_images and not with_texts:
        raise UserError(
            "there is nothing to collect for; name captions, instructions or a shapes world, or "
            "stories"
        )
    pipeline = model.load()
    if with_texts:
        text_model(pipeline.network, "collecting answers (left out with --num_texts 0)")
    bad_samples = BadSamples(max_bad_samples, output)

    def new_collector() -> TrajectoryCollector:
        return TrajectoryCollector(
            pipeline.network,
            fingerprint_module(pipeline.network),
            pipeline.text_tokenizer,
            output,
            print,
            processes,
            fingerprint_module(pipeline.image_encoder) if with_texts else None,
        )

    if stories is not None:
        counts = (num_images, num_texts)
        stores = _of_stories(
            new_collector(), pipeline, stories, counts, images, texts, seed, bad_samples
        )
        _describe(stores, bad_samples, processes)
        return
    data = DistillationDataModule(
        pipeline.asked_resolution if with_texts else pipeline.resolution,
        DistillationBatchSizes(int(with_images), int(with_texts), language=0),
        captions=captions,
        instructions=instructions,
        seed=seed,
        shapes=shapes,
    )
    data.bad_samples = bad_samples
    data.prepare_data()
    data.setup("fit")
    # Both are read before anything is collected.
    captions_to_draw = data.image_prompts(num_images) if with_images else []
    questions = data.text_requests(num_texts) if with_texts else []
    collector = new_collector()

    def encoded(pixels: Tensor) -> Tensor:
        return pipeline.image_encoder.encode(pixels.to(pipeline.device))

    def encode(paths: Sequence[Path]) -> dict[Path, Tensor]:
        return encode_images(
            paths,
            pipeline.asked_resolution,
            encoded,
            bad_samples.skip,
            required(data.instructions, "instructions").background,
            pipeline.image_encoder.crop,
        )

    stores = []
    if with_images:
        stores.append(collector.images(captions_to_draw, images))
    if with_texts:
        stores.append(collector.texts(questions, encode, texts))
    _describe(stores, bad_samples, processes)


def _of_stories(
    collector: TrajectoryCollector,
    pipeline: ShowoPipeline,
    source: StorySource,
    counts: tuple[int | None, int | None],
    images: ImageCollection,
    texts: TextCollection,
    seed: int,
    bad_samples: BadSamples,
) -> list[TrajectoryStore]:
    """Collect for the steps of stories; see `collect`."""
    writer, tokenizer = pipeline.writer("telling a story")
    writer.story_prompt([[]], [])  # found before images are read: some families tell no stories
    if counts[0] != 0:
        images.check(writer)
    if counts[1] != 0:
        texts.recorded.check_for(writer)
    source.prepare()
    encoded = []
    for story in source.stories(bad_samples.skip):
        try:
            pixels = load_pictures(story.pictures, pipeline.resolution, source.background)
        except BadSample as error:
            bad_samples.skip(error)
            continue
        codes = pipeline.image_tokenizer.encode(torch.stack(pixels).to(pipeline.device)).cpu()
        encoded.append((story.id, [tokenizer.encode(text) for text in story.texts], codes))
    room = texts.decoding.max_new_tokens
    prompts, requests, left_out = story_requests(encoded, writer, tokenizer, room)
    if left_out:
        print(f"left out {left_out} steps of stories, which are longer than the model takes")
    # Both are chosen before anything is collected.
    to_draw = chosen(prompts, counts[0], seed) if counts[0] != 0 else []
    to_write = chosen(requests, counts[1], seed) if counts[1] != 0 else []
    stores = []
    if to_draw:
        stores.append(collector.images_of(to_draw, images))
    if to_write:
        stores.append(collector.texts_of(to_write, texts))
    return stores


def chosen(entries: Sequence[Entry], count: int | None, seed: int) -> list[Entry]:
    """So many of some entries, in a random order; all by default.

    Raises:
        UserError: If there are fewer, or none.
    """
    if not entries:
        raise UserError(
            "the stories have no step that the model has room for; expected some, name others"
        )
    count = len(entries) if count is None else count
    if count > len(entries):
        raise UserError(
            f"{count} trajectories asked for, but the stories have {len(entries)} steps for them; "
            f"ask for 1 to {len(entries)}"
        )
    order = Permutation(len(entries), stable_hash(seed, "stories"))
    return [entries[order[place]] for place in range(count)]


def _describe(
    stores: Sequence[TrajectoryStore], bad_samples: BadSamples, processes: Processes
) -> None:
    """Say what was collected."""
    if bad_samples.reasons:
        print(f"left out {len(bad_samples.reasons)} bad samples, listed in {bad_samples.file}")
    console = Console()
    for store in stores:
        if store.complete or not processes.separate:
            console.print(describe_store(store.folder))
        else:
            print(
                f"{store.folder}: {len(store.noted())} of {store.identity.num_shards} shards are "
                f"there, all of rank {processes.rank} among them; the others make the rest"
            )
