"""Rows of `decoding.py` at the released sizes on a GPU: compiled decoding in bfloat16."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from comparing import Row, row_of
from limits import copy_bandwidth, image_step_operations, matrix_rate, text_forward_bytes
from measuring import in_turns
from random_networks import (
    PROMPT_TOKENS,
    Scale,
    random_network,
    random_prompt,
    random_question,
)

from showo_turbo.models.showo import Showo
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import decode_image_codes


class ReleasedRows:
    """The rows released_*; there are none without a GPU.

    Args:
        scale: How much work is measured.
    """

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.by_name: dict[str, Callable[[], Row]] = {}
        if scale.released is not None:
            self.by_name["released_text"] = self.text
            for geometry in scale.geometries:
                self.by_name[f"released_images_{geometry}"] = partial(self.images, geometry)

    def text(self) -> Row:
        """Autoregressive text at batch 1: compiled against not, and against the bandwidth."""
        network = self._network("256")
        codes, prompt = random_question(network)
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

    def images(self, geometry: str) -> Row:
        """A batch of guided images: compiled against not, and against the matrix rate."""
        network = self._network(geometry)
        sampling = ImageSampling(sampling_steps=4, guidance_scale=5.0)
        prompts = [random_prompt(network)] * self.scale.images
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
        row = row_of(
            plain, ours, torch.equal(before, after), "uncompiled against compiled, bfloat16"
        )
        return row | {"same_tokens": round(float((before == after).float().mean()), 4)}

    def _network(self, geometry: str) -> Showo:
        """A network of its own for every row, since a compiled one stays compiled."""
        network = random_network(self.scale.released or {}, self.scale.geometries[geometry])
        return network.to("cuda", torch.bfloat16) if torch.cuda.is_available() else network
