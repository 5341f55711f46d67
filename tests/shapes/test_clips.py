import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from showo_turbo.data import PretrainBatchSizes, PretrainDataModule
from showo_turbo.errors import UserError
from showo_turbo.shapes.clip_checker import ClipsChecker, find_fault, read_frame
from showo_turbo.shapes.clips import (
    DIRECTIONS,
    ClipScene,
    Mover,
    clip_questions,
    render_clip,
    sample_clip,
    split_of,
    travelled,
)
from showo_turbo.shapes.write_clips import ShapesClips, write_clips

RIGHT = Mover("circle", "red", "right", 0)
UP = Mover("cross", "blue", "up", 2)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("hard", [*range(17)]), ("easy", [0, *[4] * 4, *[8] * 4, *[12] * 4, *[16] * 4])],
)
def test_how_far_shapes_move(level, expected):
    assert [travelled(frame, level) for frame in range(17)] == expected


@pytest.mark.parametrize(
    ("direction", "begins", "ends"),
    [
        ("right", (9, 1), (9, 17)),
        ("left", (9, 17), (9, 1)),
        ("down", (1, 9), (17, 9)),
        ("up", (17, 9), (1, 9)),
    ],
)
@pytest.mark.parametrize("level", ["easy", "hard"])
def test_shapes_move_from_edge_to_edge(direction, begins, ends, level):
    mover = Mover("square", "green", direction, 1)
    scene = ClipScene((mover,), "black", level)
    frames = render_clip(scene)
    for frame, (top, left) in ((0, begins), (16, ends)):
        rows, columns = np.nonzero(frames[frame].any(-1))
        assert (rows.min(), rows.max()) == (top, top + 5)
        assert (columns.min(), columns.max()) == (left, left + 5)
        reading = read_frame(frames[frame])
        (located,) = reading.objects
        assert (located.shape, located.color, located.top, located.left) == (
            "square",
            "green",
            top,
            left,
        )


def test_captions():
    scene = ClipScene((RIGHT, replace(UP, direction="left")), "white")
    text = "a red circle moves from left to right and a blue cross moves from right to left"
    assert scene.captions == (text, f"{text} on a white background")
    questions = dict(clip_questions(scene))
    assert questions["How does the blue cross move?"] == "The blue cross moves from right to left."
    assert questions["What color is the circle?"] == "The circle is red."
    assert questions["Which shape is higher?"] == "The red circle."


@pytest.mark.parametrize("level", ["easy", "hard"])
def test_clips_are_right_and_held_out(level):
    train = [sample_clip(index, level=level) for index in range(60)]
    test = [sample_clip(index, split="test", level=level) for index in range(60)]
    validation = [sample_clip(index, split="validation", level=level) for index in range(60)]
    shown = [
        {" ".join(sorted(mover.phrase for mover in scene.movers)) for scene in scenes}
        for scenes in (train, validation, test)
    ]
    assert all(map(set.isdisjoint, shown, [*shown[1:], shown[0]]))
    swapped = [ClipScene(scene.movers[::-1], scene.background) for scene in [*train, *test]]
    assert [*map(split_of, swapped)] == ["train"] * 60 + ["test"] * 60
    assert {mover.direction for scene in train for mover in scene.movers} == {*DIRECTIONS}
    assert {len(scene.movers) for scene in train} == {1, 2}
    for number, scene in enumerate([*train, *test]):
        assert not find_fault(render_clip(scene), scene.to_metadata(number % 2 == 0))
    assert train[:3] == [sample_clip(index, level=level) for index in range(3)]
    with pytest.raises(UserError, match="no split 'dev'"):
        sample_clip(0, split="dev")


SCENE = ClipScene((RIGHT, Mover("square", "green", "left", 2)), "white", "hard")


def shifted(frames, first, by):
    """The upper lane moved sideways from a frame on."""
    changed = frames.copy()
    changed[first:, :8] = np.roll(frames[first:, :8], by, axis=2)
    return changed


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda frames: frames[::-1], "frame 0: the red circle is 16 pixels off"),
        (lambda frames: shifted(frames, 5, 2), "frame 5: the red circle is 2 pixels off"),
        (lambda frames: np.repeat(frames[:1], 17, 0), "frame 2: the red circle is 2 pixels off"),
        (lambda frames: frames[:9], "9 frames instead of 17"),
        (
            lambda frames: np.where(np.arange(17)[:, None, None, None] == 7, 255, frames),
            "frame 7: other",
        ),
    ],
)
def test_faults(change, fault):
    frames = change(render_clip(SCENE)).astype(np.uint8)
    assert find_fault(frames, SCENE.to_metadata(True)).startswith(fault)


def test_a_pixel_off_the_way_is_right():
    frames = shifted(render_clip(SCENE), 5, 1)
    assert not find_fault(frames, SCENE.to_metadata(True))


@pytest.mark.parametrize(
    "other",
    [
        replace(SCENE, background="black"),
        replace(SCENE, movers=(replace(RIGHT, color="blue"), SCENE.movers[1])),
        replace(SCENE, movers=(replace(RIGHT, shape="cross"), SCENE.movers[1])),
        replace(SCENE, movers=(replace(RIGHT, direction="left"), SCENE.movers[1])),
        replace(SCENE, movers=(RIGHT,)),
        replace(SCENE, level="easy"),
    ],
)
def test_another_clip_is_wrong(other):
    assert find_fault(render_clip(other), SCENE.to_metadata(True))


def test_the_background_counts_where_it_is_named():
    frames = render_clip(replace(SCENE, background="black"))
    assert not find_fault(frames, SCENE.to_metadata(False))


def pixels_of(scenes):
    frames = np.stack([render_clip(scene) for scene in scenes])
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3) / 127.5 - 1


def test_the_checker():
    one, two = ClipScene((RIGHT,), "white"), SCENE
    prompts = [one.to_metadata(True), two.to_metadata(True), two.to_metadata(True)]
    pixels = pixels_of([one, two, one])
    assert ClipsChecker().judge(pixels, prompts) == [True, True, False]
    assert ClipsChecker().can_judge(prompts[0])
    assert not ClipsChecker().can_judge({"prompt": "a red circle"})


def test_written_clips_are_read(tmp_path):
    """With the very colors, and as many frames, though files hold alike ones once."""
    source = ShapesClips(tmp_path / "clips", clips=4, validation_clips=2)
    data = PretrainDataModule(24, PretrainBatchSizes(2, 2, 1), shapes=source)
    data.prepare_data()
    data.setup("fit")
    stream = source.captions("train").open(24)
    scenes = [sample_clip(index) for index in range(4)]
    found = torch.stack([stream.draw(index, 0)["pixels"] for index in range(4)])
    torch.testing.assert_close(found, pixels_of(scenes))
    assert stream.draw(2, 1)["caption"] == scenes[2].captions[1]
    batch = next(iter(data.train_dataloader()))
    assert batch["image"]["pixels"].shape == batch["text"]["pixels"].shape == (2, 3, 17, 24, 24)
    prompts = [json.loads(line) for line in (source.prompts().validation).read_text().splitlines()]
    assert prompts[1] == sample_clip(1, split="validation").to_metadata(True)
    listing = {path: path.read_bytes() for path in source.folder.rglob("*.*")}
    source.write()
    assert {path: path.read_bytes() for path in source.folder.rglob("*.*")} == listing
    with pytest.raises(UserError, match="holds other clips"):
        write_clips(source.folder, clips=5, validation_clips=2)
    with pytest.raises(UserError, match="clips is 0"):
        write_clips(tmp_path / "none", clips=0, validation_clips=2)
    with pytest.raises(UserError, match="level is 'medium'"):
        write_clips(tmp_path / "none", clips=1, validation_clips=2, level="medium")
    assert not (tmp_path / "none").exists()
