"""The network of MMaDA, against numbers of the published code."""

import json
from fnmatch import fnmatch

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from showo_turbo.errors import UserError
from showo_turbo.inference.loading import check_fit
from showo_turbo.models.checkpoints import resolve_folder
from showo_turbo.models.layout import Layout
from showo_turbo.models.masked_text import MaskedTextModel
from showo_turbo.models.mmada import MMaDA, MMaDAConfig
from showo_turbo.models.registry import (
    OURS,
    check_family,
    import_family,
    load_config,
    load_model,
)
from showo_turbo.models.showo import Showo
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny import GOLDEN, tiny_magvitv2, tiny_showo
from ..tiny_mmada import (
    FOLDER,
    GOLDEN_CONFIG,
    WIDTH,
    codes_of,
    golden_cases,
    golden_meta,
    golden_mmada,
    golden_prompts,
    golden_tokenizer,
    released_config,
    tiny_mmada,
    write_golden_folder,
)

IMAGE = slice(WIDTH + 1, -1)
INDEX = "model.safetensors.index.json"


def everywhere(ids):
    """A layout without padding."""
    return Layout(torch.ones_like(ids))


class TestGolden:
    def test_text_to_image_logits_with_the_published_padding(self):
        golden, network = golden_cases(), golden_mmada()
        mask = golden["t2i.mask"]
        layout = Layout(torch.ones_like(golden["t2i.input_ids"]), ~mask)
        with torch.no_grad():
            logits = network(golden["t2i.input_ids"], layout)
        assert (logits - golden["t2i.logits"])[mask].abs().max() < 1e-3

    @pytest.mark.parametrize("padding", ["masked", "visible"])
    def test_image_logits(self, padding):
        golden = golden_cases()
        codes = codes_of(golden["t2i.input_ids"][:, IMAGE])
        prompts = golden_prompts(golden_meta()["cases"]["sequences"]["prompts"])
        expected = golden["t2i.logits_image_padding_visible"]
        if padding == "masked":
            rows = golden_mmada().vocabulary.image_rows
            assert not torch.allclose(golden["t2i.logits"][:, IMAGE, rows], expected, atol=0.01)
            expected = golden["t2i.logits"][:, IMAGE, rows]
        with torch.no_grad():
            logits = golden_mmada(padding).image_logits(prompts, codes)
        assert (logits - expected).abs().max() < 1e-3

    def test_unconditional_image_logits(self):
        golden, network = golden_cases(), golden_mmada()
        codes = codes_of(golden["t2i.input_ids"][:, IMAGE])
        with torch.no_grad():
            logits = network.image_logits([network.null_prompt] * 4, codes)
        assert (logits - golden["t2i_uncond.logits_image"]).abs().max() < 1e-3

    @pytest.mark.parametrize("task", ["mmu", "lm"])
    def test_text_logits(self, task):
        golden, network = golden_cases(), golden_mmada()
        ids = golden[f"{task}.input_ids"]
        with torch.no_grad():
            logits = network(ids, everywhere(ids))[:, ::7]
        assert (logits - golden[f"{task}.logits"]).abs().max() < 1e-3

    @pytest.mark.parametrize("case", ["train", "train_lengths", "train_chat"])
    @pytest.mark.parametrize("padding", ["masked", "visible"])
    def test_losses(self, case, padding):
        """Cross-entropies of images, texts and answers, of two sequences each."""
        golden, network = golden_cases(), golden_mmada()
        ids, labels = golden[f"{case}.input_ids"], golden[f"{case}.labels"]
        seen = Layout(torch.ones_like(ids[:2]), ~golden[f"{case}.t2i_masks"], padding_visible=True)
        hidden = Layout(seen.block, seen.padding)
        with torch.no_grad():
            image = network(ids[:2], seen if padding == "visible" else hidden)[:, WIDTH:]
            text = network(ids[2:], everywhere(ids[2:]))
        losses = [F.cross_entropy(image.transpose(1, 2), labels[:2, WIDTH:])]
        by_length = golden_meta()["cases"][case]["loss_of_lm_uses_answer_lengths"]
        for kind, rows in (("lm", slice(2, 4)), ("mmu", slice(4, 6))):
            part = text[rows.start - 2 : rows.stop - 2]
            token_losses = F.cross_entropy(
                part.transpose(1, 2), labels[rows], reduction="none", ignore_index=-100
            )
            token_losses = token_losses * (ids[rows] == network.vocabulary.mask_id)
            token_losses = token_losses / golden[f"{case}.p_mask_{kind}"][:, None]
            lengths = golden[f"{case}.answer_lengths_{kind}"][:, None]
            if kind == "lm" and not by_length:
                lengths = torch.full_like(lengths, ids.shape[1])
            losses.append((token_losses / lengths).sum() / 2)
        expected = golden[f"{case}.losses_padding_{padding}"]
        torch.testing.assert_close(torch.stack(losses), expected, rtol=0, atol=1e-3)


def test_released_keys_and_shapes():
    with torch.device("meta"):
        state = MMaDA(MMaDAConfig()).state_dict()
    assert len(state) == 291
    assert sum(value.numel() for value in state.values()) == 8_082_690_048
    shapes = {key.removeprefix("model.transformer."): tuple(v.shape) for key, v in state.items()}
    assert shapes["wte.weight"] == shapes["ff_out.weight"] == (134656, 4096)
    assert shapes["ln_f.weight"] == (4096,)
    of_a_block = {
        "attn_norm": (4096,),
        "ff_norm": (4096,),
        **dict.fromkeys(("q_proj", "k_proj", "v_proj", "attn_out"), (4096, 4096)),
        **dict.fromkeys(("ff_proj", "up_proj"), (12288, 4096)),
        "ff_out": (4096, 12288),
    }
    for block in range(32):
        for name, shape in of_a_block.items():
            assert shapes[f"blocks.{block}.{name}.weight"] == shape


class TestConfig:
    def test_released_file(self):
        values = released_config()
        added = {"num_vq_tokens": 1024, "codebook_size": 8192, "new_vocab_size": 134656}
        ids = {"eos_token_id": 126081, "mask_token_id": 126336}
        config = MMaDAConfig.from_dict(values | added | ids)
        sizes = ("hidden_size", "layers", "heads", "kv_heads", "intermediate_size")
        expected = {name: getattr(GOLDEN_CONFIG, name) for name in sizes}
        assert config == MMaDAConfig(max_position_embeddings=256, **expected)

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


class TestNetwork:
    def test_rows_of_a_batch_are_as_alone(self):
        model = tiny_mmada().double()
        generator = torch.Generator().manual_seed(0)
        codes = torch.randint(0, 25, (3, 16), generator=generator)
        prompts = [[1, 2, 3], [], [4]]
        answers = torch.randint(0, 24, (3, 6), generator=generator)
        with torch.no_grad():
            images = model.image_logits(prompts, codes)
            texts = model.text_logits(codes, prompts, answers)
            plain = model.text_logits(None, prompts, answers, slice(2, 5), restrict_to_text=False)
            for row in range(3):
                one, prompt, answer = codes[row, None], prompts[row : row + 1], answers[row, None]
                close = {"rtol": 1e-4, "atol": 1e-4}
                alone = model.image_logits(prompt, one)
                torch.testing.assert_close(images[row, None], alone, **close)
                alone = model.text_logits(one, prompt, answer)
                torch.testing.assert_close(texts[row, None], alone, **close)
                alone = model.text_logits(None, prompt, answer, restrict_to_text=False)
                torch.testing.assert_close(plain[row, None], alone[:, 2:5], **close)
        assert texts.shape == (3, 6, 40) and plain.shape == (3, 3, 66)

    def test_shared_keys_and_values_are_repeated_head_by_head(self):
        shared = tiny_mmada(heads=4, kv_heads=2)
        whole = tiny_mmada(heads=4, kv_heads=4)
        state = shared.state_dict()
        for name, value in state.items():
            if "k_proj" in name or "v_proj" in name:
                heads = value.unflatten(0, (2, 8))
                state[name] = torch.stack([heads[0], heads[0], heads[1], heads[1]]).flatten(0, 1)
        whole.load_state_dict(state)
        ids = torch.arange(10)[None]
        with torch.no_grad():
            torch.testing.assert_close(
                shared(ids, everywhere(ids)), whole(ids, everywhere(ids)), rtol=1e-4, atol=1e-4
            )

    def test_every_token_sees_every_other(self):
        model = tiny_mmada()
        ids = torch.arange(8)[None]
        changed = ids.clone()
        changed[0, -1] = 20
        with torch.no_grad():
            first = model(ids, everywhere(ids))[0, 0]
            other = model(changed, everywhere(ids))[0, 0]
        assert not torch.allclose(first, other, atol=1e-3)

    def test_gradient_checkpointing_changes_no_gradient(self):
        gradients = []
        for checkpointing in (False, True):
            network = tiny_mmada().train()
            if checkpointing:
                network.gradient_checkpointing_enable()
            logits = network.image_logits([[1, 2], []], torch.full((2, 16), 24))
            logits.log_softmax(dim=-1)[..., 0].mean().backward()
            gradients.append([parameter.grad for parameter in network.parameters()])
        for plain, recomputed in zip(*gradients, strict=True):
            torch.testing.assert_close(plain, recomputed)

    def test_adapters_have_layers(self):
        layers, owner = tiny_mmada().lora_layers()
        assert len(layers) == 2
        names = {name for name, part in layers[0].named_children() if hasattr(part, "in_features")}
        assert names == {
            *("q_proj", "k_proj", "v_proj", "attn_out"),
            *("ff_proj", "up_proj", "ff_out"),
        }
        assert any(part is layers for part in owner.modules())


class TestPretrained:
    def test_shards_and_a_released_config(self, tmp_path):
        folder = write_golden_folder(tmp_path, released_config() | {"showo_turbo": own()})
        network = load_model(folder)
        assert type(network) is MMaDA and network.config == load_config(folder) == GOLDEN_CONFIG
        state, expected = network.state_dict(), load_file(FOLDER / "mmada.safetensors")
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(state[key], value.float()), key
        network.save_pretrained(tmp_path / "copy")
        copy = load_model(tmp_path / "copy")
        assert copy.config == GOLDEN_CONFIG
        assert all(torch.equal(copy.state_dict()[key], value) for key, value in state.items())

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

    def test_the_family_is_complete(self):
        check_family(MMaDA)
        assert import_family(OURS["MMaDA"]) is MMaDA


def own():
    return GOLDEN_CONFIG.to_dict()["showo_turbo"]


class WithoutTextLogits(MMaDA):
    """Denoises its text, but lacks what that takes."""

    text_logits = MaskedTextModel.text_logits


@pytest.mark.bad_input
class TestBadInput:
    def test_a_family_that_lacks_a_method(self):
        with pytest.raises(UserError, match=r"WithoutTextLogits is not .* lacks text_logits; der"):
            check_family(WithoutTextLogits)

    @pytest.mark.parametrize("name", ["d_model", "n_kv_heads", "rms_norm_eps", "rope", "alibi"])
    def test_a_field_is_missing(self, tmp_path, name):
        values = released_config()
        del values[name]
        folder = write_golden_folder(tmp_path, values)
        with pytest.raises(UserError, match=f"describes no MMaDA: it lacks {name};") as caught:
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
        values = released_config() | {"showo_turbo": own()} | changes
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

    def test_the_config_of_llada(self, tmp_path):
        """The text model: other keys in its `config.json`, and no image rows in its weights."""
        images = ("codebook_size", "num_vq_tokens", "llm_vocab_size", "new_vocab_size")
        values = {name: v for name, v in released_config().items() if name not in images}
        folder = write_golden_folder(tmp_path, values | {"model_type": "llada"})
        with pytest.raises(UserError, match="architecture 'llada'; expected Showo, MMaDA, or"):
            load_model(folder)
        with pytest.raises(UserError, match="lacks codebook_size, num_vq_tokens, new_vocab_size; "):
            load_model(folder, MMaDA)

    def test_the_weights_of_llada(self, tmp_path):
        folder = write_golden_folder(tmp_path)
        for path in folder.glob("model*"):
            path.unlink()
        state = load_file(FOLDER / "mmada.safetensors")
        for name in ("wte", "ff_out"):
            key = f"model.transformer.{name}.weight"
            state[key] = state[key][:89].clone()
        save_file(state, folder / "model.safetensors")
        with pytest.raises(UserError, match=r"rows for 89 tokens, but .* end at id 115;") as caught:
            load_model(folder)
        assert "not of LLaDA" in str(caught.value) and "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("tokenizer", "message"),
        [
            (GOLDEN / "tokenizer.json", "has 120 tokens, the model only 84; name the text tok"),
            ("golden", "ends texts with id 61, the model with 62; name the text tokenizer"),
        ],
    )
    def test_a_tokenizer_of_another_model(self, tokenizer, message):
        config = GOLDEN_CONFIG.to_dict()
        config["eos_token_id"] = 62
        network = MMaDA(MMaDAConfig.from_dict(config))
        found = golden_tokenizer()
        if tokenizer != "golden":
            found = TextTokenizer.from_file(tokenizer)
        with pytest.raises(UserError, match=message):
            check_fit(network, tiny_magvitv2(bits=5), found)

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
        with pytest.raises(UserError, match=r"does not exist, but .* names it; expected all 2"):
            load_model(folder)

    def test_what_needs_an_order_of_tokens(self):
        model = tiny_mmada()
        with pytest.raises(UserError, match="no decoding from left to right; choose method 'block"):
            model.begin_text(None, [[1]], 4)
        with pytest.raises(UserError, match="no Jacobi iterates; leave out the stream text"):
            model.answer_logits(None, {})
        with pytest.raises(UserError, match=r"no next-token .*; leave out the stream language"):
            model.language_logits([[1]], 4)
