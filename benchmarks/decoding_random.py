"""Rows of `decoding.py` on a random network in between the shapes and the released ones."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from comparing import Row, compare, compare_images, naive
from random_networks import Scale, random_network, random_prompt, random_question

from showo_turbo.models.showo import Showo
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.jacobi import jacobi_decode


class RandomRows:
    """The rows t2i_*, inpaint_* and jacobi_*.

    Args:
        scale: How much work is measured.
    """

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.by_name: dict[str, Callable[[], Row]] = {
            "t2i_256": partial(self.images, "256"),
            "t2i_512": partial(self.images, "512"),
            "t2i_256_guided": partial(self.images, "256", guidance=5.0),
            "inpaint_256": self.inpainting,
            "jacobi_256": partial(self.jacobi, "256"),
            "jacobi_512": partial(self.jacobi, "512"),
            "jacobi_commit": self.jacobi_commit,
        }
        for geometry in ("256", "512"):
            for driver in ("block", "window"):
                row = partial(self.jacobi_vs_ar, geometry, driver)
                self.by_name[f"jacobi_{driver}_vs_ar_{geometry}"] = row

    def images(self, geometry: str, guidance: float = 0.0) -> Row:
        """One image, naive against ours."""
        network = self._network(geometry)
        return compare_images(network, [random_prompt(network)], self.scale.repeats, guidance)

    def inpainting(self) -> Row:
        """A quarter of an image, guided, the rest being known: naive against ours."""
        network, guidance = self._network("256"), 5.0
        codes, _ = random_question(network)
        codes[:, ::4] = network.mask_code
        prompts, known = [random_prompt(network)], codes[0].tolist()
        return compare_images(network, prompts, self.scale.repeats, guidance, known)

    def jacobi(self, geometry: str) -> Row:
        """Jacobi decoding: whole sequences against the cached prefix."""
        return self._against_jacobi(
            geometry,
            "block",
            lambda network, codes, prompt: naive.decode_text_jacobi(
                network, codes[0].tolist(), prompt, self.scale.new_tokens
            ),
            "naive full-sequence Jacobi against cached Jacobi, block driver",
        )

    def jacobi_commit(self) -> Row:
        """Cached Jacobi decoding: whole blocks again and again against unsettled tails only."""
        return self._against_jacobi(
            "256",
            "block",
            lambda network, codes, prompt: naive.decode_text_jacobi_cached(
                network, codes[0].tolist(), prompt, self.scale.new_tokens
            ),
            "cached Jacobi that recomputes the block against settled tokens committed at once",
        )

    def jacobi_vs_ar(self, geometry: str, driver: str) -> Row:
        """On random weights hardly a guess is right: what Jacobi decoding costs at the worst."""
        return self._against_jacobi(
            geometry,
            driver,
            lambda network, codes, prompt: (
                autoregressive_decode(
                    network, codes, [prompt], max_new_tokens=self.scale.new_tokens
                )[0].tokens
            ),
            f"cached autoregression against Jacobi, {driver} driver",
        )

    def _against_jacobi(
        self,
        geometry: str,
        driver: Any,
        decode: Callable[[Showo, torch.Tensor, list[int]], list[int]],
        what: str,
    ) -> Row:
        """Compare a way to answer with our Jacobi decoding."""
        network = self._network(geometry)
        codes, prompt = random_question(network)

        def ours() -> list[int]:
            count = self.scale.new_tokens
            (result,) = jacobi_decode(network, codes, [prompt], max_new_tokens=count, driver=driver)
            return result.tokens

        return compare(lambda: decode(network, codes, prompt), ours, self.scale.repeats, what)

    @cache  # noqa: B019 - one object lives as long as the program
    def _network(self, geometry: str) -> Showo:
        return random_network(self.scale.sizes, self.scale.geometries[geometry])
