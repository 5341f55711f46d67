"""Rows of `decoding.py` on the shapes models: what training changes."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from comparing import Row, compare_images, row_of
from measuring import in_turns
from PIL import Image
from random_networks import Scale
from torch import Tensor

from showo_turbo.inference import ShowoPipeline
from showo_turbo.models.showo.sequences import format_question
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.shapes.conversations import DESCRIBE_QUESTION
from showo_turbo.shapes.render import render
from showo_turbo.shapes.sampling import sample_example

DRIVERS = ("block", "window")
SHARED = 256
"""Tokens of a forward pass that the answers of a batch share."""


class ShapesRows:
    """The rows base_* or student_*.

    Args:
        scale: How much work is measured.
        name: What the rows' names begin with.
        model: `shapes`, or the folder of a distilled model.
    """

    def __init__(self, scale: Scale, name: str, model: str) -> None:
        self.scale = scale
        self.model = model
        self.by_name: dict[str, Callable[[], Row]] = {
            f"{name}_t2i": self.images,
            f"{name}_jacobi_vs_ar": self.jacobi_vs_ar,
            f"{name}_jacobi_vs_ar_batched": self.jacobi_vs_ar_batched,
        }

    @cached_property
    def pipeline(self) -> ShowoPipeline:
        """The model, loaded when it is first needed."""
        return ShowoPipeline.from_pretrained(self.model, device="cpu")

    def images(self) -> Row:
        """Images one at a time, naive against ours."""
        prompts = self.pipeline.encode_prompts(
            [sample_example(index).prompts[0].text for index in range(min(self.scale.answers, 8))]
        )
        return compare_images(self.pipeline.network, prompts, self.scale.repeats, 0.0)

    def requests(self, count: int) -> tuple[Tensor, list[int]]:
        """Codes of test images, and the question to describe them."""
        pixels = [
            Image.fromarray(render(sample_example(index, split="test").scene))
            for index in range(count)
        ]
        codes = self.pipeline.encode_images(pixels)
        return codes, self.pipeline.text_tokenizer.encode(format_question(DESCRIBE_QUESTION))

    def jacobi_vs_ar_batched(self) -> Row:
        """Answers in one batch, each guessed whole windows ahead, or what a pass shares out."""
        count = self.scale.batch
        codes, question = self.requests(count)
        network, prompts = self.pipeline.network, [question] * count
        ways: dict[str, Callable[[], list[Any]]] = {
            "ar": lambda: autoregressive_decode(network, codes, prompts, max_new_tokens=64)
        }
        for name, tokens in (("window", None), ("shared", SHARED)):
            ways[name] = partial(
                jacobi_decode,
                network,
                codes,
                prompts,
                max_new_tokens=64,
                driver="window",
                forward_tokens=tokens,
            )
        found = in_turns(ways, self.scale.repeats)
        plain, shared = found["ar"], found["shared"]
        tokens = [result.tokens for result in plain.result]
        exact = all([r.tokens for r in found[name].result] == tokens for name in ways)
        what = f"cached autoregression against Jacobi, window, batch {count}"
        return row_of(plain, found["window"], exact, what) | {
            "answers": count,
            "tokens": sum(map(len, tokens)),
            f"ratio_sharing_{SHARED}": round(plain.seconds / shared.seconds, 3),
            f"cpu_ratio_sharing_{SHARED}": round(plain.cpu_seconds / shared.cpu_seconds, 3),
        }

    def jacobi_vs_ar(self) -> Row:
        """Answers at batch 1, by the better of the two drivers."""
        codes, question = self.requests(self.scale.answers)

        def each(decode: Callable[..., Any], **more: Any) -> Callable[[], list[Any]]:
            network = self.pipeline.network
            return lambda: [
                decode(network, codes[i : i + 1], [question], max_new_tokens=64, **more)[0]
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
        row = row_of(plain, found[better], exact, f"cached autoregression against Jacobi, {better}")
        return row | {
            "answers": len(tokens),
            "tokens": sum(map(len, tokens)),
            "tokens_per_forward": drivers[better]["tokens_per_forward"],
            "drivers": drivers,
        }
