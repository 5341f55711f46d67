import json

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo, ShowoConfig
from showo_turbo.models.showo.sequences import UnifiedPrompting

from .. import naive
from ..tiny import (
    GOLDEN_CONFIG,
    golden_cases,
    golden_meta,
    golden_showo,
    released_keys,
    tiny_showo,
    write_golden_folder,
)

RELEASED_CONFIG = {
    "_class_name": "Showo",
    "_diffusers_version": "0.30.1",
    "codebook_size": 8192,
    "llm_model_path": "microsoft/phi-1_5",
    "llm_vocab_size": 50295,
    "load_from_showo": False,
    "num_vq_tokens": 1024,
    "vocab_size": 58498,
    "w_clip_vit": False,
}


class TestGolden:
    def test_text_to_image_logits(self):
        golden, network = golden_cases(), golden_showo()
        prompting = UnifiedPrompting(network.vocabulary, 12)
        ids = golden["t2i.input_ids"]
        prompts = [[1, 2, 3, 4], [7], [5, 6, *range(8, 16)]]
        batch = prompting.text_to_image(prompts, ids[:, 14:30] - network.vocabulary.image_offset)
        with torch.no_grad():
            hidden = network.hidden_states(
                batch.input_ids, batch.layout.attention_mask, batch.layout.position_ids
            )
            logits = network.logits(hidden[:, -17:-1], network.vocabulary.image_rows)
        assert (logits - golden["t2i.logits_image"]).abs().max() < 1e-4

    def test_text_to_image_logits_with_the_published_padding(self):
        golden, network = golden_cases(), golden_showo()
        with torch.no_grad():
            logits = network(golden["t2i.input_ids"], golden["t2i.attention_mask"])
        image = logits[:, 14:30, network.vocabulary.image_rows]
        assert (image - golden["t2i.logits_image"]).abs().max() < 1e-4

    @pytest.mark.parametrize("task", ["mmu", "lm"])
    def test_text_logits(self, task):
        golden, network = golden_cases(), golden_showo()
        mask = golden[f"{task}.attention_mask"]
        with torch.no_grad():
            logits = network(golden[f"{task}.input_ids"], mask)
        assert (logits - golden[f"{task}.logits"]).abs().max() < 1e-4

    def test_the_transformer_is_the_recorded_one(self):
        phi = GOLDEN_CONFIG.phi()
        for name, value in golden_meta()["phi"].items():
            if name in ("vocab_size", "partial_rotary_factor", "rope_theta"):
                continue  # the first is without images; the others are looked at below
            if name in ("attn_implementation", "hidden_act"):
                continue  # other names for the same function
            assert getattr(phi, name) == value, name
        assert phi.rope_parameters["partial_rotary_factor"] == 0.5
        assert phi.rope_parameters["rope_theta"] == 10000.0


def test_released_keys_and_shapes():
    with torch.device("meta"):
        state = Showo(ShowoConfig()).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == released_keys("showo")


class TestConfig:
    def test_released_file(self):
        config = ShowoConfig.from_dict(RELEASED_CONFIG)
        assert config == ShowoConfig(image_tokens=1024)
        assert config.vocabulary.size == 58498
        assert config.tokenizer == "microsoft/phi-1_5"

    @pytest.mark.parametrize("config", [GOLDEN_CONFIG, ShowoConfig(), ShowoConfig(tokenizer="x/y")])
    def test_round_trip(self, config):
        written = json.loads(json.dumps(config.to_dict()))
        assert ShowoConfig.from_dict(written) == config

    def test_what_released_code_reads_is_there(self):
        written = ShowoConfig(image_tokens=1024).to_dict()
        for name in ("codebook_size", "llm_vocab_size", "num_vq_tokens", "vocab_size"):
            assert written[name] == RELEASED_CONFIG[name]


class TestNetwork:
    def test_rows_of_the_head(self):
        network = golden_showo()
        hidden = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
        whole = network.logits(hidden)
        assert whole.shape == (2, 3, network.vocabulary.size)
        for rows in (network.vocabulary.image_rows, network.vocabulary.text_rows):
            torch.testing.assert_close(network.logits(hidden, rows), whole[..., rows])

    def test_an_appended_image_as_in_one_whole_sequence(self):
        network, v = golden_showo(), golden_showo().vocabulary
        prompting = UnifiedPrompting(v, 12)
        codes = torch.randint(0, 65, (2, 16), generator=torch.Generator().manual_seed(1))
        prompts = [[3], [1, 2, 3, 4, 5]]
        batch = prompting.text_to_image(prompts, codes)
        with torch.no_grad():
            whole = network.hidden_states(
                batch.input_ids, batch.layout.attention_mask, batch.layout.position_ids
            )[:, -18:]
            texts = [[v.t2i_id, v.sot_id, *prompt, v.eot_id] for prompt in prompts]
            ids = torch.tensor([[*text, *[v.pad_id] * (8 - len(text))] for text in texts])
            cache = network.new_cache(2, 8 + 18)
            network.append(ids, cache)
            cache.lengths = torch.tensor([len(text) for text in texts])
            appended = network.append(batch.input_ids[:, -18:], cache, bidirectional=True)
        torch.testing.assert_close(appended, whole, rtol=1e-4, atol=1e-4)

    def test_gradient_checkpointing_changes_no_gradient(self):
        gradients = []
        for checkpointing in (False, True):
            network = tiny_showo(decided=False).train()
            if checkpointing:
                network.gradient_checkpointing_enable()
            mask = torch.ones(1, 1, 5, 5).tril().bool()
            network(torch.tensor([[1, 2, 3, 4, 5]]), mask).square().mean().backward()
            gradients.append([parameter.grad for parameter in network.parameters()])
        for plain, recomputed in zip(*gradients, strict=True):
            torch.testing.assert_close(plain, recomputed)


class TestPretrained:
    def test_round_trip(self, tmp_path):
        folder = write_golden_folder(tmp_path / "golden")
        network = Showo.from_pretrained(folder)
        assert network.config == GOLDEN_CONFIG
        assert not any(tensor.is_meta for tensor in [*network.parameters(), *network.buffers()])
        network.save_pretrained(tmp_path / "copy")
        again = Showo.from_pretrained(str(tmp_path / "copy"))
        for key, value in network.state_dict().items():
            assert torch.equal(again.state_dict()[key], value), key
        with torch.no_grad():
            mask = golden_cases()["lm.attention_mask"]
            logits = again(golden_cases()["lm.input_ids"], mask)
        assert (logits - golden_cases()["lm.logits"]).abs().max() < 1e-4

    def test_saved_file_names_and_keys_are_the_released_ones(self, tmp_path):
        from safetensors import safe_open

        tiny_showo().save_pretrained(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "config.json",
            "pytorch_model.safetensors",
        ]
        with safe_open(tmp_path / "pytorch_model.safetensors", "pt") as file:
            assert file.metadata() == {"format": "pt"}
            names = set(file.keys())
        in_layers = {key for key in released_keys("showo") if "layers.0." in key}
        assert {key for key in names if "layers.0." in key} == in_layers

    @pytest.mark.bad_input
    def test_shapes_that_differ_from_the_config(self, tmp_path):
        folder = write_golden_folder(tmp_path)
        config = json.loads((folder / "config.json").read_text())
        config["codebook_size"] = 32
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match="wrong shape") as caught:
            Showo.from_pretrained(folder)
        assert "showo.lm_head.weight is (195, 64), expected (163, 64)" in str(caught.value)

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("showo_turbo", []),
            ("showo_turbo", "x"),
            ("llm_vocab_size", "many"),
            ("llm_vocab_size", -1),
            ("codebook_size", 1.5),
            ("num_vq_tokens", 0),
            ("llm_model_path", 7),
            ("showo_turbo.layers", "two"),
            ("showo_turbo.layers", None),
            ("showo_turbo.heads", 0),
            ("showo_turbo.heads", 3),
            ("showo_turbo.hidden_size", True),
            ("showo_turbo.partial_rotary_factor", "half"),
        ],
    )
    def test_config_with_a_wrong_value(self, tmp_path, name, value):
        folder = write_golden_folder(tmp_path)
        config = json.loads((folder / "config.json").read_text())
        section, _, key = name.rpartition(".")
        (config[section] if section else config)[key] = value
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError) as caught:
            Showo.from_pretrained(folder)
        assert "config.json" in str(caught.value)
        assert key in str(caught.value)
        assert "\n" not in str(caught.value)


def test_image_logits_are_those_of_the_whole_unbatched_sequence():
    model = tiny_showo()
    codes = torch.randint(0, 25, (3, 16))
    prompts = [[1, 2, 3], [], [4]]
    with torch.no_grad():
        found = model.image_logits(prompts, codes)
        for row, prompt in enumerate(prompts):
            expected = naive.image_logits(model, prompt, codes[row].tolist(), pad_to=13)
            torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-4)
