"""`showo-turbo collect`: record a model's trajectories outside of training."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from torch import Tensor

from ..data import (
    CaptionFiles,
    DistillationBatchSizes,
    DistillationDataModule,
    InstructionFiles,
    ShapesWorld,
)
from ..data.bad_samples import BadSamples
from ..data.images import encode_images
from ..errors import UserError
from ..trajectories import (
    ImageCollection,
    TextCollection,
    TrajectoryCollector,
    describe_store,
    fingerprint_module,
)
from .command_line import run_function
from .model_options import ModelOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(collect, arguments, name="collect", nested=("images", "texts"))


def collect(
    output: Path,
    captions: CaptionFiles | None = None,
    instructions: InstructionFiles | None = None,
    shapes: ShapesWorld | None = None,
    num_images: int | None = None,
    num_texts: int | None = None,
    seed: int = 0,
    max_bad_samples: int = 0,
    images: ImageCollection = ImageCollection(),
    texts: TextCollection = TextCollection(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Record a model's trajectories, of images for captions and of answers to questions.

    Stores go to `images` and `texts` in the output folder. Interrupted, the same command continues
    where it stopped. `showo-turbo trajectories` shows what they hold.

    Args:
        output: Folder for the stores: a new one, or that of the same command.
        captions: COCO captions to draw images for; their images are not read.
        instructions: LLaVA instructions whose questions to answer.
        shapes: A shapes world, generated if it is not there, for what is not named.
        num_images: Captions to collect for; all by default, 0 for none.
        num_texts: Questions to collect for; all by default, 0 for none.
        seed: Chooses the captions and the questions.
        max_bad_samples: Bad samples (damaged images, malformed records) that are left out, and
            listed in `bad_samples.txt` in the output folder, before the command gives up.
        images: How image trajectories are collected.
        texts: How text trajectories are collected.
        model: The model.
    """
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
    data = DistillationDataModule(
        pipeline.resolution,
        DistillationBatchSizes(int(with_images), int(with_texts), language=0),
        captions=captions,
        instructions=instructions,
        seed=seed,
        shapes=shapes,
    )
    data.bad_samples = bad_samples = BadSamples(max_bad_samples, output)
    data.prepare_data()
    data.setup("fit")
    collector = TrajectoryCollector(
        pipeline.showo, fingerprint_module(pipeline.showo), pipeline.text_tokenizer, output, print
    )

    def codes(pixels: Tensor) -> Tensor:
        return pipeline.image_tokenizer.encode(pixels.to(pipeline.device))

    def encode(paths: Sequence[Path]) -> dict[Path, Tensor]:
        return encode_images(paths, pipeline.resolution, codes, bad_samples.skip)

    stores = []
    if with_images:
        stores.append(collector.images(data.image_prompts(num_images), images))
    if with_texts:
        stores.append(collector.texts(data.text_requests(num_texts), encode, texts))
    if bad_samples.reasons:
        print(f"left out {len(bad_samples.reasons)} bad samples, listed in {bad_samples.file}")
    console = Console()
    for store in stores:
        console.print(describe_store(store.folder))
