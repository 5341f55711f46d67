"""What is said of databases."""

import sys

import pytest

from showo_turbo.errors import UserError
from showo_turbo.sweeps import SearchSpace, Sweep, SweepSettings
from showo_turbo.sweeps.storage import opening_error, without_password

CONFIG = {"x": 0.0, "trainer": {"default_root_dir": None}}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://me:s3cret@localhost/x",
        "postgresql+psycopg2://me:s3cret%21@localhost/x",
        "postgresql+psycopg2://localhost/x?user=me&password=s3cret",
        "nosuch://me:s3cret@localhost/x",
        "postgresql me:s3cret@localhost/x",
    ],
)
@pytest.mark.bad_input
def test_passwords_are_not_shown(tmp_path, monkeypatch, url):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    space = SearchSpace(SweepSettings("study", "val/score", parameters={"x": [1.0]}), CONFIG)
    with pytest.raises(UserError) as caught:
        Sweep(space, tmp_path, url)
    assert "s3cret" not in str(caught.value) and "\n" not in str(caught.value)
    if "psycopg2" in url:
        assert "install it with: pip install psycopg2-binary" in str(caught.value)


@pytest.mark.bad_input
def test_a_reason_may_hold_the_url_or_the_password(tmp_path):
    url = "postgresql://me:a%40b@localhost/x?password=c4d"
    reason = RuntimeError(f"no login at {url} with a@b and c4d")
    message = str(opening_error(reason, tmp_path, url))
    assert message == (
        "the study in postgresql://me:***@localhost/x cannot be opened "
        "(no login at postgresql://me:***@localhost/x with *** and ***); start the "
        "database, or name another"
    )


def test_without_password():
    assert without_password("postgresql://me:secret@host/x") == "postgresql://me:***@host/x"
    assert without_password("sqlite:///shared.db") == "sqlite:///shared.db"
