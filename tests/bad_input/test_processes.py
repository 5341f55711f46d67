"""Some of the malformed inputs, given to `showo-turbo` as a process of its own."""

import subprocess

import pytest

pytestmark = pytest.mark.bad_input


def run(python, *arguments, cwd):
    command = [python, "-m", "showo_turbo", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def fit(bench):
    changes = {"trainer__callbacks__0__init_args__stages__0__image_segments": 0}
    return ["fit", "-c", bench.configure(**changes)]


def answer(bench):
    image = bench.write("a.png", b"")
    return ["answer", image, "--question", "What?", "--model", bench.good.model]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda bench: ["generat"], "there is no command 'generat'; did you mean 'generate'?"),
        (answer, "a.png cannot be read as an image"),
        (fit, "image_segments is 0; expected at least 1, correct the stage"),
    ],
)
def test_a_process_ends_with_one_line_and_status_2(bench, python, prepare, message):
    arguments = prepare(bench)
    before = bench.listing()
    ended = run(python, *arguments, cwd=bench.folder)
    assert ended.returncode == 2, ended
    *_, last = ended.stderr.splitlines()
    assert last.startswith("showo-turbo: ") and message in last
    assert "Traceback" not in ended.stdout + ended.stderr
    assert bench.listing() == before


def test_debug_shows_the_traceback(bench, python):
    ended = run(python, *answer(bench), "--debug", cwd=bench.folder)
    assert ended.returncode == 1
    assert "Traceback (most recent call last)" in ended.stderr
    assert "BadSample: " in ended.stderr and "a.png cannot be read as an image" in ended.stderr
