from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import decode_image_codes
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.viz import strips
from showo_turbo.viz.pictures import (
    FRAME_PIXELS,
    GAP_PIXELS,
    GridColumn,
    draw_image_grid,
    draw_quality_by_steps,
    mosaic,
    of_quality,
    quality_figure,
)
from showo_turbo.viz.strips import draw_answer_strip, draw_sampling_strips

from ..evaluation.worlds import records, score, shapes_bundle


def column(colors, satisfied=None, size=6):
    """Images that are all of one color."""
    pixels = torch.tensor(colors, dtype=torch.float32)[:, :, None, None].expand(-1, -1, size, size)
    return GridColumn("title", pixels, satisfied)


RED, BLUE = (1.0, -1.0, -1.0), (-1.0, -1.0, 1.0)


def test_mosaic_lays_out_and_frames():
    picture = mosaic([column([RED, BLUE], [True, False]), column([BLUE, RED])])
    height, width = (side // 2 for side in picture.shape[:2])
    assert picture.dtype == np.uint8
    centers = picture[height // 2 :: height, width // 2 :: width]
    assert centers[0, 0].tolist() == [255, 0, 0] and centers[0, 1].tolist() == [0, 0, 255]
    assert centers[1, 0].tolist() == [0, 0, 255] and centers[1, 1].tolist() == [255, 0, 0]
    inside = GAP_PIXELS // 2 + FRAME_PIXELS // 2
    green, gray = picture[inside, width // 2], picture[inside, width + width // 2]
    red = picture[height + inside, width // 2]
    assert green[1] == green.max() and green[1] > green[0]
    assert red[0] == red.max() and red[0] > 2 * red[1]
    assert len(set(gray.tolist())) == 1
    assert picture[0, 0].tolist() == [255, 255, 255], "a white gap between the images"


def test_right_and_wrong_differ_without_colors():
    """By a sign in the corner; where nothing judged, there is none."""
    picture = mosaic([column([RED, RED], [True, False]), column([RED, RED])])
    height, width = (side // 2 for side in picture.shape[:2])
    edge = GAP_PIXELS // 2 + FRAME_PIXELS

    def corner(row, column):
        bottom, right = (row + 1) * height - edge, (column + 1) * width - edge
        return (picture[bottom - 11 : bottom, right - 11 : right] == 255).all(axis=-1)

    right, wrong, unjudged = corner(0, 0), corner(1, 0), corner(0, 1)
    assert right.any() and wrong.any() and not unjudged.any()
    assert (right != wrong).any()


def test_mosaic_enlarges_without_blurring():
    checkers = torch.ones(1, 3, 4, 4) * -1
    checkers[..., ::2, ::2] = 1
    picture = mosaic([GridColumn("", checkers)])
    edge = GAP_PIXELS // 2 + FRAME_PIXELS
    colors = {tuple(pixel) for pixel in picture[edge:-edge, edge:-edge].reshape(-1, 3).tolist()}
    assert colors == {(255, 255, 255), (0, 0, 0)}
    assert picture.shape[0] > 20 * 4


@pytest.mark.parametrize(("count", "chosen"), [(1, [0]), (3, [0, 1, 2]), (9, [0, 3, 5, 8])])
def test_frames_of_clips_are_laid_side_by_side(count, chosen):
    shades = torch.linspace(-1, 1, 9)[:count]
    clips = shades[:, None, None].expand(2, 3, count, 96, 96)
    picture = mosaic([GridColumn("clip", clips, [True, False]), GridColumn("clip", clips)])
    border = 2 * FRAME_PIXELS + GAP_PIXELS
    width = 97 * len(chosen) - 1
    assert picture.shape == (2 * (96 + border), 2 * (width + border), 3)
    middles = picture[border // 2 + 48, border // 2 + 48 : border // 2 + width : 97, 0]
    expected = ((shades[chosen] + 1) * 127.5).round().int().tolist()
    assert middles.tolist() == expected


def test_large_images_keep_their_size():
    assert mosaic([column([RED], size=256)]).shape[0] == 256 + 2 * FRAME_PIXELS + GAP_PIXELS


def test_grid_file(tmp_path):
    captions = ["a prompt that is long enough to need more than one line of text", "costs $5 $"]
    draw_image_grid(captions, [column([RED, BLUE], [True, False])] * 3, tmp_path / "a" / "grid.png")
    with Image.open(tmp_path / "a" / "grid.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > 3 * 96
    assert (pixels == (255, 0, 0)).all(axis=-1).any()


def test_quality_by_steps_file(tmp_path):
    scores = [
        score("teacher", 16, 0.0, (5, 10)),
        score("teacher", 16, 1.0, (9, 10)),
        score("teacher", 4, 1.0, (7, 10)),
        score("student", 4, 0.0, (8, 10)),
    ]
    draw_quality_by_steps(*of_quality(scores), tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        image.verify()


def test_a_metric_is_the_quality_where_nothing_judged():
    def measured(model, steps, guidance, value):
        row = score(model, steps, guidance)
        return replace(row, satisfied=(), metrics={"CLIPScore": value})

    rows = [
        measured("teacher", 16, 2.0, 0.3),
        measured("teacher", 4, 2.0, 0.1),
        measured("teacher", 4, 1.0, 0.2),
        measured("student", 4, 0.0, 0.25),
    ]
    assert of_quality(rows) == (rows, "CLIPScore")
    assert of_quality([replace(row, metrics={}) for row in rows]) is None
    judged = score("student", 4)
    assert of_quality([*rows, judged]) == ([judged], None)
    (axes,) = quality_figure(rows, "CLIPScore").axes
    assert axes.get_ylabel() == "CLIPScore"
    plotted = {
        container.get_label(): container.lines[0].get_xydata().tolist()
        for container in axes.containers
    }
    assert plotted == {
        "teacher, guidance 2": [[4, 0.1], [16, 0.3]],
        "teacher, guidance 1": [[4, 0.2]],
        "student, no guidance": [[4, 0.25]],
    }


def test_strips(tmp_path):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    draw_sampling_strips(
        shapes_bundle(),
        ["a red circle", "two squares"],
        ImageSampling(sampling_steps=4, guidance_scale=1.0),
        paths,
    )
    sizes = []
    for path in paths:
        with Image.open(path) as image:
            sizes.append(image.size)
    assert sizes[0] == sizes[1] and sizes[0][0] > 5 * 100, "the start and four steps"


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_scale": 3.0, "guidance_end": 0.0},
        {"token_temperature": 1.0, "top_k": 5, "confidence_temperature": 2.0},
        {"confidence_temperature": 4.0, "shared_noise_seed": 3, "mask_schedule": "pow"},
        {"token_temperature": 1.0, "revise_below": 0.5},
    ],
)
def test_strips_show_what_is_sampled(tmp_path, monkeypatch, options):
    drawn, left = [], []

    def noted(prompt, image, masks, path):
        drawn.append(image)
        left.append([int(mask.sum()) for mask in masks])

    monkeypatch.setattr(strips, "draw_states", noted)
    bundle = shapes_bundle()
    prompts, seeds = ["a red circle", "two squares"], [71, 5]
    sampling = ImageSampling(sampling_steps=5, **options)
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    draw_sampling_strips(bundle, prompts, sampling, paths, seeds)
    ids = bundle.encode_prompts(prompts)
    sampled = decode_image_codes(bundle.network, ids, sampling, seeds)
    assert torch.equal(torch.stack(drawn), bundle.decode_codes(sampled))
    assert left[0] == left[1] and len(left[0]) == 6 and (left[0][0], left[0][-1]) == (36, 0)
    plain = decode_image_codes(bundle.network, ids, ImageSampling(sampling_steps=5), seeds)
    assert not torch.equal(sampled, plain), "the options change something"


def test_an_answer_strip_or_none(tmp_path):
    bundle = shapes_bundle()
    path = tmp_path / "answer.png"
    (record,) = records(1)
    decoding = TextDecoding(max_new_tokens=60)
    drawn = draw_answer_strip(bundle, record, path, decoding=decoding)
    assert drawn == path.exists()
    bundle.network.showo.lm_head.bias.data[bundle.network.vocabulary.eot_id] = 1e6  # ends at once
    assert draw_answer_strip(bundle, record, path, decoding=decoding)
    assert path.exists()
