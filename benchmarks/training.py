"""What training costs, against the published loop written as it is described.

    python benchmarks/training.py            # hidden 768, 8 layers, the whole vocabulary: an hour
    python benchmarks/training.py --smoke    # seconds, and no meaning

Both sides train the same random network, in turns within one run, and are compared by CPU seconds
for each sample: an image, a block of text and a web text. An optimizer's step is left out on both.
Rows of `benchmarks/results/training-<hardware>.json`, each with `published_s`, `ours_s` and
`ratio`:

- `image_*`, `block_*`, `language_*`: a stream by itself, trajectories used once;
- `once_256`, `once_512`: all three, every trajectory used once;
- `step_256`, `step_512`: as often as the shipped configurations use them;
- `text_256`, `text_512`: ours against itself with one block of an answer in each forward;
- `released_*`, `released_once_*`: operations at the released size, no seconds.

`growth` has CPU seconds of ours by image tokens, batch and size of a store.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import published_loop
import torch
import yaml
from answers import measure as answers_apart
from limits import layer_weights
from measuring import Measured, in_turns
from random_networks import GEOMETRIES, MIDDLE, TINY, random_network

from showo_turbo.evaluation.environment import describe_hardware, provenance
from showo_turbo.losses import published_losses
from showo_turbo.models.showo import ShowoConfig
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.targets import StudentTarget
from showo_turbo.training.inputs import stream_of
from showo_turbo.trajectories import (
    ImageCollection,
    ImagePrompt,
    ImageTrajectory,
    ImageTrajectoryDataset,
    TextCollection,
    TextRequest,
    TextTrajectory,
    TrajectoryStore,
    collect_images,
    fingerprint_module,
    image_identity,
)
from showo_turbo.trajectories.batch import (
    TextBatch,
    collate_image_trajectories,
    collate_text_trajectories,
)
from showo_turbo.trajectories.image_collector import record_images
from showo_turbo.trajectories.record import settled_iterates
from showo_turbo.utils.files import write_json

ROOT = Path(__file__).resolve().parents[1]
BLOCK, BLOCKS = published_loop.BLOCK, 4
"""Tokens of a block, and blocks of an answer."""

STAGES = {"256": (16, 10.0, 4, 2), "512": (32, 15.0, 8, 1)}
"""Of the published first stages: steps, guidance, segments, graded forward passes of an image."""

WEIGHTS = {"256": {}, "512": {"image_consistency": 0.0}}
"""Published at 512 px: no consistency of images."""

ITERATIONS = 8
"""Of a block, at the released size: a round number of what teachers take."""


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        sizes: Of the network.
        geometries: Image tokens at 256 and at 512 px.
        batches: Images, answers and web texts of a batch of ours.
        web: Tokens of a web text.
        question: Tokens of a question.
        repeats: Turns.
        steps: Steps of a trajectory at most.
    """

    sizes: dict[str, int]
    geometries: dict[str, int]
    batches: tuple[int, int, int] = (8, 2, 4)
    web: int = 387
    question: int = 48
    repeats: int = 3
    steps: int = 32


FULL = Scale(MIDDLE, GEOMETRIES)
SMOKE = Scale(TINY, {"256": 16, "512": 64}, (2, 2, 2), web=24, question=5, repeats=1, steps=8)


class Ours:
    """One geometry of our training: collecting, and steps on what was collected."""

    def __init__(self, scale: Scale, geometry: str) -> None:
        steps, self.guidance, segments, self.graded = STAGES[geometry]
        self.scale, self.steps = scale, min(steps, scale.steps)
        self.segments = min(segments, self.steps)
        self.network = random_network(scale.sizes, scale.geometries[geometry])
        self.losses = published_losses()
        for name, weight in WEIGHTS[geometry].items():
            self.losses[name].weight = weight
        images, answers, texts = scale.batches
        config, generator = self.network.config, torch.Generator().manual_seed(1)

        def ids(count: int) -> list[int]:
            below = config.text_vocabulary_size - 1
            return torch.randint(1, below, (count,), generator=generator).tolist()

        self.prompts = [ImagePrompt(str(i), "", ids(11)) for i in range(images)]
        codes = torch.randint(
            config.codebook_size, (answers, config.image_tokens), generator=generator
        )
        questions = [ids(scale.question) for _ in range(answers)]
        self.requests = [
            TextRequest(str(i), code, question, "")
            for i, (code, question) in enumerate(zip(codes, questions, strict=True))
        ]
        self.texts = [ids(scale.web - 2) for _ in range(texts)]
        self.module: Any = SimpleNamespace(
            student=self.network,
            consistency_target=StudentTarget(),
            text_tokenizer=SimpleNamespace(encode=lambda index: self.texts[index]),
            max_language_length=scale.web,
            sampling=ImageSampling(),
        )
        self.images: Sequence[ImageTrajectory] = ()
        self.answers: Sequence[TextTrajectory] = ()

    def collect_images(self) -> None:
        """Trajectories of the prompts, as one batch."""
        sampling = ImageSampling(self.steps, guidance_scale=self.guidance)
        settings = ImageCollection(sampling, segments=self.segments)
        self.network.eval()
        self.images = record_images(self.network, self.prompts, settings)

    def collect_texts(self) -> None:
        """Answers of `BLOCKS` blocks to the requests, as one batch."""
        tokens = BLOCK * BLOCKS
        decoding = TextDecoding(max_new_tokens=tokens, block_size=BLOCK)
        settings = TextCollection(decoding, batch_size=len(self.requests), max_repeats=10**6)
        self.network.eval()
        # Random networks seldom end an answer where it is to end: it is cut there.
        results = settings.recorded.decode(
            self.network,
            torch.stack([request.image for request in self.requests]),
            [request.ids for request in self.requests],
            list(range(len(self.requests))),
        )
        self.answers = [
            TextTrajectory(
                key=request.key,
                text="",
                prompt_ids=torch.tensor(list(request.ids), dtype=torch.int32),
                image=request.image.int(),
                answer_ids=torch.tensor(result.tokens, dtype=torch.int32),
                blocks=[settled_iterates(block.int(), BLOCK) for block in result.blocks],
            )
            for request, result in zip(self.requests, results, strict=True)
        ]

    def image_batch(self, count: int | None = None) -> Any:
        """Trajectories, each in the middle of its first segment."""
        chosen = self.images[:count]
        k = max(0, self.steps // self.segments // 2)
        return collate_image_trajectories(
            chosen, [k] * len(chosen), segments=self.segments, mask_code=self.network.mask_code
        )

    def text_batch(self) -> TextBatch:
        """Answers, each block in the middle of its iterations."""
        middle = [[(len(block) - 1) // 2 for block in answer.blocks] for answer in self.answers]
        return collate_text_trajectories(self.answers, middle, segments=4)

    def train(self, stream: str, batch: Any) -> None:
        """Forward and backward passes of a stream."""
        self.network.train()
        terms = [t for t in self.losses.values() if t.stream == stream and t.weight > 0]
        asked = {name for term in terms for name in term.asks_for}
        inputs = stream_of(stream, self.module, batch, asked)
        torch.stack([term.weight * term.compute(inputs).mean for term in terms]).sum().backward()


def measure(scale: Scale, geometry: str, uses: int) -> list[dict[str, Any]]:
    """The rows of one geometry."""
    ours = Ours(scale, geometry)
    ours.collect_images()
    ours.collect_texts()
    teacher, student = ours.network, ours.network
    request, answer = ours.requests[0], ours.answers[0].answer_ids.tolist()

    def published_block() -> None:
        for start in range(0, len(answer), BLOCK):
            before = answer[:start]
            published_loop.text_block(
                teacher, student, request.image.tolist(), list(request.ids), before
            )

    ways: dict[str, Callable[[], Any]] = {
        "published image": lambda: published_loop.image_sample(
            teacher, student, list(ours.prompts[0].ids), ours.steps, ours.guidance, ours.graded
        ),
        "collect image": ours.collect_images,
        "train image": lambda: ours.train("image", ours.image_batch()),
        "published block": published_block,
        "collect block": ours.collect_texts,
        "train block": lambda: ours.train("text", ours.text_batch()),
        "published language": lambda: published_loop.web_text(student, ours.texts[0]),
        "train language": lambda: ours.train("language", {"text": list(range(len(ours.texts)))}),
    }
    images, answers, texts = scale.batches
    found = in_turns(ways, scale.repeats, enough=3600)
    samples = {"image": images, "block": answers * BLOCKS, "language": texts}
    once = {"published block": BLOCKS}

    def seconds(name: str) -> float:
        count = once.get(name, 1) if name.startswith("published") else samples[name.split()[1]]
        return found[name].cpu_seconds / count

    published = {name: seconds(f"published {name}") for name in samples}
    collecting = {"image": seconds("collect image"), "block": seconds("collect block")}
    training = {name: seconds(f"train {name}") for name in samples}
    rows = [
        row(
            f"{name}_{geometry}",
            published[name],
            training[name] + collecting.get(name, 0.0),
            peaks(found, f"published {name}", f"train {name}"),
        )
        for name in samples
    ]
    all_published, once_ours = sum(published.values()), sum(training.values())
    rows.append(row(f"once_{geometry}", all_published, once_ours + sum(collecting.values())))
    used = once_ours + sum(collecting.values()) / uses
    rows.append(row(f"step_{geometry}", all_published, used) | {"uses": uses})
    apart = answers_apart(scale.sizes, scale.geometries[geometry], 1, scale.repeats)
    return [*rows, row(f"text_{geometry}", apart["naive_cpu_s"], apart["ours_cpu_s"])]


def row(name: str, published: float, ours: float, more: dict[str, Any] | None = None) -> Any:
    """A row of the results."""
    ratio = round(published / ours, 3)
    seconds = {"published_s": round(published, 6), "ours_s": round(ours, 6), "ratio": ratio}
    return {"name": name} | seconds | (more or {})


def peaks(found: dict[str, Measured], published: str, ours: str) -> dict[str, Any]:
    """Memory at the peak; that of ours is of a whole batch."""
    return {"published_mib": found[published].peak_mib, "ours_mib": found[ours].peak_mib}


def by_operations(geometry: str, uses: int) -> list[dict[str, Any]]:
    """Operations at the released size, for an image, a block and a web text together.

    Recomputed layers count, as the shipped configurations recompute them.
    """
    config = ShowoConfig(image_tokens=GEOMETRIES[geometry])
    steps, _, _, graded = STAGES[geometry]
    web, question, vocabulary = 387, 48, config.vocabulary.size
    whole = config.image_tokens + config.max_text_length + 3
    asked = config.image_tokens + question + BLOCK * BLOCKS

    def forward(tokens: float, length: float, rows: float, classes: int) -> float:
        attention = 2 * tokens * length * config.hidden_size
        layers = config.layers * (tokens * layer_weights(config) + attention)
        return 2 * (layers + rows * classes * config.hidden_size)

    def plain(length: float) -> float:
        return forward(length, length, length, vocabulary)

    published = (2 * 2 * steps + 3 * graded) * plain(whole)
    published += (ITERATIONS + 3 * 3) * plain(asked) + 3 * plain(web)
    image = config.image_tokens + 2
    codes, text = config.codebook_size, config.text_vocabulary_size
    collecting = 2 * steps * forward(image, whole, config.image_tokens, codes)
    collecting += forward(asked, asked, 0, 0) / BLOCKS
    collecting += ITERATIONS * forward(BLOCK, asked, BLOCK, text)
    riding = asked + 2 * BLOCKS * (BLOCK - 1)
    training = 4 * forward(whole, whole, config.image_tokens, codes)
    if WEIGHTS[geometry].get("image_consistency", 1.0):
        training += forward(whole, whole, config.image_tokens, codes)
    training += 4 * forward(riding, riding, 3 * BLOCK * BLOCKS, text) / BLOCKS
    training += 4 * forward(web, web, web, text)
    rows = []
    for name, times in (("released", uses), ("released_once", 1)):
        ours = training + collecting / times
        rows.append(
            {
                "name": f"{name}_{geometry}",
                "published_operations": published,
                "ours_operations": ours,
                "ratio": round(published / ours, 3),
                "uses": times,
            }
        )
    return rows


def growth(scale: Scale) -> list[dict[str, Any]]:
    """CPU seconds of ours by image tokens, by batch, and by the size of a store."""
    rows = []
    sizes = {size // part for size in scale.geometries.values() for part in (1, 4)}
    for tokens in sorted(size for size in sizes if size >= scale.steps):
        ours = Ours(replace_geometry(scale, tokens), "256")
        ours.collect_images()
        counts = [1, 2, scale.batches[0]] if tokens == scale.geometries["256"] else [1]
        for count in counts:
            batch = ours.image_batch(count)
            found = in_turns({"step": lambda b=batch, o=ours: o.train("image", b)}, scale.repeats)
            cost = round(found["step"].cpu_seconds / count, 4)
            rows.append({"image_tokens": tokens, "batch": count, "seconds_per_image": cost})
    for size in (16, 64, 256):
        rows.append({"store": size, "seconds_to_open": round(seconds_to_open(size), 4)})
    return rows


def replace_geometry(scale: Scale, tokens: int) -> Scale:
    """The scale with other images at 256 px."""
    return Scale(**{**scale.__dict__, "geometries": {"256": tokens, "512": tokens}})


def seconds_to_open(shards: int) -> float:
    """CPU seconds to open a store of many shards, with a tiny network's trajectories in it."""
    network = random_network(TINY, 16)
    prompts = [ImagePrompt(str(i), "", [1]) for i in range(shards)]
    settings = ImageCollection(ImageSampling(2), segments=1, shard_size=1)
    with tempfile.TemporaryDirectory() as folder:
        identity = image_identity(fingerprint_module(network), prompts, settings)
        store = TrajectoryStore.create_or_continue(folder, identity)
        collect_images(network, prompts, settings, store, progress=False)

        def opened() -> int:
            return len(ImageTrajectoryDataset(TrajectoryStore.open(folder, verify=False)))

        return in_turns({"open": opened}, 3)["open"].cpu_seconds


def shipped_uses(geometry: str) -> int:
    """How often the first stage of a shipped configuration uses a trajectory."""
    path = ROOT / f"configs/turbo_{geometry}.yaml"
    callbacks = yaml.safe_load(path.read_text(encoding="utf-8"))["trainer"]["callbacks+"]
    return int(callbacks[0]["init_args"]["stages"][0]["epochs"])


def main() -> None:
    """Measure, print the rows, and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a tiny network, once")
    parser.add_argument("--geometries", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--uses", type=int, help="of a trajectory; as shipped by default")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument("--no_growth", action="store_true", help="leave that part out")
    parser.add_argument("--output", type=Path, help="the JSON file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    scale = SMOKE if options.smoke else FULL
    rows = []
    for geometry in options.geometries:
        uses = options.uses or shipped_uses(geometry)
        for found in (*measure(scale, geometry, uses), *by_operations(geometry, uses)):
            rows.append(found)
            print(f"{found['name']}: {found['ratio']}", file=sys.stderr)
    grown = [] if options.no_growth else growth(scale)
    hardware = describe_hardware(torch.device("cpu"))
    name = "".join(c if c.isalnum() else "-" for c in hardware.lower()).strip("-")
    output = options.output or ROOT / f"benchmarks/results/training-{name}.json"
    facts = {"hardware": hardware, "threads": torch.get_num_threads(), "smoke": options.smoke}
    write_json(output, facts | {"rows": rows, "growth": grown} | provenance())
    print(output)


if __name__ == "__main__":
    main()
