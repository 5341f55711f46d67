"""Means over several processes, which are threads here with an `all_reduce` of their own."""

from threading import Barrier, Thread

import pytest
import torch
from torch import distributed

from showo_turbo.losses.reduction import LossValue
from showo_turbo.training.ranks import global_means

NAMES = ("image", "text", "language")


def joint_means(monkeypatch, *processes):
    """Call `global_means` in all processes at once; gives what each got."""
    tables, results = {}, {}
    barrier = Barrier(len(processes), timeout=60)

    def all_reduce(table):
        tables[id(table)] = table.clone()
        barrier.wait()
        table.copy_(sum(tables.values()))

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: len(processes))
    monkeypatch.setattr(distributed, "all_reduce", all_reduce)

    def run(rank, terms):
        results[rank] = global_means(terms, NAMES)

    threads = [Thread(target=run, args=entry) for entry in enumerate(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(len(processes))]


def term(*samples, uncounted=0):
    values = torch.tensor([*map(float, samples), *[0.0] * uncounted], requires_grad=True)
    counted = torch.tensor([1] * len(samples) + [0] * uncounted)
    return LossValue(values.sum() / max(len(samples), 1), values, counted)


def test_a_single_process_has_its_own_means():
    shares, means = global_means({"text": term(1, 3)}, NAMES)
    assert shares.keys() == means.keys() == {"text"}
    assert float(shares["text"]) == float(means["text"]) == 2
    assert shares["text"].requires_grad and not means["text"].requires_grad


def test_samples_of_all_processes_count_alike(monkeypatch):
    first, second = joint_means(
        monkeypatch,
        {"image": term(1, 2, 3), "text": term(4)},
        {"image": term(6, uncounted=2), "text": term(uncounted=1)},
    )
    for shares, means in (first, second):
        assert {name: float(mean) for name, mean in means.items()} == {"image": 3, "text": 4}
        assert all(share.requires_grad for share in shares.values())
    for name, mean in first[1].items():
        assert float(first[0][name] + second[0][name]) / 2 == pytest.approx(float(mean))


def test_a_process_may_lack_a_term(monkeypatch):
    """All samples of a stream in its batch were bad, and were left out."""
    first, second = joint_means(
        monkeypatch, {"image": term(1), "language": term(2, 4)}, {"image": term(3)}
    )
    for _, means in (first, second):
        assert {name: float(mean) for name, mean in means.items()} == {"image": 2, "language": 3}
    assert second[0].keys() == {"image"}
    assert float(first[0]["language"]) / 2 == 3
