"""Inpainting, extrapolation and editing by the pipeline."""

import numpy as np
import pytest
import torch
from PIL import Image

from showo_turbo.data.images import square_pixels, to_images
from showo_turbo.errors import UserError
from showo_turbo.inference import Prompts, ShowoPipeline
from showo_turbo.inference.matching import matched
from showo_turbo.sampling.editing import ImageEditing, edit_codes
from showo_turbo.sampling.extrapolation import extrapolate_codes
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.inpainting import inpaint_codes
from showo_turbo.sampling.parallel import decode_image_codes
from showo_turbo.sampling.windows import plan_growth

from .. import golden_drawing as golden
from .conftest import PROMPTS

DRAWN = {"sampling_steps": 3, "guidance_scale": 1.5, "token_temperature": 1.0}
HOW = ImageSampling(**DRAWN)


@pytest.fixture(scope="module")
def golden_pipeline():
    return ShowoPipeline(golden.showo(), golden.magvitv2(), golden.text_tokenizer())


@pytest.fixture(scope="module")
def photos():
    """Two images of 20 x 16 pixels, of which the model sees the square in the middle."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3), dtype=np.uint8)
    return [Image.fromarray(image) for image in pixels]


@pytest.fixture(scope="module")
def masks():
    """The tokens in a corner, and one in the middle, of 4 x 4 with patches of 4 pixels."""
    corner, middle = Image.new("L", (20, 16)), Image.new("L", (20, 16))
    corner.paste(255, (0, 0, 10, 8))
    middle.putpixel((11, 9), 255)
    return [corner, middle]


MASKED = torch.zeros(2, 16, dtype=torch.bool)
MASKED[0, [0, 1, 4, 5]] = True
MASKED[1, 10] = True


class TestGolden:
    """From the published code's pictures to its codes and pixels, through the front door."""

    @pytest.mark.parametrize("name", ["blob_greedy4", "strokes_greedy8", "blob_linear8"])
    def test_inpainting(self, golden_pipeline, name):
        options, cases = golden.meta()["cases"][f"inpaint.{name}"], golden.cases()
        photo, mask = golden.picture("photo"), golden.picture(f"mask.{options['mask']}")
        assert torch.equal(golden_pipeline.encode_images([photo]), cases["photo.codes"])
        result = golden_pipeline.inpaint(
            photo, mask, options["prompt"], golden.sampling_of(options), mask_reading="center"
        )
        assert torch.equal(result.codes, cases[f"inpaint.{name}.final_codes"])
        if (pixels := cases.get(f"inpaint.{name}.decoded_every_4th")) is not None:
            (image,) = result.images
            found = torch.from_numpy(np.array(image)).permute(2, 0, 1)[:, ::4, ::4]
            expected = (pixels[0].clamp(-1, 1) + 1) * 127.5
            torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.51)

    @pytest.mark.parametrize("name", ["left_left_right8", "up_up4", "left_offset1"])
    def test_extrapolation(self, golden_pipeline, name):
        options, cases = golden.meta()["cases"][f"extrapolate.{name}"], golden.cases()
        result = golden_pipeline.extrapolate(
            golden.picture("photo"),
            options["directions"],
            options["prompts"],
            golden.sampling_of(options),
            offset=options["offset"],
        )
        assert torch.equal(result.grids[0], cases[f"extrapolate.{name}.codes"][0])
        assert result.images[0].size == tuple(16 * side for side in reversed(options["grid"]))
        if (pixels := cases.get(f"extrapolate.{name}.decoded_every_4th")) is not None:
            (image,) = result.images
            found = torch.from_numpy(np.array(image)).permute(2, 0, 1)[:, ::4, ::4]
            expected = (pixels[0].clamp(-1, 1) + 1) * 127.5
            torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.51)


def same_images(found, pixels):
    expected = to_images(pixels)
    return [image.tobytes() for image in found] == [image.tobytes() for image in expected]


class TestInpaint:
    def test_is_the_sampler_and_the_tokenizer(self, pipeline, photos, masks):
        result = pipeline.inpaint(
            photos, masks, PROMPTS[:2], negative_prompts=[None, "a star"], seeds=[5, 7], **DRAWN
        )
        before = pipeline.encode_images(photos)
        ids = pipeline.encode_prompts(PROMPTS[:2])
        away = [(), *pipeline.encode_prompts(["a star"])]
        codes = inpaint_codes(pipeline.network, ids, before, MASKED, HOW, [5, 7], away)
        assert torch.equal(result.codes, codes)
        assert torch.equal(result.codes[~MASKED], before[~MASKED])
        assert not torch.equal(result.codes, before)
        assert same_images(result.images, pipeline.image_tokenizer.decode(codes))
        assert result.seeds == [5, 7]
        cost = result.statistics
        assert (cost.samples, cost.tokens, cost.forwards) == (2, 5, 2 * 2 * 3)

    def test_the_batch_size_changes_nothing(self, pipeline, photos, masks):
        together = pipeline.inpaint(photos, masks, PROMPTS[:2], batch_size=2, **DRAWN)
        alone = pipeline.inpaint(photos, masks, PROMPTS[:2], batch_size=1, **DRAWN)
        assert torch.equal(alone.codes, together.codes)

    def test_pasting_keeps_the_original(self, pipeline, photos, masks):
        plain = pipeline.inpaint(photos[0], masks[0], "a star", **DRAWN)
        pasted = pipeline.inpaint(photos[0], masks[0], "a star", paste=True, **DRAWN)
        assert torch.equal(plain.codes, pasted.codes)
        drawn, mixed = np.asarray(plain.images[0]), np.asarray(pasted.images[0])
        original = np.asarray(to_images(square_pixels(photos[0], 16)[None])[0])
        assert (mixed[:8, :8] == drawn[:8, :8]).all()
        assert (mixed[10:] == original[10:]).all() and (mixed[:, 10:] == original[:, 10:]).all()
        assert (drawn[10:] != original[10:]).any()

    def test_small_dots_are_read_from_their_patches(self, pipeline, photos, masks):
        with pytest.raises(UserError, match="mask 1 masks none of the 16 image tokens"):
            pipeline.inpaint(photos[1], masks[1], "a star", mask_reading="center", **DRAWN)

    def test_files_and_one_mask_for_all(self, pipeline, photos, masks, tmp_path):
        photos[0].save(tmp_path / "p.png")
        masks[0].save(tmp_path / "m.png")
        files = pipeline.inpaint(tmp_path / "p.png", str(tmp_path / "m.png"), PROMPTS, **DRAWN)
        assert len(files.images) == len(PROMPTS)
        given = pipeline.inpaint([photos[0]] * 5, masks[0], PROMPTS, **DRAWN)
        assert torch.equal(files.codes, given.codes)

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("mask", "options", "message"),
        [
            (Image.new("L", (16, 20), 255), {}, "mask 1 has 16 x 20 pixels, but image 1 has 20 x"),
            (Image.new("L", (20, 16)), {}, "mask 1 masks none of the 16 image tokens"),
            (Image.new("L", (20, 16), 255), {}, "mask 1 masks all of the 16 image tokens"),
            (Image.new("LA", (20, 16)), {}, "mask 1 has transparent parts; expected a mask"),
            (Image.new("I;16", (20, 16)), {}, "mask 1 has pixels of kind I;16; expected"),
            ("nowhere.png", {}, r"nowhere\.png does not exist; expected an image"),
            (None, {"mask_reading": "all"}, "mask_reading is 'all'; choose 'any' or 'center'"),
            (None, {"sampling_steps": 0}, "sampling_steps is 0; choose 1 to 16"),
            (None, {"seeds": [1, 2]}, "2 seeds for 1 prompt"),
            (None, {"schedule_base": "all"}, "schedule_base is 'all'; choose"),
            (None, {"negative_prompts": ["a", "b"]}, "2 negative prompts for 1 images; give one"),
            (None, {"negative_prompts": "a" * 99, "guidance_scale": 1}, "tokens; at most 30 fit"),
        ],
    )
    def test_bad_input(self, pipeline, photos, masks, mask, options, message, monkeypatch):
        """Found before anything is drawn."""
        monkeypatch.setattr("showo_turbo.inference.inpainting.inpaint_codes", None)
        with pytest.raises(UserError, match=message):
            pipeline.inpaint(photos[0], mask or masks[0], "a star", **options)

    @pytest.mark.bad_input
    def test_a_mask_that_is_no_picture(self, pipeline, photos, tmp_path):
        (tmp_path / "m.png").write_text("white")
        with pytest.raises(UserError, match=r"m\.png cannot be read as an image"):
            pipeline.inpaint(photos[0], tmp_path / "m.png", "a star")

    @pytest.mark.bad_input
    def test_no_mask_at_all(self, pipeline, photos):
        with pytest.raises(UserError, match="None is given"):
            pipeline.inpaint(photos[0], None, "a star")

    @pytest.mark.bad_input
    def test_options_that_are_none(self, pipeline, photos):
        with pytest.raises(UserError, match="editing is of the class dict"):
            pipeline.edit(photos[0], "a star", editing={"rounds": 2})

    @pytest.mark.bad_input
    def test_different_numbers(self, pipeline, photos, masks):
        with pytest.raises(UserError, match="there are 2 images and 1 masks and 3 prompts"):
            pipeline.inpaint(photos, masks[:1], PROMPTS[:3])


class TestExtrapolate:
    def test_is_the_sampler_and_the_tokenizer(self, pipeline, photos):
        result = pipeline.extrapolate(
            photos,
            ["right", "down"],
            [["a star", "a circle"], "two stars"],
            offset=1,
            negative_prompts="a square",
            seeds=3,
            **DRAWN,
        )
        growth = plan_growth(4, ["right", "down"], 1)
        star, circle, stars, away = pipeline.encode_prompts(
            ["a star", "a circle", "two stars", "a square"]
        )
        grids = extrapolate_codes(
            pipeline.network,
            [[star, circle], [stars, stars]],
            pipeline.encode_images(photos),
            [growth] * 2,
            HOW,
            [3, 3],
            [away] * 2,
        )
        for image, found, expected in zip(result.images, result.grids, grids, strict=True):
            assert torch.equal(found, expected)
            assert image.size == (4 * 7, 4 * 7)
            decoded = pipeline.image_tokenizer.decode(expected.reshape(1, 49), (7, 7))
            assert same_images([image], decoded)
        windows, cost = len(growth.windows), result.statistics
        assert windows == 4
        assert (cost.tokens, cost.forwards) == (2 * (49 - 16), 2 * 2 * 3 * windows)

    def test_one_prompt_for_all(self, pipeline, photos):
        one = pipeline.extrapolate(photos, ["left", "left"], "a star", **DRAWN)
        spelled = [["a star", "a star"], ["a star"]]
        other = pipeline.extrapolate(photos, ["left", "left"], spelled, batch_size=1, **DRAWN)
        assert all(map(torch.equal, one.grids, other.grids))

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("directions", "prompts", "options", "message"),
        [
            (["left", "up"], ["a", "b", "c"], {}, "there are 2 directions and 3 prompts for im"),
            ([], ["a"], {}, "there are no directions; give at least one"),
            ("north", "a", {}, "direction is 'north'; choose 'left' or 'right'"),
            ("left", "a", {"offset": 2}, "offset is 2; choose -1 to 1, so that of the 4 rows"),
            ("left", "a", {"offset": -2}, "offset is -2; choose -1 to 1"),
            ("left", "a " * 40, {}, "tokens; at most 30 fit"),
            ("left", "a", {"top_k": 0}, "top_k is 0; choose"),
        ],
    )
    def test_bad_input(self, pipeline, photos, directions, prompts, options, message, monkeypatch):
        monkeypatch.setattr("showo_turbo.inference.extrapolation.extrapolate_codes", None)
        with pytest.raises(UserError, match=message):
            pipeline.extrapolate(photos[0], directions, prompts, **options)

    @pytest.mark.bad_input
    def test_different_numbers(self, pipeline, photos):
        with pytest.raises(UserError, match="there are 2 images and 3 prompts"):
            pipeline.extrapolate(photos, "left", ["a", "b", "c"])
        with pytest.raises(UserError, match="there are no images"):
            pipeline.extrapolate([], "left", "a")


class TestEdit:
    def test_is_the_sampler_and_the_tokenizer(self, pipeline, photos):
        editing = ImageEditing(2, 0.3)
        result = pipeline.edit(photos, "a star", editing=editing, seeds=[8, 9], **DRAWN)
        before = pipeline.encode_images(photos)
        ids = pipeline.encode_prompts(["a star"] * 2)
        codes = edit_codes(pipeline.network, ids, before, HOW, editing, [8, 9])
        assert torch.equal(result.codes, codes)
        assert same_images(result.images, pipeline.image_tokenizer.decode(codes))
        pairs = zip(codes.tolist(), before.tolist(), strict=True)
        kept = [sum(map(int.__eq__, *pair)) / 16 for pair in pairs]
        assert result.unchanged == kept
        assert all(0 < share < 1 for share in result.unchanged)
        cost = result.statistics
        assert (cost.samples, cost.tokens, cost.forwards) == (2, 2 * 2 * 5, 2 * 2 * 3 * 2)

    def test_batches_of_one(self, pipeline, photos):
        together = pipeline.edit(photos, PROMPTS[:2], **DRAWN)
        alone = pipeline.edit(photos, PROMPTS[:2], batch_size=1, **DRAWN)
        assert torch.equal(together.codes, alone.codes)
        assert together.unchanged == alone.unchanged

    @pytest.mark.bad_input
    def test_bad_input(self, pipeline, photos, tmp_path):
        with pytest.raises(UserError, match="rounds is 0"):
            pipeline.edit(photos, "a star", editing=ImageEditing(0))
        with pytest.raises(UserError, match="there are 2 images and 3 prompts"):
            pipeline.edit(photos, PROMPTS[:3])
        with pytest.raises(UserError, match=r"none\.png does not exist"):
            pipeline.edit([photos[0], tmp_path / "none.png"], "a star")


class TestNegativePrompts:
    def test_generation(self, pipeline):
        found = pipeline.generate(PROMPTS[:2], negative_prompts="a square", **DRAWN)
        ids, (away,) = pipeline.encode_prompts(PROMPTS[:2]), pipeline.encode_prompts(["a square"])
        codes = decode_image_codes(pipeline.network, ids, HOW, [0, 1], None, [away] * 2)
        assert torch.equal(found.codes, codes)
        assert not torch.equal(found.codes, pipeline.generate(PROMPTS[:2], **DRAWN).codes)
        some = pipeline.generate(PROMPTS[:2], negative_prompts=["a square", None], **DRAWN).codes
        assert torch.equal(some[0], found.codes[0])
        assert torch.equal(some[1], pipeline.generate(PROMPTS[:2], **DRAWN).codes[1])

    def test_their_length_counts(self, pipeline):
        ids = Prompts(["a"], ["a red circle above a square"]).encode(pipeline, HOW)
        assert ids.longest == len(ids.negative[0]) > len(ids.ids[0])

    @pytest.mark.bad_input
    def test_without_guidance(self, pipeline):
        with pytest.raises(UserError, match="there is a negative prompt, but guidance_scale is 0"):
            pipeline.generate("a", negative_prompts="b", guidance_scale=0.0)


def test_lists_that_belong_together():
    assert matched(images=[1], prompts=["a", "b"]) == [[1, 1], ["a", "b"]]
    assert matched(images=[1, 2], masks=[3], prompts=["a"]) == [[1, 2], [3, 3], ["a", "a"]]
    with pytest.raises(UserError, match="there are no prompts"):
        matched(images=[1], prompts=[])
