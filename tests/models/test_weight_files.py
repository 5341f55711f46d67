"""Weights in safetensors shards with an index, of any family."""

import json
from fnmatch import fnmatch

import pytest
import torch
from safetensors.torch import load_file, save_file

from showo_turbo.errors import UserError
from showo_turbo.models.checkpoints import resolve_folder
from showo_turbo.models.registry import load_model
from showo_turbo.models.showo import Showo
from showo_turbo.models.weight_files import INDEX

from ..tiny import tiny_showo
from ..tiny_mmada import write_golden_folder


class TestShards:
    def test_shards_of_any_family(self, tmp_path):
        model = tiny_showo()
        model.save_pretrained(tmp_path)
        state = load_file(tmp_path / "pytorch_model.safetensors")
        (tmp_path / "pytorch_model.safetensors").unlink()
        places = {key: f"part-{number % 3}.safetensors" for number, key in enumerate(state)}
        for name in set(places.values()):
            part = {key: state[key] for key, place in places.items() if place == name}
            save_file(part, tmp_path / name)
        (tmp_path / INDEX).write_text(json.dumps({"weight_map": places}))
        loaded = Showo.from_pretrained(tmp_path).state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in state.items())

    def test_shards_are_downloaded(self, monkeypatch, tmp_path):
        import huggingface_hub

        asked = []

        def download(name, allow_patterns):
            asked.extend(allow_patterns)
            return str(tmp_path)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        resolve_folder("owner/name", "showo")
        for name in (INDEX, "model-00001-of-00004.safetensors"):
            assert any(fnmatch(name, pattern) for pattern in asked)


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        "content",
        ["[]", "{}", '{"weight_map": {}}', '{"weight_map": ["a.safetensors"]}']
        + [f'{{"weight_map": {{"a": {name}}}}}' for name in ('"../b.safetensors"', '"b.bin"', "7")],
    )
    def test_an_index_without_files(self, tmp_path, content):
        folder = write_golden_folder(tmp_path)
        (folder / INDEX).write_text(content)
        with pytest.raises(UserError, match=f"{INDEX} names no files .* download it again"):
            load_model(folder)

    def test_a_shard_that_is_missing_or_damaged(self, tmp_path):
        folder = write_golden_folder(tmp_path)
        shard = folder / "model-00002-of-00002.safetensors"
        shard.write_bytes(shard.read_bytes()[:100])
        with pytest.raises(UserError, match=r"00002.safetensors is damaged") as caught:
            load_model(folder)
        assert "\n" not in str(caught.value)
        shard.unlink()
        with pytest.raises(UserError, match=r"does not exist, but .* names it"):
            load_model(folder)
