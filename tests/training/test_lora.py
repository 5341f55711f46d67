import sys
from copy import deepcopy

import pytest
import torch
from peft.tuners.lora import LoraLayer

from showo_turbo.cli.export import export
from showo_turbo.errors import UserError
from showo_turbo.models.lora import merge_lora
from showo_turbo.models.showo import Showo
from showo_turbo.training.lora import LoRAOptions, add_lora, seed_step
from showo_turbo.training.optimizers import parameter_groups
from showo_turbo.training.turbo import ShowoTurbo

from ..tiny import tiny_showo
from ..tiny_mmada import shapes_mmada


def adapted(options=LoRAOptions(rank=3, alpha=7.0), seed=0):
    """A network whose adapters have learned something, and itself before."""
    plain = tiny_showo(seed, decided=False)
    network = deepcopy(plain)
    add_lora(network, options)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return plain, network


def logits(network):
    ids = torch.arange(10)[None]
    mask = torch.ones(1, 1, 10, 10, dtype=torch.bool)
    with torch.no_grad():
        return network.logits(network.hidden_states(ids, mask), network.vocabulary.text_rows)


def test_adapters_change_nothing_at_first():
    plain = tiny_showo(decided=False)
    network = deepcopy(plain)
    add_lora(network, LoRAOptions())
    torch.testing.assert_close(logits(network), logits(plain), rtol=0, atol=0)


def test_merged_weights_compute_the_same():
    plain, network = adapted()
    merged = tiny_showo(1, decided=False)
    merged.load_state_dict(merge_lora(network.state_dict()))
    torch.testing.assert_close(logits(merged), logits(network), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits(merged), logits(plain), atol=1e-2)


def test_merging_is_what_peft_does():
    _, network = adapted()
    merged = merge_lora(network.state_dict())
    layers = 0
    for name, module in network.named_modules():
        if isinstance(module, LoraLayer):
            module.merge()
            torch.testing.assert_close(merged[f"{name}.weight"], module.get_base_layer().weight)
            layers += 1
    assert layers == 12


def test_all_layers_of_any_family_have_one():
    for network, layers in ((tiny_showo(), 6), (shapes_mmada(), 7)):
        blocks = len(list(network.lora_layers()[0].children()))
        add_lora(network, LoRAOptions(rank=2))
        adapters = [name for name, _ in network.named_parameters() if "lora_A" in name]
        assert len(adapters) == layers * blocks


def test_only_adapters_are_trained():
    _, network = adapted(LoRAOptions(rank=2, modules=("q_proj",)))
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert len(trained) == 4 and all(".q_proj.lora_" in name for name in trained)
    assert sum(len(group["params"]) for group in parameter_groups(network)) == 4


def test_a_network_without_adapters_stays():
    state = tiny_showo().state_dict()
    assert merge_lora(state) == state


def test_the_export_of_a_checkpoint_is_merged(tmp_path):
    _, network = adapted()
    state = {f"student.{key}": value for key, value in network.state_dict().items()}
    content = {"state_dict": state, "showo_config": network.config.to_dict()}
    torch.save(content, tmp_path / "last.ckpt")
    export(tmp_path / "last.ckpt", tmp_path / "out", text_tokenizer="shapes")
    found = Showo.from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(logits(found), logits(network), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (LoRAOptions(rank=0), "rank of LoRA is 0"),
        (LoRAOptions(modules=("lm_head",)), "to adapt lm_head; name layers among dense, fc1"),
        (LoRAOptions(modules=()), "to adapt nothing"),
        (LoRAOptions(dropout=1.0), "dropout of LoRA is 1.0; it must be 0 or more, and below 1"),
    ],
)
def test_mistakes(options, words):
    with pytest.raises(UserError, match=words):
        add_lora(tiny_showo(), options)


def test_what_a_step_drops_is_a_function_of_the_step_and_the_seed(monkeypatch):
    def drawn(*place):
        seed_step(*place)
        return torch.rand(4).tolist()

    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    first = drawn(3, 1, 0)
    torch.rand(1)
    assert drawn(3, 1, 0) == first
    others = [drawn(4, 1, 0), drawn(3, 2, 0), drawn(3, 1, 1)]
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    others.append(drawn(3, 1, 0))
    assert first not in others and len({*map(tuple, others)}) == 4


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install .showo-turbo\[lora\]"):
        add_lora(tiny_showo(), LoRAOptions())


def test_the_student_becomes_the_teacher_with_its_adapters(random_shapes_model):
    module = ShowoTurbo(
        student=str(random_shapes_model),
        text_tokenizer=str(random_shapes_model),
        lora=LoRAOptions(rank=2),
    )
    module.configure_model()
    with torch.no_grad():
        for name, parameter in module.student.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    assert not torch.allclose(logits(module.teacher), logits(module.student), atol=1e-3)
    module.reseed_teacher()
    torch.testing.assert_close(logits(module.teacher), logits(module.student))
