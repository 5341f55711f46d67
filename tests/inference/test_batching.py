import math

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.inference import drawing
from showo_turbo.inference.batching import (
    first_batch_size,
    free_memory,
    left_in_container,
    run_in_batches,
)
from showo_turbo.sampling.parallel import decode_image_codes

from ..tiny import tiny_showo
from .conftest import PROMPTS


class TestMemory:
    @staticmethod
    def limited(monkeypatch, most, error):
        """Let image decoding fail for more than `most` samples; give the sizes that were tried."""
        tried = []

        def decode(model, prompts, *arguments):
            tried.append(len(prompts))
            if len(prompts) > most:
                raise error
            return decode_image_codes(model, prompts, *arguments)

        monkeypatch.setattr(drawing, "decode_image_codes", decode)
        return tried

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory"),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
            MemoryError(),
        ],
    )
    def test_batches_are_halved_until_they_fit(self, pipeline, monkeypatch, error):
        expected = pipeline.generate(PROMPTS, sampling_steps=2).codes
        tried = self.limited(monkeypatch, 2, error)
        result = pipeline.generate(PROMPTS, sampling_steps=2)
        assert tried == [5, 2, 2, 1]
        assert torch.equal(result.codes, expected)

    @pytest.mark.bad_input
    def test_a_batch_size_that_was_asked_for_is_kept(self, pipeline, monkeypatch):
        self.limited(monkeypatch, 2, MemoryError())
        with pytest.raises(UserError, match="memory does not suffice for a batch of 4"):
            pipeline.generate(PROMPTS, sampling_steps=2, batch_size=4)

    @pytest.mark.bad_input
    def test_not_even_one(self, pipeline, monkeypatch):
        self.limited(monkeypatch, 0, MemoryError())
        with pytest.raises(UserError, match="memory does not suffice for a batch of 1"):
            pipeline.generate(PROMPTS, sampling_steps=2)

    def test_other_errors_are_no_lack_of_memory(self):
        def fail(indices):
            raise RuntimeError("shapes do not match")

        with pytest.raises(RuntimeError, match="shapes do not match"):
            list(run_in_batches(3, None, 2, fail))

    def test_the_first_batch_is_counted_from_the_shapes(self, monkeypatch):
        config = tiny_showo().config
        shape = {"rows": 2, "tokens": 30, "scored": 16, "candidates": 24}
        place = {"dtype": torch.float32, "device": torch.device("cpu")}
        sizes = []
        for megabytes in (0, 1, 4, 100_000):
            monkeypatch.setattr(
                "showo_turbo.inference.batching.free_memory", lambda _, m=megabytes: m * 2**20
            )
            sizes.append(first_batch_size(config, **shape, **place))
        assert sizes[0] == 1
        assert 1 < sizes[1] < sizes[2] <= sizes[3] == 64

    def test_a_container_has_no_more_than_its_limit(self, tmp_path, monkeypatch):
        cpu = torch.device("cpu")
        outside = free_memory(cpu)
        assert outside > 2**20
        assert left_in_container(tmp_path) == math.inf
        (tmp_path / "memory.max").write_text("max\n")
        (tmp_path / "memory.current").write_text("1000\n")
        assert left_in_container(tmp_path) == math.inf
        (tmp_path / "memory.max").write_text("5000\n")
        assert left_in_container(tmp_path) == 4000
        monkeypatch.setattr("showo_turbo.inference.batching.left_in_container", lambda: 4000)
        assert free_memory(cpu) == 4000
