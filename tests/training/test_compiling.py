"""Compiled layers: the same step, and nothing is compiled again for other lengths."""

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.protocols import ImageModel
from showo_turbo.models.showo import Showo
from showo_turbo.training.compiling import compile_layers

from ..tiny import tiny_showo
from ..tiny_mmada import tiny_mmada


def gradients(network, words, rows=2):
    network.zero_grad()
    codes = torch.full((rows, 16), network.mask_code)
    logits = network.image_logits([list(range(1, 1 + words))] * rows, codes)
    with torch.no_grad():
        target = network.image_logits([[1]] * rows, codes)
    logits.log_softmax(dim=-1)[..., 0].mean().backward()
    return [target, *(p.grad for p in network.parameters() if p.grad is not None)]


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [None, (), (True,)])
@pytest.mark.parametrize("make", [tiny_showo, tiny_mmada])
def test_as_without(make, checkpointing):
    torch._dynamo.reset()
    plain, compiled = make().train(), make().train()
    names = list(compiled.state_dict())
    if checkpointing is not None:
        compiled.gradient_checkpointing_enable(*checkpointing)
    compile_layers(compiled, backend="aot_eager")
    assert list(compiled.state_dict()) == names
    for words, rows in ((3, 2), (5, 3)):
        for mine, theirs in zip(
            gradients(compiled, words, rows), gradients(plain, words, rows), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for words, rows in ((2, 4), (7, 2), (9, 5)):
            gradients(compiled, words, rows)


@pytest.mark.bad_input
def test_a_family_that_names_no_layers(monkeypatch):
    monkeypatch.setattr(Showo, "lora_layers", ImageModel.lora_layers)
    with pytest.raises(UserError, match="Showo has no layers"):
        compile_layers(tiny_showo())
