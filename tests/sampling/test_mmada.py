"""Images and texts of MMaDA, state by state as the published samplers gave them."""

import pytest
import torch

from showo_turbo.models.mmada import MMaDA
from showo_turbo.sampling import block_diffusion, parallel
from showo_turbo.sampling.block_diffusion import (
    TextDenoising,
    block_diffusion_decode,
    denoise_texts,
    gumbel_scores,
    revealed_each_step,
)
from showo_turbo.sampling.image_sampling import ImageSampling

from ..tiny_mmada import (
    WIDTH,
    codes_of,
    golden_cases,
    golden_meta,
    golden_mmada,
    golden_prompts,
)

GREEDY_IMAGES = (
    "image8",
    "image16",
    "image16_unguided",
    "image8_linear",
    "image8_partly_known",
    "image8_padding_visible",
)
TEXTS = (
    "mmu_one_block",
    "mmu_two_blocks",
    "mmu_four_blocks",
    "mmu_uneven",
    "mmu_few",
    "mmu_guided",
    "mmu_random_order",
    "mmu_tempered",
    "mmu_predicts_mask",
    "text",
    "text_padded",
)


def golden(case):
    """The settings of a case, and its tensors by their names."""
    begin = f"{case}."
    tensors = {
        name.removeprefix(begin): value
        for name, value in golden_cases().items()
        if name.startswith(begin)
    }
    return golden_meta()["cases"][case], tensors


def denoise(case, **options):
    """Our steps of a recorded image case, its first state and the recorded tensors."""
    meta, recorded = golden(case)
    model = golden_mmada("visible" if meta["padding_visible"] else "masked")
    sampling = ImageSampling(
        meta["steps"],
        guidance_scale=meta["guidance_scale"],
        mask_schedule=meta["mask_schedule"],
        **options,
    )
    first = recorded["states"][:, 0]
    steps = parallel.denoise_images(model, golden_prompts(meta["prompts"]), sampling, known=first)
    return sampling, steps, first, recorded


def check_images(steps, first, recorded):
    states, reveal_step = [first], torch.zeros_like(first)
    for step in steps:
        if step.index == 1:
            guided = step.logits - recorded["first_logits"]
            assert guided.abs().max() < 5e-3  # of which guidance is a multiple
        states.append(step.codes)
        reveal_step[step.revealed] = step.index
    assert torch.equal(torch.stack(states, dim=1), recorded["states"])
    assert torch.equal(reveal_step, recorded["reveal_step"])


@pytest.mark.parametrize("case", GREEDY_IMAGES)
def test_golden_images(case):
    check_images(*denoise(case)[1:])


def test_golden_images_without_condition():
    _, recorded = golden("image8")
    model = golden_mmada()
    for step, expected in enumerate(recorded["uncond_ids_of_steps_1_2"]):
        ids, _ = model.sequences.text_to_image(
            [model.null_prompt] * 3, recorded["states"][:, step], pad_to=WIDTH
        )
        assert torch.equal(ids, expected)


def test_golden_images_with_the_recorded_draws(monkeypatch):
    options = {
        "token_temperature": 1.0,
        "confidence_temperature": 1.0,
        "confidence_annealing": "compounding",
    }
    sampling, steps, first, recorded = denoise("image8_sampled", **options)
    expected = recorded["temperatures"].tolist()
    found = [sampling.confidence_temperature_at(step) for step in range(1, 9)]
    assert found == pytest.approx(expected, abs=1e-6)

    class Recorded:
        """The noise of one step after the other."""

        step = -1

        def __init__(self, *unused):
            pass

        def gumbel(self, scale):
            return scale * recorded["gumbel_noise"][:, self.step]

    def draw(logits, sampling, noise):
        noise.step += 1
        codes = recorded["drawn_codes"][:, noise.step]
        return codes, logits.log_softmax(dim=-1).gather(-1, codes[..., None])[..., 0]

    monkeypatch.setattr(parallel, "SamplerNoise", Recorded)
    monkeypatch.setattr(parallel, "draw_tokens", draw)
    check_images(steps, first, recorded)


def request(recorded):
    """Image codes, if any, and text ids of the recorded prompts."""
    ids = recorded["prompt_ids"]
    with_image = int(ids[0, 0]) == golden_mmada().vocabulary.mmu_id
    codes = codes_of(ids[:, 2:38]) if with_image else None
    texts = ids[:, 39:].tolist() if with_image else ids.tolist()
    # Behind `bos`, before which there may be padding.
    return codes, [text[text.index(60) + 1 :] for text in texts]


def published(meta, **options):
    """As the published sampler: it may predict anything, and does not end early."""
    order = {"low_confidence": "confidence", "random": "random"}[meta["remasking"]]
    return TextDenoising(
        meta["new_tokens"],
        meta["block_length"],
        meta["steps"],
        order,
        meta["cfg_scale"],
        meta["temperature"],
        restrict_to_text=False,
        **{"stop_at_end": False} | options,
    )


@pytest.mark.parametrize("case", TEXTS)
def test_golden_texts(case, monkeypatch):
    meta, recorded = golden(case)
    draws = recorded.get("uniform_noise", recorded.get("confidence_draws"))

    class Recorded:
        """The noise of one step after the other."""

        def __init__(self, *unused):
            self.step = -1

        def uniform(self, samples, *shape):
            self.step += 1
            return draws[samples, self.step][:, : shape[0]]

    monkeypatch.setattr(block_diffusion, "TextNoise", Recorded)
    model, asked, options = golden_mmada(), request(recorded), published(meta)
    states = [torch.full_like(recorded["states"][:, 0], model.text_mask_id)]
    for step in denoise_texts(model, *asked, options):
        if step.index == 1:
            expected, w = recorded["first_logits"], options.guidance_scale
            if w:
                conditional, unconditional = expected.chunk(2)
                expected = (1 + w) * conditional - w * unconditional
            assert (step.logits - expected).abs().max() < 1e-3 * (1 + 2 * w)
        states.append(step.answers)
    assert torch.equal(torch.stack(states, dim=1), recorded["states"])

    results = block_diffusion_decode(model, *asked, options)
    found = torch.stack([result.reveal_step for result in results])
    assert torch.equal(found, recorded["reveal_step"])
    assert [result.ids.tolist() for result in results] == recorded["states"][:, -1].tolist()
    assert sum((result.ids == 80).sum().item() for result in results) == meta["masks_left"]
    forwards = meta["forwards"] * (2 if meta["cfg_scale"] else 1)
    assert [result.forwards for result in results] == [forwards] * len(results)


def test_the_golden_text_that_ends_early(monkeypatch):
    meta, recorded = golden("mmu_fast_stops")
    monkeypatch.setattr(MMaDA, "end_ids", (meta["eot_token"],))
    asked = (golden_mmada(), *request(recorded), published(meta, stop_at_end=True))
    states = [step.answers for step in denoise_texts(*asked)]
    assert torch.equal(torch.stack(states, dim=1), recorded["states"][:, 1:])
    (result,) = block_diffusion_decode(*asked)
    assert result.tokens == [65, 56, 67, 8] and result.finished
    assert result.forwards == meta["forwards"] == 2


@pytest.mark.parametrize("steps", [1, 3, 4, 8])
def test_golden_numbers_of_revealed_tokens(steps):
    recorded = golden_cases()
    masked = recorded["transfers.masks"].sum(dim=1).tolist()
    found = [revealed_each_step(count, steps) for count in masked]
    assert found == recorded[f"transfers.in_{steps}"].tolist()


@pytest.mark.parametrize("temperature", [0.4, 1.0])
def test_golden_scores_of_draws(temperature):
    recorded = golden_cases()
    found = gumbel_scores(recorded["gumbel.logits"], recorded["gumbel.uniform"], temperature)
    expected = recorded[f"gumbel.scores_{temperature}"].log()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
