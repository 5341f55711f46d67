"""The network of MMaDA, against numbers of the published code."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from showo_turbo.errors import UserError
from showo_turbo.inference.loading import check_fit
from showo_turbo.losses.language_model import IGNORED
from showo_turbo.losses.masked_text import masked_text_loss
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
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny import GOLDEN, tiny_magvitv2
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
    own_values,
    released_config,
    tiny_mmada,
    write_golden_folder,
)

IMAGE = slice(WIDTH + 1, -1)


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
            hidden = ids[rows] == network.vocabulary.mask_id
            lengths = golden[f"{case}.answer_lengths_{kind}"]
            if kind == "lm" and not by_length:
                lengths = torch.full_like(lengths, ids.shape[1])
            found = masked_text_loss(
                part,
                labels[rows].masked_fill(~hidden, IGNORED),
                golden[f"{case}.p_mask_{kind}"],
                lengths,
            )
            losses.append(found.mean)
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
        folder = write_golden_folder(tmp_path, released_config() | {"showo_turbo": own_values()})
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

    def test_the_family_is_complete(self):
        check_family(MMaDA)
        assert import_family(OURS["MMaDA"]) is MMaDA


class WithoutTextLogits(MMaDA):
    """Denoises its text, but lacks what that takes."""

    text_logits = MaskedTextModel.text_logits


@pytest.mark.bad_input
class TestBadInput:
    def test_a_family_that_lacks_a_method(self):
        with pytest.raises(UserError, match=r"WithoutTextLogits is not .* lacks text_logits"):
            check_family(WithoutTextLogits)

    def test_the_config_of_llada(self, tmp_path):
        """The text model: other keys in its `config.json`, and no image rows in its weights."""
        images = ("codebook_size", "num_vq_tokens", "llm_vocab_size", "new_vocab_size")
        values = {name: v for name, v in released_config().items() if name not in images}
        folder = write_golden_folder(tmp_path, values | {"model_type": "llada"})
        with pytest.raises(UserError, match="architecture 'llada'"):
            load_model(folder)
        with pytest.raises(UserError, match="lacks codebook_size, num_vq_tokens, new_vocab_size"):
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
        with pytest.raises(UserError, match=r"rows for 89 tokens, but .* end at id 115") as caught:
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

    def test_what_needs_an_order_of_tokens(self):
        model = tiny_mmada()
        with pytest.raises(UserError, match="no decoding from left to right"):
            model.begin_text(None, [[1]], 4)
        with pytest.raises(UserError, match="no Jacobi iterates"):
            model.answer_logits(None, {})
        with pytest.raises(UserError, match="no next-token"):
            model.language_logits([[1]], 4)
