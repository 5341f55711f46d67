import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from showo_turbo.errors import UserError
from showo_turbo.models.checkpoints import (
    describe_misfits,
    read_config,
    resolve_folder,
    save_checkpoint,
)
from showo_turbo.models.showo import Showo
from showo_turbo.models.weight_files import WEIGHTS, load_state

from ..tiny import tiny_showo


@pytest.fixture
def folder(tmp_path):
    tiny_showo().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder, change):
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)


class TestWeights:
    def test_bin_and_safetensors_hold_the_same(self, folder):
        expected = load_state(folder)
        torch.save(expected, folder / "pytorch_model.bin")
        (folder / WEIGHTS).unlink()
        found = load_state(folder)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
        Showo.from_pretrained(folder)

    @pytest.mark.parametrize("name", [WEIGHTS, "model.safetensors"])
    def test_both_file_names(self, folder, name):
        os.replace(folder / WEIGHTS, folder / name)
        Showo.from_pretrained(folder)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_storage_loads_in_single(self, folder, dtype):
        original = {key: value.clone() for key, value in load_file(folder / WEIGHTS).items()}
        rewrite(folder, lambda state: state.update({k: v.to(dtype) for k, v in state.items()}))
        network = Showo.from_pretrained(folder)
        for key, value in network.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value, original[key].to(dtype).float())

    def test_saving_again_replaces_atomically(self, folder):
        before = load_file(folder / WEIGHTS)
        with pytest.raises(Exception, match="bad"):
            save_checkpoint(folder, {**before, "bad": Unsavable()}, {})
        after = load_file(folder / WEIGHTS)
        assert all(torch.equal(after[key], value) for key, value in before.items())
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", WEIGHTS]


class Unsavable:
    """Fails where a tensor would be made ready for writing."""

    def detach(self):
        raise RuntimeError("bad")


@pytest.mark.bad_input
class TestBadInput:
    def test_missing_unexpected_and_misshaped_keys_are_named(self, folder):
        def spoil(state):
            del state["showo.model.final_layernorm.bias"]
            state["showo.extra"] = torch.zeros(1)
            state["showo.lm_head.bias"] = torch.zeros(3)

        rewrite(folder, spoil)
        with pytest.raises(UserError) as caught:
            Showo.from_pretrained(folder)
        message = str(caught.value)
        assert "1 missing (showo.model.final_layernorm.bias)" in message
        assert "1 unexpected (showo.extra)" in message
        assert "1 wrong shape (showo.lm_head.bias is (3,), expected (65,))" in message
        assert "\n" not in message

    def test_many_misfits_stay_short(self):
        tensors = {f"key{i}": torch.zeros(1) for i in range(100)}
        assert describe_misfits(tensors, {}) == "100 missing (key0, key1, key10, ...)"
        assert describe_misfits(tensors, tensors) == ""

    def test_a_pickle_that_runs_code_is_refused(self, folder, tmp_path):
        flag = tmp_path / "ran"

        class Malicious:
            def __reduce__(self):
                return os.mkdir, (str(flag),)

        (folder / WEIGHTS).unlink()
        with open(folder / "pytorch_model.bin", "wb") as file:
            pickle.dump({"weight": Malicious()}, file)
        with pytest.raises(UserError, match="holds more than weights or is damaged") as caught:
            load_state(folder)
        torch.save({"weight": Malicious()}, folder / "pytorch_model.bin")
        with pytest.raises(UserError, match="holds more than weights or is damaged"):
            load_state(folder)
        assert not flag.exists()
        assert "\n" not in str(caught.value)

    def test_no_advice_to_run_code_is_passed_on(self, folder):
        class Malicious:
            def __reduce__(self):
                return os.mkdir, ("nowhere",)

        (folder / WEIGHTS).unlink()
        for content, reason in (
            (b"# A text", r"\(it is not a file of tensors and plain values\)"),
            (pickle.dumps(Malicious(), protocol=2), r"\(it asks to run posix.mkdir\)"),
        ):
            (folder / "pytorch_model.bin").write_bytes(content)
            with pytest.raises(UserError, match=reason) as caught:
                load_state(folder)
            assert "Re-running" not in str(caught.value)

    @pytest.mark.parametrize("value", [[torch.zeros(1)], {"epoch": 3}, torch.zeros(1), {}])
    def test_bin_without_a_state_dict(self, folder, value):
        (folder / WEIGHTS).unlink()
        torch.save(value, folder / "pytorch_model.bin")
        with pytest.raises(UserError):
            Showo.from_pretrained(folder)

    @pytest.mark.parametrize("name", [WEIGHTS, "pytorch_model.bin"])
    @pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04\x95"])
    def test_damaged_file(self, folder, name, content):
        (folder / WEIGHTS).unlink()
        (folder / name).write_bytes(content)
        with pytest.raises(UserError, match="damaged") as caught:
            load_state(folder)
        assert "\n" not in str(caught.value)

    def test_truncated_safetensors(self, folder):
        whole = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match="is damaged"):
            Showo.from_pretrained(folder)

    def test_no_weights(self, folder):
        (folder / WEIGHTS).unlink()
        with pytest.raises(UserError, match="has no weights"):
            Showo.from_pretrained(folder)

    def test_no_config(self, folder):
        (folder / "config.json").unlink()
        message = (
            rf"{folder} is not a model folder: .*config.json does not exist; .*correct the name"
        )
        with pytest.raises(UserError, match=message):
            Showo.from_pretrained(folder)

    @pytest.mark.parametrize("content", ["", "[]", "3", "{"])
    def test_config_that_is_no_object(self, folder, content):
        (folder / "config.json").write_text(content)
        with pytest.raises(UserError, match=r"config.json"):
            read_config(folder)

    @pytest.mark.parametrize("model", ["missing-folder", "a/b/c", "./a/b", "/no/where"])
    def test_neither_folder_nor_id(self, model):
        with pytest.raises(UserError, match="is not a folder"):
            resolve_folder(model, "showo")

    @pytest.mark.parametrize(
        "failure", [OSError("no network\nat all"), ValueError(), RuntimeError("gated")]
    )
    def test_hub_failure_in_one_line(self, monkeypatch, failure):
        import huggingface_hub

        def fail(*_, **__):
            raise failure

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        with pytest.raises(UserError, match="could not be downloaded") as caught:
            resolve_folder("owner/name", "showo")
        assert "\n" not in str(caught.value)


def test_a_hub_id_is_downloaded(monkeypatch, folder):
    import huggingface_hub

    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve_folder("showlab/show-o", "showo") == folder
    ((name, patterns),) = asked
    assert name == "showlab/show-o"
    assert {"*.json", "pytorch_model.safetensors", "pytorch_model.bin"} <= set(patterns)


@pytest.mark.parametrize("kind", ["showo", "magvitv2"])
def test_shapes_lies_in_the_package(kind):
    folder = resolve_folder("shapes", kind)
    assert folder.parts[-4:] == ("showo_turbo", "assets", "shapes", kind)


def test_config_is_plain_json(folder):
    assert read_config(folder) == json.loads((folder / "config.json").read_text())
