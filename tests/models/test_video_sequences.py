"""Show-o over clips: sequences, masks and caches."""

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.model_config import token_grid
from showo_turbo.models.showo import Showo, ShowoConfig
from showo_turbo.models.showo.sequences import UnifiedPrompting

from .. import naive
from ..tiny import tiny_showo
from .test_interleaved import CASES, VOCABULARY, codes_of

PROMPTING = UnifiedPrompting(VOCABULARY, 12, video=True)
PROMPTS = [[1, 2], [3]]
CODES = torch.tensor([codes_of(row) for row in CASES["t2v_gen.input_ids"][:, 14:26].tolist()])


def test_golden_ids():
    batch = PROMPTING.text_to_image(PROMPTS, CODES, pad_to=13)
    assert torch.equal(batch.input_ids, CASES["t2v_gen.input_ids"])
    assert torch.equal(batch.input_ids, CASES["t2v_train.input_ids"])


def test_golden_labels():
    """Of the published code every code is learned; here, those that are masked."""
    masked = torch.full_like(CODES, VOCABULARY.mask_code)
    batch = PROMPTING.text_to_image(PROMPTS, masked, CODES, pad_to=13)
    assert torch.equal(batch.labels, CASES["t2v_train.labels"])


def clip_model():
    """Three latent frames of four tokens."""
    return tiny_showo(image_tokens=12, video_frames=3)


def naive_logits(model, prompt, codes):
    """One forward over `t2v sot text eot sov video* eov`, the block seeing itself both ways."""
    v = model.vocabulary
    text = [v.t2v_id, v.sot_id, *prompt, v.eot_id]
    clip = [v.sov_id, *(code + v.image_offset for code in codes), v.eov_id]
    ids = torch.tensor([text + clip])
    mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    mask[len(text) :, len(text) :] = True
    logits = model(ids, mask[None, None])[0, len(text) + 1 : -1]
    return logits[:, v.image_offset : v.mask_id]


def test_clips_are_predicted_behind_their_prompts():
    model = clip_model()
    codes = torch.randint(0, 24, (2, 12), generator=torch.Generator().manual_seed(0))
    codes[:, ::2] = model.mask_code
    prompts = [[3, 4, 5], [6]]
    with torch.no_grad():
        trained = model.image_logits(prompts, codes)
        cached = model.begin_images(prompts).logits(codes)
        for row in range(2):
            expected = naive_logits(model, prompts[row], codes[row].tolist())
            torch.testing.assert_close(trained[row], expected, rtol=0, atol=2e-4)
            torch.testing.assert_close(cached[row], expected, rtol=0, atol=2e-4)


def test_clips_are_understood():
    """`mmu sov video* eov sot question`, as images are."""
    model, v = clip_model(), clip_model().vocabulary
    codes = torch.arange(12)[None]
    batch = model.understanding(codes, [[7, 8]], [[9]])
    offset = v.image_offset
    clip = [v.mmu_id, v.sov_id, *range(offset, offset + 12), v.eov_id]
    assert batch.input_ids[0].tolist() == [*clip, v.sot_id, 7, 8, 9, v.eot_id]
    mask = torch.ones(20, 20, dtype=torch.bool).tril()
    mask[:15, :15] = True
    assert torch.equal(batch.layout.attention_mask[0, 0], mask)
    images = tiny_showo(image_tokens=12).understanding(codes, [[7, 8]], [[9]])
    assert images.input_ids[0, 1] == v.soi_id and images.input_ids[0, 14] == v.eoi_id


def test_the_configuration_says_so(tmp_path):
    model = clip_model()
    assert token_grid(model.config) == (3, 2, 2) and token_grid(tiny_showo().config) == (4, 4)
    model.save_pretrained(tmp_path)
    assert Showo.from_pretrained(tmp_path).config == model.config
    assert "video_frames" not in tiny_showo().config.to_dict()["showo_turbo"]


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize("frames", [5, -1, True, "3"])
    def test_frames(self, frames):
        with pytest.raises(UserError, match="video_frames is"):
            ShowoConfig(image_tokens=12, video_frames=frames)

    def test_stories(self):
        with pytest.raises(UserError, match="the model generates clips, not stories"):
            clip_model().story_prompt([[1]], [])


def test_the_naive_twin_of_images_is_not_that_of_clips():
    """So that the tests above can fail."""
    model, codes = clip_model(), [1] * 12
    with torch.no_grad():
        image = naive.image_logits(model, [3], codes, 8)
        assert not torch.allclose(image, naive_logits(model, [3], codes), atol=1e-2)
