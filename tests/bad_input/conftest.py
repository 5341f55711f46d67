import pytest

from .bench import Bench, Good


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    return Good(tmp_path_factory.mktemp("good"))


@pytest.fixture
def bench(good, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "bench"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Bench(folder, good, capsys)
