"""Nothing touches the network unless a hub id is given."""

import socket

import pytest

from .bench import Case

pytestmark = pytest.mark.bad_input


class Blocked(OSError):
    """What a program sees on a machine without a network."""


@pytest.fixture
def attempts(monkeypatch):
    """Where a connection was attempted to; all attempts fail."""
    attempts = []

    def refuse(*place, **_):
        attempts.append(place)
        raise Blocked("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket.socket, "sendto", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


def test_inference_stays_on_the_machine(bench, attempts):
    model = ["--model", bench.good.model]
    assert (
        bench.run(
            "generate", "a red circle", "--output", "a", "--sampling_steps", "2", *model
        ).status
        == 0
    )
    image = bench.good.image(0)
    assert bench.run("answer", image, "--question", "What?", *model).status == 0
    assert (
        bench.run("generate", "a red circle", "--output", "b", "--sampling_steps", "1").status == 0
    )
    assert attempts == []


def test_trajectories_and_training_stay_on_the_machine(bench, attempts):
    assert bench.run(*bench.good.collection("stores")).status == 0
    assert bench.run("trajectories", "stores", "--model", bench.good.model).status == 0
    assert bench.run("fit", "-c", bench.configure()).status == 0
    assert bench.run("export", bench.good.checkpoint, "exported").status == 0
    options = ["--images", "2", "--documents", "2", "--validation_images", "1"]
    assert bench.run("make-shapes", "world", *options).status == 0
    assert attempts == []


def test_a_hub_id_is_what_does(bench, attempts):
    Case(
        "a hub id",
        lambda bench: ["generate", "a", "--output", "out", "--model", "nobody/nothing"],
        "'nobody/nothing' is not a local folder",
        "could not be downloaded",
        "see to the connection",
    ).check(bench)
    assert attempts
