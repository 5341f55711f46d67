"""MAGVIT-v2 in three dimensions."""

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.magvitv2 import MAGVITv2, MAGVITv2Config
from showo_turbo.models.magvitv2.clips import TemporalDownsample, TemporalUpsample

from .. import golden_drawing as golden
from ..tiny import tiny_magvitv2


def moving(frames, size=16, seed=0):
    """A clip `(2, 3, frames, size, size)` of random pixels, all frames different."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, frames, size, size, generator=generator) * 2 - 1


def trained(clips, seed=0):
    """All temporal taps in use, as training leaves them."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in clips.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return clips


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "patches"])
def pair(request):
    """An image tokenizer, and the one of clips that begins as it."""
    images = tiny_magvitv2(isolated_patches=request.param)
    return images, images.inflated(2)


def test_golden_codes_of_a_single_frame():
    """The recorded photograph: the same latents to the last bit, as an image and as a clip."""
    images = golden.magvitv2()
    photo = golden.cases()["photo.resized"][None].float() / 127.5 - 1
    clips = images.inflated(2)
    assert torch.equal(clips.encode(photo), golden.cases()["photo.codes"])
    assert torch.equal(clips.pixels_to_latents(photo), images.pixels_to_latents(photo))
    clip = photo[:, :, None]
    assert torch.equal(clips.encode(clip), golden.cases()["photo.codes"])
    latents = clips.pixels_to_latents(clip)[:, :, 0]
    torch.testing.assert_close(latents, images.pixels_to_latents(photo), rtol=0, atol=1e-5)


def test_every_fourth_frame_is_encoded_as_an_image_at_first(pair):
    images, clips = pair
    pixels = moving(17)
    latents = clips.pixels_to_latents(pixels)
    assert latents.shape[2] == 5 and clips.grid_of(pixels) == (5, 4, 4)
    codes = clips.encode(pixels).reshape(2, 5, 16)
    for number in range(5):
        frame = pixels[:, :, 4 * number]
        expected = images.pixels_to_latents(frame)
        torch.testing.assert_close(latents[:, :, number], expected, rtol=0, atol=1e-5)
        assert torch.equal(codes[:, number], images.encode(frame))


def test_frames_are_decoded_as_images_at_first(pair):
    """The first latent frame gives one frame, each of the others four."""
    images, clips = pair
    codes = torch.randint(0, 64, (2, 5, 16), generator=torch.Generator().manual_seed(1))
    decoded = clips.decode(codes.flatten(1), (5, 4, 4))
    assert decoded.shape == (2, 3, 17, 16, 16)
    for frame in range(17):
        expected = images.decode(codes[:, -(-frame // 4)])
        torch.testing.assert_close(decoded[:, :, frame], expected, rtol=0, atol=1e-4)
    assert torch.equal(clips.decode(codes[:, 0]), images.decode(codes[:, 0]))


def test_no_latent_frame_sees_a_later_one(pair):
    """Latent j depends on the frames up to 4j, on each of the last four, and on no other."""
    clips = trained(pair[0].inflated(2))
    pixels = moving(17)
    before = clips.pixels_to_latents(pixels)
    for frame in (0, 1, 4, 5, 13, 16):
        changed = pixels.clone()
        changed[:, :, frame] = moving(17, seed=7)[:, :, frame]
        after = clips.pixels_to_latents(changed)
        first = -(-frame // 4)
        torch.testing.assert_close(after[:, :, :first], before[:, :, :first], rtol=0, atol=1e-5)
        assert not torch.allclose(after[:, :, first], before[:, :, first], rtol=0, atol=1e-3)


def test_no_frame_is_decoded_from_a_later_latent(pair):
    clips = trained(pair[0].inflated(2))
    signs = torch.randint(0, 2, (2, 6, 5, 4, 4)).float() * 2 - 1
    before = clips.signs_to_pixels(signs)
    changed = signs.clone()
    changed[:, :, 3] *= -1
    after = clips.signs_to_pixels(changed)
    torch.testing.assert_close(after[:, :, :9], before[:, :, :9], rtol=0, atol=1e-5)
    assert not torch.allclose(after[:, :, 9], before[:, :, 9], rtol=0, atol=1e-3)


def test_an_image_is_a_clip_of_one_frame_when_trained_too(pair):
    clips = trained(pair[0].inflated(2))
    image = moving(1)[:, :, 0]
    alone = clips.pixels_to_latents(image)
    as_clip = clips.pixels_to_latents(image[:, :, None])[:, :, 0]
    torch.testing.assert_close(alone, as_clip, rtol=0, atol=1e-4)
    codes = clips.encode(image)
    decoded = clips.decode(codes, (1, 4, 4))[:, :, 0]
    torch.testing.assert_close(clips.decode(codes), decoded, rtol=0, atol=1e-4)


def test_halving_and_doubling_by_hand():
    """One channel: three taps at every second frame; pairs of frames without the first."""
    halving, doubling = TemporalDownsample(1), TemporalUpsample(1)
    frames = torch.tensor([1.0, 2, 3, 4, 5]).reshape(1, 1, 5, 1, 1)
    assert halving(frames).flatten().tolist() == [1, 3, 5]
    assert doubling(frames[:, :, :3]).flatten().tolist() == [1, 2, 2, 3, 3]
    with torch.no_grad():
        halving.weight.copy_(torch.tensor([[[100.0, 10, 1]]]))
        doubling.weight.copy_(torch.tensor([[10.0], [1]]))
    assert halving(frames).flatten().tolist() == [1, 123, 345]
    assert doubling(frames[:, :, :3]).flatten().tolist() == [1, 20, 2, 30, 3]
    first = frames[:, :, 0]
    assert (halving(first).item(), doubling(first).item()) == (1, 1)


def test_gradients_reach_all_taps(pair):
    clips = pair[0].inflated(2).requires_grad_(True)
    made = clips(moving(9))
    assert made.pixels.shape == (2, 3, 9, 16, 16) and made.codes.shape == (2, 3 * 16)
    (made.pixels.square().mean() + made.latents.square().mean()).backward()
    taps = clips.encoder.down[0].block[0].conv1.weight.grad
    assert taps.shape[2] == 3 and (taps.abs().amax(dim=(0, 1, 3, 4)) > 0).all()


def test_it_is_saved_and_loaded(tmp_path, pair):
    clips = trained(pair[0].inflated(2))
    clips.save_pretrained(tmp_path / "clips")
    loaded = MAGVITv2.from_pretrained(tmp_path / "clips")
    assert loaded.config == clips.config and loaded.config.temporal_halvings == 2
    assert torch.equal(loaded.encode(moving(9)), clips.encode(moving(9)))
    assert "temporal_halvings" not in pair[0].config.to_dict()


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize("frames", [2, 4, 16])
    def test_frames_that_cannot_be_halved(self, pair, frames):
        with pytest.raises(UserError, match=rf"a clip has {frames} frames"):
            pair[1].encode(moving(frames))

    def test_a_clip_for_an_image_tokenizer(self, pair):
        with pytest.raises(UserError, match="a clip has 5 frames"):
            pair[0].encode(moving(5))
        with pytest.raises(UserError, match="takes clips already"):
            pair[1].inflated(2)

    @pytest.mark.parametrize("halvings", [3, -1, True, "2"])
    def test_halvings(self, halvings):
        with pytest.raises(UserError, match="temporal_halvings is"):
            MAGVITv2Config(
                **dict.fromkeys(("encoder_multipliers", "decoder_multipliers"), (1, 1, 1)),
                **dict.fromkeys(("encoder_blocks", "decoder_blocks"), (1, 1, 1)),
                temporal_halvings=halvings,
            )
