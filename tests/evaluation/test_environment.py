import re
import subprocess

import showo_turbo
from showo_turbo.evaluation import environment
from showo_turbo.evaluation.environment import describe_hardware, provenance, source_version


def test_hardware_names_cores():
    assert re.search(r"\w.*, \d+ cores", describe_hardware())


def test_hardware_without_proc(monkeypatch):
    def unreadable(*_, **__):
        raise OSError

    monkeypatch.setattr(environment.Path, "read_text", unreadable)
    assert re.search(r"\w.*, \d+ cores", describe_hardware())


def test_provenance_names_no_folder_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [str(tmp_path / "benchmarks/x.py"), "--runs", "/elsewhere/runs", "--data", "a/b"]
    assert provenance(given)["command"] == "python benchmarks/x.py --runs runs --data a/b"


def test_provenance_of_results():
    found = provenance(["benchmarks/x.py", "--n", "3"])
    assert found["command"] == "python benchmarks/x.py --n 3"
    assert found["hardware"] == describe_hardware()
    assert found["version"] == source_version()


def test_version_of_a_checkout_or_of_a_package():
    found = source_version()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found) or found == package_version()


def test_a_package_inside_another_repository(tmp_path, monkeypatch):
    """Installed into a folder of somebody else's checkout, whose commit says nothing."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / "environment.py").touch()
    monkeypatch.setattr(environment, "__file__", str(folder / "environment.py"))
    assert source_version() == package_version()


def test_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert source_version() == package_version()


def package_version():
    return f"showo-turbo {showo_turbo.__version__}"
