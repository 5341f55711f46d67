"""The `config.json` of MMaDA: what released files hold, what our own add, and what is wrong."""

import json

import pytest

from showo_turbo.errors import UserError
from showo_turbo.models.mmada import MMaDAConfig
from showo_turbo.models.registry import load_model

from ..tiny_mmada import GOLDEN_CONFIG, own_values, released_config, write_golden_folder


class TestConfig:
    def test_released_file(self):
        values = released_config()
        added = {"num_vq_tokens": 1024, "codebook_size": 8192, "new_vocab_size": 134656}
        ids = {"eos_token_id": 126081, "mask_token_id": 126336}
        config = MMaDAConfig.from_dict(values | added | ids | {"max_sequence_length": 4096})
        sizes = ("hidden_size", "layers", "heads", "kv_heads", "intermediate_size")
        expected = {name: getattr(GOLDEN_CONFIG, name) for name in sizes}
        assert config == MMaDAConfig(**expected)

    @pytest.mark.parametrize("config", [GOLDEN_CONFIG, MMaDAConfig(), MMaDAConfig(tokenizer="x/y")])
    def test_round_trip(self, config):
        written = json.loads(json.dumps(config.to_dict()))
        assert MMaDAConfig.from_dict(written) == config

    def test_what_released_code_reads_is_there(self):
        written = GOLDEN_CONFIG.to_dict()
        released = released_config()
        known = {name: written[name] for name in released if name in written}
        assert known == {name: released[name] for name in known}
        assert {"n_kv_heads", "vocab_size", "embedding_size", "llm_vocab_size"} <= known.keys()


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize("name", ["d_model", "n_kv_heads", "rms_norm_eps", "rope", "alibi"])
    def test_a_field_is_missing(self, tmp_path, name):
        values = released_config()
        del values[name]
        folder = write_golden_folder(tmp_path, values)
        with pytest.raises(UserError, match=f"describes no MMaDA: it lacks {name}") as caught:
            load_model(folder)
        assert "restore the file" in str(caught.value) and "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"activation_type": "gelu"}, "activation_type is 'gelu'; expected 'silu'"),
            ({"weight_tying": True}, "weight_tying is True; expected False"),
            ({"block_group_size": True}, "block_group_size is True; expected 1"),
            ({"d_model": "wide"}, r"hidden_size \(d_model in released files\) is 'wide'; expected"),
            ({"n_heads": 3}, r"heads \(n_heads in .*\) is 3; expected a divisor of half"),
            ({"n_kv_heads": 3}, r"kv_heads \(.*\) is 3; expected a divisor of heads=4"),
            ({"rope_theta": 0}, "rope_theta is 0; expected a number above 0"),
            ({"mask_token_id": 84}, r"mask_id \(.*\) is 84; expected an id of text, 0 to 83"),
            ({"mask_token_id": 61}, r"mask_id \(.*\) is 61; expected another id than that of eos_"),
            ({"new_vocab_size": 115}, r"vocabulary_size \(.*\) is 115; expected at least 116"),
            ({"showo_turbo": 7}, "showo_turbo is 7; expected an object of sizes"),
        ],
    )
    def test_sizes(self, changes, message):
        values = released_config() | {"showo_turbo": own_values()} | changes
        with pytest.raises(UserError, match=message) as caught:
            MMaDAConfig.from_dict(values)
        assert "restore" in str(caught.value) and "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"padding": "seen"}, "padding is 'seen'; expected 'masked' or 'visible'"),
            ({"soi_id": 52}, "pad_id is 61; expected another id than that of eos_id"),
            ({"tokenizer": 7}, "tokenizer is 7; expected a folder or a hub id"),
        ],
    )
    def test_what_only_our_own_files_hold(self, changes, message):
        values = GOLDEN_CONFIG.to_dict()
        values["showo_turbo"] |= changes
        with pytest.raises(UserError, match=message):
            MMaDAConfig.from_dict(values)
