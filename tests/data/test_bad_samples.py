from pathlib import Path

import pytest

from showo_turbo.data.bad_samples import BadSamples
from showo_turbo.errors import BadSample, UserError

pytestmark = pytest.mark.bad_input


def bad(name: str) -> BadSample:
    return BadSample(f"{name} is damaged; replace it")


def test_none_is_left_out_unless_a_limit_is_set(tmp_path: Path) -> None:
    samples = BadSamples(0, tmp_path)
    with pytest.raises(UserError, match=r"a.png is damaged"):
        samples.skip(bad("a.png"))
    assert not samples.file.exists()


def test_they_are_counted_once_and_listed(tmp_path: Path) -> None:
    samples = BadSamples(2, tmp_path / "run")
    for name in ("a.png", "b.png", "a.png"):
        samples.skip(bad(name))
    assert len(samples.reasons) == 2
    assert samples.file.read_text().splitlines() == [
        "a.png is damaged; replace it",
        "b.png is damaged; replace it",
    ]


def test_one_more_than_the_limit_ends_the_run(tmp_path: Path) -> None:
    samples = BadSamples(1, tmp_path)
    samples.skip(bad("a.png"))
    with pytest.raises(UserError, match=r"2 samples are bad, but max_bad_samples is 1.*b\.png"):
        samples.skip(bad("b.png"))
    assert len(samples.file.read_text().splitlines()) == 2


def test_processes_and_resumed_runs_share_the_list(tmp_path: Path) -> None:
    first, second = BadSamples(2, tmp_path), BadSamples(2, tmp_path)
    first.skip(bad("a.png"))
    second.skip(bad("b.png"))
    second.skip(bad("a.png"))
    with pytest.raises(UserError, match="3 samples are bad"):
        first.skip(bad("c.png"))
    with pytest.raises(UserError, match="3 samples are bad"):
        BadSamples(2, tmp_path).skip(bad("a.png"))


def test_a_message_of_several_lines_is_one_line_of_the_list(tmp_path: Path) -> None:
    samples = BadSamples(1, tmp_path)
    samples.skip(BadSample("a\nb.png is \ud800 damaged"))
    assert samples.file.read_text() == "a b.png is \\ud800 damaged\n"


def test_a_negative_limit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="max_bad_samples is -1"):
        BadSamples(-1, tmp_path)
