import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.showo.prefixes import CachedImagePrefix
from showo_turbo.sampling.halton import halton_order, oriented_halton_order
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import decode_image_codes, denoise_images
from showo_turbo.sampling.videos import decode_clip_codes

from .. import naive
from ..models.test_video_sequences import naive_logits
from ..tiny import tiny_showo

PROMPTS = [[3, 4, 5], [6]]


@pytest.fixture(scope="module")
def model():
    """Three latent frames of four tokens, in double precision."""
    return tiny_showo(image_tokens=12, video_frames=3).double()


def by_frame(model, prompt, steps, guidance, known=None):
    """Greedy, one latent frame after the other, each forward over the whole sequence."""
    codes = list(known or [24] * 12)
    for frame in range(3):
        for step in range(1, steps + 1):
            scores = naive_logits(model, prompt, codes)
            if guidance:
                alone = naive_logits(model, [], codes)
                scores = (1 + guidance) * scores - guidance * alone
            best = scores.float().log_softmax(1).max(1)
            places = range(4 * frame, 4 * frame + 4)
            unknown = [place for place in places if codes[place] == 24]
            left = min(naive.masked_after(step, steps, 4), len(unknown) - 1)
            left = 0 if step == steps else max(left, 1)
            unknown.sort(key=lambda place: (-float(best.values[place]), place))
            for place in unknown[: max(0, len(unknown) - left)]:
                codes[place] = int(best.indices[place])
    return codes


@pytest.mark.parametrize("guidance", [0.0, 1.5])
@torch.no_grad()
def test_frame_after_frame(model, guidance):
    sampling = ImageSampling(3, guidance)
    found = decode_clip_codes(model, PROMPTS, sampling, by_frame=True)
    expected = [by_frame(model, prompt, 3, guidance) for prompt in PROMPTS]
    assert found.tolist() == expected
    known = torch.full((2, 12), 24)
    known[:, :4] = torch.tensor([1, 2, 3, 4])
    found = decode_clip_codes(model, PROMPTS, sampling, known=known, by_frame=True)
    expected = [by_frame(model, p, 3, guidance, known[0].tolist()) for p in PROMPTS]
    assert found.tolist() == expected
    assert found[:, :4].tolist() == [[1, 2, 3, 4]] * 2


def test_a_frame_that_is_known_takes_no_step(model, monkeypatch):
    drawn = []

    def counting(self, codes):
        drawn.append(codes)
        return logits(self, codes)

    logits = CachedImagePrefix.logits
    monkeypatch.setattr(CachedImagePrefix, "logits", counting)
    known = torch.full((2, 12), 24)
    known[:, :4] = 5
    found = decode_clip_codes(model, PROMPTS, ImageSampling(2), known=known, by_frame=True)
    assert len(drawn) == 2 * 2 and (found < 24).all()


def test_all_frames_together_are_drawn_as_an_image_is(model):
    sampling = ImageSampling(4, 1.0, token_temperature=1.0)
    together = decode_clip_codes(model, PROMPTS, sampling, [5, 6])
    assert torch.equal(together, decode_image_codes(model, PROMPTS, sampling, [5, 6]))
    known = together.clone()
    known[:, 4:] = model.mask_code
    moved = decode_clip_codes(model, PROMPTS, sampling, [7, 8], known)
    assert torch.equal(moved[:, :4], together[:, :4]) and (moved < 24).all()


@pytest.mark.parametrize("order", ["halton", "oriented_halton"])
@pytest.mark.parametrize("frames", [3, 4])
def test_a_fixed_order_reveals_frame_after_frame(order, frames):
    """Four frames of four tokens are not taken for an image of sixteen."""
    model = tiny_showo(image_tokens=4 * frames, video_frames=frames)
    sampling = ImageSampling(4 * frames, reveal_order=order)
    revealed_at = torch.zeros(2, 4 * frames, dtype=torch.long)
    for step in denoise_images(model, PROMPTS, sampling, [0, 6]):
        revealed_at[step.revealed] = step.index
    for row, seed in enumerate((0, 6)):
        in_frame = halton_order(2, 2) if order == "halton" else oriented_halton_order(2, seed)
        expected = [4 * frame + place for frame in range(frames) for place in in_frame.tolist()]
        assert (revealed_at[row][expected].diff() >= 0).all()
    assert len(revealed_at[0].unique()) > 2 * frames


def test_a_clip_depends_on_its_own_seed(model):
    sampling = ImageSampling(2, token_temperature=1.0)
    both = decode_clip_codes(model, PROMPTS, sampling, [5, 6], by_frame=True)
    alone = decode_clip_codes(model, PROMPTS[1:], sampling, [6], by_frame=True)
    assert torch.equal(both[1:], alone)


@pytest.mark.bad_input
def test_what_cannot_be_drawn(model):
    with pytest.raises(UserError, match="the model generates images, not clips"):
        decode_clip_codes(tiny_showo(), PROMPTS, ImageSampling(2))
    with pytest.raises(UserError, match="sampling_steps is 5"):
        decode_clip_codes(model, PROMPTS, ImageSampling(5), by_frame=True)
    for by_frame in (False, True):
        with pytest.raises(UserError, match="there are no prompts"):
            decode_clip_codes(model, [], ImageSampling(2), by_frame=by_frame)
        with pytest.raises(ValueError, match="there are 1 negative prompts"):
            decode_clip_codes(
                model, PROMPTS, ImageSampling(2, 1.0), negative_prompts=[[3]], by_frame=by_frame
            )
