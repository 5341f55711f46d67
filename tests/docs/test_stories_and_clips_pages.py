"""What the pages on stories and on clips show in Python runs as written, with small networks."""

from pathlib import Path

import pytest

from showo_turbo.data.clip_writing import write_clip

from ..clips import colored_frames, write_clip_model
from ..continuous import write_shapes_model
from .pages import DOCS, blocks


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    colored_frames(count=1, size=(24, 24))[0].save("scene.png")


def run(page):
    (block,) = blocks("python", DOCS / page)
    names = {}
    exec(compile(block.text, str(block), "exec"), names)
    return names


def test_stories():
    write_shapes_model(Path("runs/stories/model"), "codes")
    assert len(run("stories.md")["result"].texts) == 1


def test_clips():
    write_clip_model(Path("runs/clips/model"))
    write_clip(Path("clip.gif"), colored_frames(), 100)
    (video,) = run("clips.md")["result"].videos
    assert len(video) == 9
