"""A Show-o that starts from a language model in the released layout of Phi-1.5."""

import json

import pytest
import torch
from transformers import PhiConfig, PhiForCausalLM

from showo_turbo.errors import UserError
from showo_turbo.models.showo import ShowoConfig, start_from_phi
from showo_turbo.training.pretrain_showo import PretrainShowo

SIZES = ShowoConfig(
    text_vocabulary_size=30, codebook_size=24, image_tokens=16, tokenizer=None, eos_id=29
)
VOCABULARY = SIZES.vocabulary
TEXTS = [[3, 4, 5, 6], [7, 8]]


def write_phi(folder, **options):
    """A tiny Phi, with rows beyond its tokens as the released one has them."""
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 40,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
        "partial_rotary_factor": 0.5,
    }
    phi = PhiForCausalLM(PhiConfig(**(sizes | options))).eval()
    with torch.no_grad():
        for parameter in phi.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    phi.save_pretrained(folder)
    return phi


def test_text_keeps_its_weights(tmp_path):
    phi = write_phi(tmp_path)
    torch.manual_seed(1)
    network = start_from_phi(tmp_path, SIZES)
    config = network.config
    assert (config.hidden_size, config.layers, config.heads) == (32, 2, 2)
    assert (config.intermediate_size, config.max_position_embeddings) == (48, 128)
    theirs, ours = phi.state_dict(), network.state_dict()
    for key, value in theirs.items():
        own = ours[f"showo.{key}"]
        if key in ("model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"):
            assert len(own) == VOCABULARY.size
            assert torch.equal(own[:30], value[:30])
        else:
            assert torch.equal(own, value)
    new = ours["showo.model.embed_tokens.weight"][30:]
    assert 0.015 < float(new.std()) < 0.025 and new.unique(dim=0).shape == new.shape
    assert not ours["showo.lm_head.bias"][30:].any()
    norms = [key for key in ours if "q_layernorm" in key or "k_layernorm" in key]
    assert len(norms) == 8
    assert all(ours[key].eq(float(key.endswith("weight"))).all() for key in norms)


def test_a_phi_with_that_normalization_predicts_the_same(tmp_path):
    phi = write_phi(tmp_path, qk_layernorm=True)
    network = start_from_phi(tmp_path, SIZES).eval()
    with torch.no_grad():
        logits, labels = network.language_logits(TEXTS, 16)
        for row, text in enumerate(TEXTS):
            ids = [29, *text, 29]
            expected = phi(torch.tensor([ids])).logits[0, :, :30]
            assert labels[row, : len(ids)].tolist() == ids
            torch.testing.assert_close(logits[row, : len(ids)], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("newer", [True, False])
def test_how_much_rotates(tmp_path, newer):
    """Phi-1.5's own file has it beside the other sizes, newer ones among those of the rotation."""
    write_phi(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values.pop("rope_parameters", None)
    factor = {"partial_rotary_factor": 0.25}
    values |= {"rope_parameters": factor} if newer else factor | {"rope_theta": 10000.0}
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert start_from_phi(tmp_path, SIZES).config.partial_rotary_factor == 0.25


def test_pretraining_starts_from_it(tmp_path, random_shapes_model):
    """With sizes of the tokenizers, but for what the language model has."""
    write_phi(tmp_path / "phi", vocab_size=700)
    made = PretrainShowo(
        language_model=str(tmp_path / "phi"), text_tokenizer=str(random_shapes_model)
    )
    made.sizes = type(made.sizes)(image_tokens=36, max_text_length=32)
    made.configure_model()
    config = made.model.config
    assert (config.text_vocabulary_size, config.codebook_size, config.hidden_size) == (640, 512, 32)


@pytest.mark.bad_input
class TestBadInput:
    def test_another_model(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
        with pytest.raises(UserError, match="model type 'llama'"):
            start_from_phi(tmp_path, SIZES)

    def test_too_few_tokens(self, tmp_path):
        write_phi(tmp_path, vocab_size=20)
        with pytest.raises(UserError, match="has 20 tokens, the text tokenizer 30"):
            start_from_phi(tmp_path, SIZES)

    @pytest.mark.parametrize("newer", [True, False])
    def test_other_rotary_angles(self, tmp_path, newer):
        """In both places where files have them."""
        write_phi(tmp_path)
        values = json.loads((tmp_path / "config.json").read_text())
        values.pop("rope_parameters", None)
        theta = {"rope_theta": 5e5}
        values |= {"rope_parameters": theta} if newer else theta
        (tmp_path / "config.json").write_text(json.dumps(values))
        with pytest.raises(UserError, match=r"has rope_theta 500000\.0"):
            start_from_phi(tmp_path, SIZES)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("hidden_act", "relu"),
            ("layer_norm_eps", 1e-6),
            ("rope_scaling", {"type": "linear", "factor": 2.0}),
        ],
    )
    def test_layers_that_compute_something_else(self, tmp_path, name, value):
        write_phi(tmp_path)
        values = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(values | {name: value}))
        with pytest.raises(UserError, match=f"has {name} .*; expected .*, as in Phi-1.5, name"):
            start_from_phi(tmp_path, SIZES)

    def test_weights_of_other_sizes(self, tmp_path):
        write_phi(tmp_path)
        values = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(values | {"num_hidden_layers": 3}))
        with pytest.raises(UserError, match=r"do not fit its config\.json: .* missing"):
            start_from_phi(tmp_path, SIZES)
