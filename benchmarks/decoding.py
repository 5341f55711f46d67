"""Decoding speed: naive against ours, and cached autoregression against Jacobi decoding.

    python benchmarks/decoding.py                     # all rows, about a quarter of an hour
    python benchmarks/decoding.py --only t2i_256 --only jacobi_commit
    python benchmarks/decoding.py --student runs/quickstart/student

Every row measures its two ways in turns in one process, checks that they give the same tokens, and
is added to `benchmarks/results/decoding-<hardware>.json` as soon as it is done. `naive_s` is the
time of what a row compares with, `ours_s` that of this package; "what" says which these are; the
processor's seconds (`naive_cpu_s`, `ours_cpu_s`) hardly depend on other work on the machine. The
naive ways are those of `tests/naive.py`: no cache, whole padded sequences, the whole vocabulary.

Rows with t2i_ and jacobi_ use a random network in between the shapes and the released ones (hidden
768, 8 layers, the full vocabulary) and the geometry of the released 256 and 512 px models: prompts
of 14 tokens, padded to 129 in the naive way. Rows with base_ and student_ use the shapes models.
Rows with released_ need a GPU: compiled decoding at the released sizes, random weights, in
bfloat16, with the share of the device's limit that it reaches.
"""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from limits import copy_bandwidth, image_step_operations, matrix_rate, text_forward_bytes
from measuring import in_turns
from PIL import Image
from rich.console import Console
from rich.table import Table

from showo_turbo.data.shapes.conversations import DESCRIBE_QUESTION
from showo_turbo.data.shapes.render import render
from showo_turbo.data.shapes.sampling import sample_example
from showo_turbo.errors import UserError
from showo_turbo.evaluation.environment import describe_hardware, source_version
from showo_turbo.files import read_json, write_json
from showo_turbo.models.showo import Showo, ShowoConfig
from showo_turbo.pipeline import ShowoPipeline
from showo_turbo.progress import progress_bar
from showo_turbo.prompting import format_question
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.sampling.parallel import ImageSampling, decode_image_codes, denoise_images

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import naive  # noqa: E402

STUDENT = Path("runs/quickstart/student")
RESULTS = ROOT / "benchmarks" / "results"
PROMPT_TOKENS = 14
"""Tokens of a prompt, the special ones counted in."""
DRIVERS = ("block", "window")

Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How much work is measured.

    Attributes:
        sizes: Of the network in between.
        geometries: Image tokens at 256 and at 512 px.
        new_tokens: Text tokens that the network in between writes.
        answers: Questions to the shapes models.
        repeats: Turns.
        released: Sizes of the released network; None without a GPU.
        images: Images in a batch of the released network.
    """

    sizes: dict[str, int]
    geometries: dict[str, int]
    new_tokens: int
    answers: int
    repeats: int
    released: dict[str, int] | None
    images: int


MIDDLE = {"hidden_size": 768, "layers": 8, "heads": 12}
TINY = {
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
    "text_vocabulary_size": 300,
    "codebook_size": 64,
    "eos_id": 0,
    "max_text_length": 16,
}
GEOMETRIES = {"256": 256, "512": 1024}
SMOKE = Scale(TINY, {"256": 16, "512": 64}, 20, 2, 1, TINY, 1)


def full_scale(repeats: int) -> Scale:
    """What is measured for the committed results."""
    released: dict[str, int] | None = {} if torch.cuda.is_available() else None
    return Scale(MIDDLE, GEOMETRIES, 64, 60, repeats, released, 16)


class Rows:
    """The rows of the table, by name.

    Args:
        scale: How much work is measured.
        student: Folder of a distilled shapes model.
    """

    def __init__(self, scale: Scale, student: Path) -> None:
        self.scale = scale
        self.student = student
        self.by_name: dict[str, Callable[[], Row]] = {
            "t2i_256": partial(self.images, "256"),
            "t2i_512": partial(self.images, "512"),
            "t2i_256_guided": partial(self.images, "256", guidance_scale=5.0),
            "jacobi_256": partial(self.jacobi, "256"),
            "jacobi_512": partial(self.jacobi, "512"),
            "jacobi_commit": self.jacobi_commit,
            "jacobi_block_vs_ar_256": partial(self.middle_jacobi_vs_ar, "256", "block"),
            "jacobi_window_vs_ar_256": partial(self.middle_jacobi_vs_ar, "256", "window"),
            "jacobi_block_vs_ar_512": partial(self.middle_jacobi_vs_ar, "512", "block"),
            "jacobi_window_vs_ar_512": partial(self.middle_jacobi_vs_ar, "512", "window"),
        }
        for name, model in {"base": "shapes", "student": str(student)}.items():
            self.by_name[f"{name}_t2i"] = partial(self.shapes_images, model)
            self.by_name[f"{name}_jacobi_vs_ar"] = partial(self.shapes_jacobi_vs_ar, model)
        if scale.released is not None:
            self.by_name["released_text"] = self.released_text
            for geometry in GEOMETRIES:
                self.by_name[f"released_images_{geometry}"] = partial(
                    self.released_images, geometry
                )

    def available(self) -> list[str]:
        """Names of the rows that can be measured here."""
        exists = (self.student / "config.json").is_file()
        return [name for name in self.by_name if exists or not name.startswith("student_")]

    def images(self, geometry: str, guidance_scale: float = 0.0) -> Row:
        """An image in 4 steps: naive against ours, every step compared."""
        network = self._middle(geometry)
        prompt = _random_ids(network.config.text_vocabulary_size, PROMPT_TOKENS - 3)
        return self._images(network, [prompt], 4, guidance_scale, "naive full sequence")

    def shapes_images(self, model: str) -> Row:
        """The shapes models' images, one at a time."""
        pipeline = _shapes(model)
        prompts = pipeline.encode_prompts(
            [sample_example(index).prompts[0].text for index in range(min(self.scale.answers, 8))]
        )
        return self._images(pipeline.showo, prompts, 4, 0.0, "naive full sequence")

    def _images(
        self, network: Showo, prompts: list[list[int]], steps: int, guidance: float, what: str
    ) -> Row:
        sampling = ImageSampling(steps, guidance)

        def plain() -> list[list[list[int]]]:
            return [
                naive.decode_image(network, prompt, steps=steps, guidance_scale=guidance)[1:]
                for prompt in prompts
            ]

        def ours() -> list[list[list[int]]]:
            return [
                [step.codes[0].tolist() for step in denoise_images(network, [prompt], sampling)]
                for prompt in prompts
            ]

        row = self._compare(plain, ours, what)
        return row | {"images": len(prompts), "steps": steps, "guidance_scale": guidance}

    def jacobi(self, geometry: str) -> Row:
        """Jacobi decoding: whole sequences against the cached prefix."""
        network, codes, prompt = self._text_request(geometry)
        count = self.scale.new_tokens
        return self._compare(
            lambda: naive.decode_text_jacobi(network, codes[0].tolist(), prompt, count),
            lambda: self._jacobi(network, codes, prompt, "block"),
            "naive full-sequence Jacobi against cached Jacobi, block driver",
        )

    def jacobi_commit(self) -> Row:
        """Cached Jacobi decoding: whole blocks again and again against unsettled tails only."""
        network, codes, prompt = self._text_request("256")
        count = self.scale.new_tokens
        return self._compare(
            lambda: naive.decode_text_jacobi_cached(network, codes[0].tolist(), prompt, count),
            lambda: self._jacobi(network, codes, prompt, "block"),
            "cached Jacobi that recomputes the block against settled tokens committed at once",
        )

    def middle_jacobi_vs_ar(self, geometry: str, driver: str) -> Row:
        """On random weights hardly a guess is right: what Jacobi decoding costs at the worst."""
        network, codes, prompt = self._text_request(geometry)
        count = self.scale.new_tokens
        return self._compare(
            lambda: autoregressive_decode(network, codes, [prompt], max_new_tokens=count)[0].tokens,
            lambda: self._jacobi(network, codes, prompt, driver),
            f"cached autoregression against Jacobi, {driver} driver",
        )

    def _jacobi(self, network: Showo, codes: torch.Tensor, prompt: list[int], driver: Any) -> Any:
        count = self.scale.new_tokens
        (result,) = jacobi_decode(network, codes, [prompt], max_new_tokens=count, driver=driver)
        return result.tokens

    def shapes_jacobi_vs_ar(self, model: str) -> Row:
        """Answers of a shapes model at batch 1, by the better of the two drivers."""
        pipeline = _shapes(model)
        pixels = [
            Image.fromarray(render(sample_example(index, split="test").scene))
            for index in range(self.scale.answers)
        ]
        codes = pipeline.encode_images(pixels)
        question = pipeline.text_tokenizer.encode(format_question(DESCRIBE_QUESTION))
        options = {"max_new_tokens": 64}

        def each(decode: Callable[..., Any], **more: Any) -> Callable[[], list[Any]]:
            network = pipeline.showo
            return lambda: [
                decode(network, codes[i : i + 1], [question], **options, **more)[0]
                for i in range(len(codes))
            ]

        ways = {"ar": each(autoregressive_decode)}
        ways |= {driver: each(jacobi_decode, driver=driver) for driver in DRIVERS}
        found = in_turns(ways, self.scale.repeats)
        plain = found["ar"]
        tokens = [result.tokens for result in plain.result]
        drivers = {
            driver: {
                "seconds": round(found[driver].seconds, 4),
                "ratio": round(plain.seconds / found[driver].seconds, 3),
                "cpu_ratio": round(plain.cpu_seconds / found[driver].cpu_seconds, 3),
                "tokens_per_forward": round(
                    sum(map(len, tokens)) / sum(r.forwards for r in found[driver].result), 3
                ),
            }
            for driver in DRIVERS
        }
        better = min(DRIVERS, key=lambda driver: found[driver].seconds)
        exact = all([r.tokens for r in found[driver].result] == tokens for driver in DRIVERS)
        row = _row(plain, found[better], exact, f"cached autoregression against Jacobi, {better}")
        return row | {
            "answers": len(tokens),
            "tokens": sum(map(len, tokens)),
            "tokens_per_forward": drivers[better]["tokens_per_forward"],
            "drivers": drivers,
        }

    def released_text(self) -> Row:
        """Autoregressive text at batch 1: compiled against not, and against the bandwidth."""
        network, codes, prompt = self._text_request("256", released=True)
        count = self.scale.new_tokens
        row = self._compiled_row(
            network,
            lambda: autoregressive_decode(network, codes, [prompt], max_new_tokens=count)[0].tokens,
        )
        prefix = codes.shape[1] + len(prompt) + count // 2
        seconds = row["ours_s"] / count
        read = text_forward_bytes(network.config, prefix, network.dtype.itemsize)
        return row | {
            "tokens_per_second": round(1 / seconds, 1),
            "share_of_bandwidth": round(read / seconds / copy_bandwidth(network.device), 3),
        }

    def released_images(self, geometry: str) -> Row:
        """A batch of guided images: compiled against not, and against the matrix rate."""
        network = self._network(geometry, released=True)
        sampling = ImageSampling(steps=4, guidance_scale=5.0)
        prompt = _random_ids(network.config.text_vocabulary_size, PROMPT_TOKENS - 3)
        prompts = [prompt] * self.scale.images
        row = self._compiled_row(
            network, lambda: decode_image_codes(network, prompts, sampling).tolist()
        )
        rows = 2 * len(prompts)
        operations = 4 * image_step_operations(network.config, rows, PROMPT_TOKENS)
        rate = matrix_rate(network.device, network.dtype)
        return row | {
            "images_per_second": round(len(prompts) / row["ours_s"], 3),
            "share_of_matrix_rate": round(operations / row["ours_s"] / rate, 3),
        }

    def _compiled_row(self, network: Showo, work: Callable[[], Any]) -> Row:
        """Measure work before and after `network` is compiled; without a GPU it stays as it is."""
        plain = in_turns({"plain": work}, self.scale.repeats)["plain"]
        if network.device.type == "cuda":
            network.compile_decoding()
            for _ in range(3):
                work()
        ours = in_turns({"ours": work}, self.scale.repeats)["ours"]
        before, after = torch.tensor(plain.result), torch.tensor(ours.result)
        row = _row(plain, ours, torch.equal(before, after), "uncompiled against compiled, bfloat16")
        return row | {"same_tokens": round(float((before == after).float().mean()), 4)}

    def _compare(self, plain: Callable[[], Any], ours: Callable[[], Any], what: str) -> Row:
        found = in_turns({"plain": plain, "ours": ours}, self.scale.repeats)
        exact = found["plain"].result == found["ours"].result
        return _row(found["plain"], found["ours"], exact, what)

    def _text_request(
        self, geometry: str, released: bool = False
    ) -> tuple[Showo, torch.Tensor, list[int]]:
        """A network, an image's codes and a question's ids."""
        network = self._network(geometry, released=released)
        config = network.config
        codes = torch.tensor([_random_ids(config.codebook_size, config.image_tokens)])
        return network, codes, _random_ids(config.text_vocabulary_size, PROMPT_TOKENS)

    def _middle(self, geometry: str) -> Showo:
        return self._network(geometry, released=False)

    @cache  # noqa: B019 - one object lives as long as the program
    def _network(self, geometry: str, released: bool) -> Showo:
        torch.manual_seed(0)
        sizes = (self.scale.released or {}) if released else self.scale.sizes
        tokens = self.scale.geometries[geometry]
        network = Showo(ShowoConfig(**{"tokenizer": None, "image_tokens": tokens, **sizes})).eval()
        if released and torch.cuda.is_available():
            network = network.to("cuda", torch.bfloat16)
        return network


def _row(plain: Any, ours: Any, exact: bool, what: str) -> Row:
    return {
        "what": what,
        "naive_s": round(plain.seconds, 4),
        "ours_s": round(ours.seconds, 4),
        "ratio": round(plain.seconds / ours.seconds, 3),
        "exact": exact,
        "naive_cpu_s": round(plain.cpu_seconds, 4),
        "ours_cpu_s": round(ours.cpu_seconds, 4),
        "cpu_ratio": round(plain.cpu_seconds / ours.cpu_seconds, 3),
        "naive_peak_mib": plain.peak_mib,
        "ours_peak_mib": ours.peak_mib,
    }


def _random_ids(below: int, count: int) -> list[int]:
    return torch.randint(1, below, (count,), generator=torch.Generator().manual_seed(1)).tolist()


@cache
def _shapes(model: str) -> ShowoPipeline:
    return ShowoPipeline.from_pretrained(model, device="cpu")


def results_file(device: torch.device) -> Path:
    """Where the results of this hardware lie."""
    slug = re.sub(r"[^a-z0-9]+", "-", describe_hardware(device).lower()).strip("-")
    return RESULTS / f"decoding-{slug}.json"


def add_row(path: Path, hardware: str, row: Row, order: list[str]) -> None:
    """Write a row into the results, in place of an older one of its name."""
    rows = read_json(path)["rows"] if path.exists() else []
    kept = [entry for entry in rows if entry["name"] != row["name"]] + [row]
    kept.sort(
        key=lambda entry: order.index(entry["name"]) if entry["name"] in order else len(order)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"hardware": hardware, "rows": kept})


def main() -> None:
    """Measure the rows that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="only this row; repeatable")
    parser.add_argument(
        "--student", type=Path, default=STUDENT, help=f"a distilled shapes model ({STUDENT})"
    )
    parser.add_argument("--output", type=Path, help="JSON file instead of the hardware's own")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the shortest counts (3)")
    parser.add_argument("--smoke", action="store_true", help="tiny work, to see that it runs")
    options = parser.parse_args()
    rows = Rows(SMOKE if options.smoke else full_scale(options.repeats), options.student)
    unknown = [name for name in options.only or () if name not in rows.by_name]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; choose from {', '.join(rows.by_name)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = options.output or results_file(device)
    available = rows.available()
    names = options.only or available
    if missing := [name for name in options.only or rows.by_name if name not in available]:
        print(
            f"left out: {', '.join(missing)}: {options.student} holds no model; make one with the "
            "quickstart, or name one with --student",
            file=sys.stderr,
        )
        names = [name for name in names if name in available]
    table = Table("row", "naive s", "ours s", "ratio", "exact", "naive MiB", "ours MiB")
    with progress_bar("rows", len(names)) as advance:
        for name in names:
            row = {"name": name} | rows.by_name[name]()
            row |= {"command": "python benchmarks/decoding.py", "version": source_version()}
            row |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
            add_row(path, describe_hardware(device), row, list(rows.by_name))
            print(f"{name}: {row['ratio']:.2f}x", file=sys.stderr)
            values = [row["naive_s"], row["ours_s"], f"{row['ratio']:.2f}", row["exact"]]
            table.add_row(
                name, *map(str, values), str(row["naive_peak_mib"]), str(row["ours_peak_mib"])
            )
            advance(1)
    Console().print(table)
    print(path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
