"""`showo-turbo collect`: record a model's trajectories outside of training."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from torch import Tensor

from ..data import (
    CaptionSource,
    DistillationBatchSizes,
    DistillationDataModule,
    QuestionSource,
)
from ..data import files as _files  # noqa: F401  # so that their classes answer to bare names
from ..data.bad_samples import BadSamples
from ..data.images import encode_images
from ..data.sources import required
from ..errors import UserError
from ..models.registry import text_model
from ..shapes import ShapesWorld
from ..trajectories import (
    ImageCollection,
    TextCollection,
    TrajectoryCollector,
    describe_store,
    fingerprint_module,
)
from .command_line import run_function
from .machines import processes_of
from .model_options import ModelOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(
        collect,
        arguments,
        name="collect",
        nested=("images", "texts"),
        default_classes={"captions": "CaptionFiles", "instructions": "InstructionFiles"},
    )


def collect(
    output: Path,
    captions: CaptionSource | None = None,
    instructions: QuestionSource | None = None,
    shapes: ShapesWorld | None = None,
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
    """Record a model's trajectories: images for captions, answers to questions.

    Stores go to `images` and `texts` in the output folder. Interrupted, the same command continues
    where it stopped. `showo-turbo trajectories` shows what they hold, and `fit` trains on them with
    `data.init_args.trajectories`.

    Many machines can share the work: give each the same command with a `--rank` of its own, or let
    Slurm number them. They need one shared folder and do not wait for each other; the store is
    finished by whoever finds that all parts are there, and is the same as that of one command.

    Args:
        output: Folder for the stores: a new one, or that of the same command.
        captions: Captions to draw images for; their images are not read. `--captions.images` and
            `--captions.annotations` are those of `CaptionFiles`, COCO's format; another source
            is named with `--captions my_captions.Mine`.
        instructions: Questions to answer. `--instructions.images` and `--instructions.annotations`
            are those of `InstructionFiles`, LLaVA's format; another source is named with
            `--instructions my_questions.Mine`.
        shapes: A shapes world, generated if it is not there, for what is not named.
        num_images: Captions to collect for; all by default, 0 for none.
        num_texts: Questions to collect for; all by default, 0 for none.
        seed: Chooses the captions and the questions.
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
    with_images = num_images != 0 and (captions or shapes) is not None
    with_texts = num_texts != 0 and (instructions or shapes) is not None
    if not with_images and not with_texts:
        raise UserError(
            "there is nothing to collect for; name captions, instructions or a shapes world"
        )
    pipeline = model.load()
    if with_texts:
        text_model(pipeline.network, "collecting answers (left out with --num_texts 0)")
    data = DistillationDataModule(
        pipeline.asked_resolution if with_texts else pipeline.resolution,
        DistillationBatchSizes(int(with_images), int(with_texts), language=0),
        captions=captions,
        instructions=instructions,
        seed=seed,
        shapes=shapes,
    )
    data.bad_samples = bad_samples = BadSamples(max_bad_samples, output)
    data.prepare_data()
    data.setup("fit")
    # Both are read before anything is collected.
    captions_to_draw = data.image_prompts(num_images) if with_images else []
    questions = data.text_requests(num_texts) if with_texts else []
    collector = TrajectoryCollector(
        pipeline.network,
        fingerprint_module(pipeline.network),
        pipeline.text_tokenizer,
        output,
        print,
        processes,
        fingerprint_module(pipeline.image_encoder) if with_texts else None,
    )

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
