from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.models.showo.sequences import UnifiedPrompting
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.inpainting import (
    check_masked,
    inpaint_codes,
    masked_tokens,
    paste_kept,
)
from showo_turbo.sampling.mask_schedules import tokens_left_masked
from showo_turbo.sampling.parallel import decode_image_codes, denoise_images

from .. import golden_drawing as golden
from .. import naive


def known_of(name, batch):
    """The photograph's codes, those that the case masks being unknown."""
    cases = golden.cases()
    masked = cases[f"mask.{name}.tokens"]
    return cases["photo.codes"].masked_fill(masked, golden.VOCABULARY.mask_code).repeat(batch, 1)


@pytest.mark.parametrize("name", golden.names("inpaint"))
def test_golden_states(name, monkeypatch):
    """Among them `dot`, a mask that the published code reads as empty: nothing is drawn."""
    options, cases = golden.meta()["cases"][f"inpaint.{name}"], golden.cases()
    sampling, batch = golden.sampling_of(options), options["batch"]
    known = known_of(options["mask"], batch)
    assert int((known[0] == golden.VOCABULARY.mask_code).sum()) == options["unknown"]
    if not options["greedy"]:
        golden.replay(monkeypatch, f"inpaint.{name}")
        temperatures = [sampling.confidence_temperature_at(s + 1) for s in range(options["steps"])]
        assert temperatures == pytest.approx(cases[f"inpaint.{name}.temperatures"].tolist())
    prompts = [golden.ids_of(options["prompt"])] * batch
    steps = list(denoise_images(golden.showo(), prompts, sampling, known=known))
    found = torch.stack([known, *(step.codes for step in steps)], dim=1)
    assert torch.equal(found, golden.codes_of(cases[f"inpaint.{name}.states"]))
    assert torch.equal(found[:, -1], cases[f"inpaint.{name}.final_codes"])
    if (probabilities := cases.get(f"inpaint.{name}.first_probs")) is not None:
        torch.testing.assert_close(steps[0].logits.softmax(-1), probabilities, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", golden.names("inpaint"))
def test_golden_sequences(name):
    """With and without the prompt; both have the same known and masked codes."""
    options, cases = golden.meta()["cases"][f"inpaint.{name}"], golden.cases()
    known = known_of(options["mask"], options["batch"])
    prompting = UnifiedPrompting(golden.VOCABULARY, golden.CONFIG.max_text_length)
    width = golden.CONFIG.max_text_length + 1
    ids = golden.ids_of(options["prompt"])
    with_prompt, without = (
        prompting.text_to_image([prompt] * len(known), known, pad_to=width) for prompt in (ids, [])
    )
    assert torch.equal(with_prompt.input_ids, cases[f"inpaint.{name}.input_ids"])
    if options["guidance_scale"]:
        assert torch.equal(without.input_ids, cases[f"inpaint.{name}.uncond_input_ids"])
    if (mask := cases.get(f"inpaint.{name}.attention_mask")) is not None:
        found = [each.layout.attention_mask for each in (with_prompt, without)]
        assert torch.equal(torch.cat(found), mask)


@pytest.mark.parametrize("name", ["blob", "strokes", "dot", "all"])
def test_golden_masks(name):
    cases = golden.cases()
    mask = cases[f"mask.{name}.cropped"] / 255
    assert torch.equal(masked_tokens(mask, golden.SIDE, "center"), cases[f"mask.{name}.tokens"])
    patches = mask.reshape(8, 16, 8, 16).permute(0, 2, 1, 3).reshape(64, -1).tolist()
    any_bright = [any(level >= 0.5 for level in patch) for patch in patches]
    assert masked_tokens(mask, golden.SIDE).tolist() == any_bright
    assert any(any_bright), "the dot, too"


def test_where_a_mask_is_read():
    mask = torch.zeros(8, 8)
    mask[0, 7] = 0.5
    mask[5, 2] = 0.49
    mask[6:, 4:6] = 1.0
    assert masked_tokens(mask, 4).nonzero().flatten().tolist() == [3, 14]
    mask[:2, :2] = 1.0  # a whole patch: its center, too
    assert 0 in masked_tokens(mask, 4, "center").nonzero()


PROMPTS = [[], [3], [1, 2, 3, 4, 5, 6, 7]]


@settings(max_examples=25)
@given(
    unknown=st.lists(st.sets(st.integers(0, 15)), min_size=3, max_size=3),
    steps=st.integers(1, 6),
    guidance=st.sampled_from([0.0, 2.5]),
    negative=st.lists(st.integers(0, 28), max_size=10),
    schedule=st.sampled_from(["cosine", "linear"]),
    schedule_base=st.sampled_from(["image", "unknown"]),
    temperature=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_as_naive_from_any_known_codes(
    precise_model,
    unknown,
    steps,
    guidance,
    negative,
    schedule,
    schedule_base,
    temperature,
    seed,
):
    """At every step, with other masks in the batch, away from a prompt or the empty one."""
    model = precise_model
    codes = torch.randint(24, (3, 16), generator=torch.Generator().manual_seed(seed))
    known = codes.clone()
    for row, places in zip(known, unknown, strict=True):
        row[list(places)] = model.mask_code
    options = {"token_temperature": temperature, "confidence_temperature": 2 * temperature}
    sampling = ImageSampling(steps, guidance, schedule, schedule_base=schedule_base, **options)
    seeds, away = [seed, seed + 1, seed + 2], [negative, [], negative]
    run = denoise_images(model, PROMPTS, sampling, seeds, known, negative_prompts=away)
    found = torch.stack([known, *(step.codes for step in run)], dim=1)
    for sample, prompt in enumerate(PROMPTS):
        expected = naive.decode_image(
            model,
            prompt,
            steps=steps,
            guidance_scale=guidance,
            schedule=schedule,
            schedule_base=schedule_base,
            known=known[sample].tolist(),
            negative=away[sample],
            seed=seeds[sample],
            **options,
        )
        assert found[sample].tolist() == expected
    masked = known == model.mask_code
    last = inpaint_codes(model, PROMPTS, codes, masked, sampling, seeds, away)
    assert torch.equal(last, found[:, -1])
    assert torch.equal(last[~masked], codes[~masked])


@pytest.mark.parametrize(
    ("base", "left"),
    # 16 tokens, 8 unknown: floor(16 cos(pi k / 8)) is 14, 11, 6; floor(8 cos(pi k / 8)) 7, 5, 3.
    [("image", [7, 6, 5, 0]), ("unknown", [7, 5, 3, 0])],
)
def test_what_the_schedule_counts_from(model, base, left):
    known = torch.zeros(1, 16, dtype=torch.long)
    known[0, ::2] = model.mask_code
    steps = denoise_images(model, [[1]], ImageSampling(4, schedule_base=base), known=known)
    assert [int((step.codes == model.mask_code).sum()) for step in steps] == left


@pytest.mark.parametrize("base", ["image", "unknown"])
def test_an_image_that_is_begun_elsewhere_is_completed_alike(model, base):
    sampling = ImageSampling(4, schedule_base=base)
    whole = [step.codes for step in denoise_images(model, PROMPTS, sampling)]
    rest = [step.codes for step in denoise_images(model, PROMPTS, sampling, known=whole[1], done=2)]
    assert torch.equal(torch.stack(rest), torch.stack(whole[2:]))


def test_the_published_schedule_waits_for_the_last_step():
    """64 of 256 tokens masked, as recorded and as MaskGIT's rule would have it."""
    for base, expected in ((256, [63, 62, 61, 0]), (64, [59, 45, 24, 0])):
        left = [64]
        for step in range(1, 5):
            left.append(tokens_left_masked(step, 4, base, left[-1]))
        assert left[1:] == expected
        assert all(after < before for before, after in pairwise(left))


def test_negative_prompts_change_guided_images_only(model):
    prompts, away = [[1, 2, 3]] * 2, [[], [20, 21, 22]]

    def first_logits(guidance):
        sampling = ImageSampling(4, guidance)
        return next(denoise_images(model, prompts, sampling, negative_prompts=away)).logits

    plain, other = first_logits(3.0)
    usual = next(denoise_images(model, prompts[:1], ImageSampling(4, 3.0))).logits
    torch.testing.assert_close(plain, usual[0])
    assert (plain - other).abs().max() > 0.1
    plain, other = first_logits(0.0)
    torch.testing.assert_close(plain, other)


def test_pasting_keeps_pixels_and_has_a_soft_edge():
    generator = torch.Generator().manual_seed(0)
    original, drawn = torch.rand(2, 1, 3, 24, 24, generator=generator)
    masked = torch.zeros(1, 3, 3, dtype=torch.bool)
    masked[0, 0, 1] = True  # rows 0 to 7, columns 8 to 15
    pasted = paste_kept(drawn, original, masked)
    assert torch.equal(pasted[..., :8, 8:16], drawn[..., :8, 8:16])
    far = torch.ones(24, 24, dtype=torch.bool)
    far[:12, 4:20] = False  # half a patch around it
    assert torch.equal(pasted[..., far], original[..., far])
    # Of the 5 columns around it, so many are no more than 2 away from the masked ones: 1, 2, 3, 4.
    weight = (pasted - original)[..., 4, 4:8] / (drawn - original)[..., 4, 4:8]
    expected = torch.tensor([0.2, 0.4, 0.6, 0.8])
    torch.testing.assert_close(weight, expected.expand_as(weight), rtol=0, atol=1e-4)


def test_pasting_tiny_patches_has_a_hard_edge():
    masked = torch.tensor([[[True, False]]])
    pasted = paste_kept(torch.ones(1, 3, 2, 4), torch.zeros(1, 3, 2, 4), masked)
    assert pasted[0, 0].tolist() == [[1, 1, 0, 0]] * 2


@pytest.mark.bad_input
class TestBadInput:
    def test_masks_of_nothing_and_of_everything(self):
        with pytest.raises(UserError, match=r"m\.png masks none of the 16 image tokens"):
            check_masked(torch.zeros(16, dtype=torch.bool), "m.png")
        with pytest.raises(UserError, match=r"m\.png masks all of the 16 image tokens"):
            check_masked(torch.ones(16, dtype=torch.bool), "m.png")
        check_masked(torch.arange(16) == 3, "m.png")

    def test_what_the_schedule_counts_from(self, model):
        sampling = ImageSampling(2, schedule_base="none")
        with pytest.raises(UserError, match="schedule_base is 'none'"):
            decode_image_codes(model, [[1]], sampling)

    def test_negative_prompts_of_another_number(self, model):
        with pytest.raises(ValueError, match="2 negative prompts"):
            decode_image_codes(model, [[1]], ImageSampling(2, 1.0), None, None, [[1], [2]])
