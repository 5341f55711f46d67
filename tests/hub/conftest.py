"""A hub and a web server of this machine in place of those of the world."""

import huggingface_hub
import pytest

from .servers import Hub, Web, serving


@pytest.fixture
def web():
    """A web server; `web.address` is where it is."""
    web = Web()
    with serving(web.handler()) as address:
        web.address = address
        yield web


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that the client takes for the usual one, with a token that may write."""
    hub = Hub()
    with serving(hub.handler()) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", "may-write")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(
            huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token-here")
        )
        # Its own way of storing large files; the other one is Git LFS, which is played here.
        monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)
        yield hub
