"""Muon for the hidden matrices, AdamW for the rest."""

import copy

import pytest
import torch
from torch import nn

from showo_turbo.training.optimizers import MuonWithAdamW, parameter_groups


class Network(nn.Module):
    """An embedding, a hidden layer and a head, as in a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.hidden = nn.Linear(4, 4)
        self.lm_head = nn.Linear(4, 7)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.lm_head(torch.tanh(self.hidden(self.embed(ids))))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network()


def backward(network: Network, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(7, (16,), generator=generator)
    network.zero_grad()
    nn.functional.cross_entropy(network(ids), ids.roll(1)).backward()


def test_groups_name_every_trained_parameter_once(network: Network) -> None:
    network.hidden.bias.requires_grad_(False)
    matrices, others = parameter_groups(network)
    assert matrices["hidden_matrices"] is True and others["hidden_matrices"] is False
    assert [p is network.hidden.weight for p in matrices["params"]] == [True]
    assert {id(p) for p in others["params"]} == {
        id(network.embed.weight),
        id(network.lm_head.weight),
        id(network.lm_head.bias),
    }


def test_other_parameters_move_as_under_adamw(network: Network) -> None:
    twin = copy.deepcopy(network)
    ours = MuonWithAdamW(parameter_groups(network), lr=0.01, weight_decay=0.1)
    rest = [twin.embed.weight, twin.hidden.bias, twin.lm_head.weight, twin.lm_head.bias]
    adamw = torch.optim.AdamW(rest, lr=0.01, weight_decay=0.1, betas=(0.9, 0.95))
    for step in range(3):
        backward(network, step)
        ours.step()
        backward(twin, step)
        adamw.step()
        with torch.no_grad():
            twin.hidden.weight.copy_(network.hidden.weight)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter, dict(twin.named_parameters())[name])


def test_hidden_matrix_moves_along_an_orthogonal_matrix(network: Network) -> None:
    before = network.hidden.weight.detach().clone()
    optimizer = MuonWithAdamW(parameter_groups(network), lr=0.01, weight_decay=0.0)
    backward(network, 0)
    optimizer.step()
    update = (before - network.hidden.weight.detach()) / 0.01
    singular_values = torch.linalg.svdvals(update)
    expected = 0.2 * 4**0.5  # root mean square 0.2 an entry, as AdamW's updates have
    # Five Newton-Schulz iterations leave the singular values between about 0.7 and 1.2.
    assert singular_values.max() < 1.3 * expected
    assert singular_values[0] / singular_values[-2] < 2.0


def test_resumes_from_its_state_dict(network: Network) -> None:
    optimizer = MuonWithAdamW(parameter_groups(network), lr=0.01)
    for step in range(2):
        backward(network, step)
        optimizer.step()
    resumed_network = copy.deepcopy(network)
    resumed = MuonWithAdamW(parameter_groups(resumed_network), lr=0.5)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each, its_optimizer in ((network, optimizer), (resumed_network, resumed)):
        backward(each, 2)
        its_optimizer.step()
    for ours, theirs in zip(network.parameters(), resumed_network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_schedule_reaches_both_parts(network: Network) -> None:
    optimizer = MuonWithAdamW(parameter_groups(network), lr=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    before = copy.deepcopy(network.state_dict())
    backward(network, 0)
    optimizer.step()
    schedule.step()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("shape", [(8, 8), (8, 24), (24, 8)])
def test_matrices_of_one_shape_move_as_under_torchs_muon(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for _ in range(3)]
    theirs = [nn.Parameter(each.detach().clone()) for each in ours]
    optimizer = MuonWithAdamW(
        [{"params": ours, "hidden_matrices": True}], lr=0.01, weight_decay=0.1
    )
    reference = torch.optim.Muon(
        theirs, lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    start = [each.detach().clone() for each in ours]
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(shape)
            other.grad = one.grad.clone()
        optimizer.step()
        reference.step()
    for one, other, before in zip(ours, theirs, start, strict=True):
        moved, expected = one.detach() - before, other.detach() - before
        # Torch multiplies in bfloat16, whose rounding is 2^-9.
        assert (moved - expected).norm() < 0.02 * expected.norm()
