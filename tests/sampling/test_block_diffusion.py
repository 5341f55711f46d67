"""Block diffusion against a plain loop, and what stopping, seeds and batches may change."""

from dataclasses import replace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.models.layout import Layout
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.block_diffusion import (
    TextDenoising,
    block_diffusion_decode,
    denoise_texts,
)
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.sampling.text_decoding import DecodingChanges, TextDecoding
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny import tiny_magvitv2, tiny_showo
from ..tiny_mmada import shapes_mmada, tiny_mmada

pytestmark = pytest.mark.mmada

OPTIONS = TextDenoising(12, 4, 6)


@pytest.fixture(scope="module")
def model():
    """In double precision, so that no rounding tips a comparison."""
    return tiny_mmada().double()


def requests(model, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 24, (count, 16), generator=generator)
    lengths = torch.randint(0, 6, (count,), generator=generator).tolist()
    return codes, [torch.randint(0, 24, (n,), generator=generator).tolist() for n in lengths]


def naive(model, codes, prompt, options, seed=0):
    """One answer the plain way: `(ids, tokens)`, without anything from the package's sampler."""
    v, generator = model.vocabulary, torch.Generator().manual_seed(seed)
    prefix = [v.bos_id, *prompt]
    if codes is not None:
        image = [code + v.image_offset for code in codes]
        prefix = [v.mmu_id, v.soi_id, *image, v.eoi_id, *prefix]
    answer = [v.mask_id] * options.max_new_tokens
    size = options.block_size
    steps = (options.sampling_steps or options.max_new_tokens) * size // options.max_new_tokens
    allowed = [token for token in range(v.image_offset) if token != v.mask_id]

    def logits_behind(before):
        ids = torch.tensor([[*before, *answer]])
        return model(ids, Layout(torch.ones_like(ids)))[0, len(before) :]

    for begin in range(0, options.max_new_tokens, size):
        for step in range(steps):
            logits, w = logits_behind(prefix), options.guidance_scale
            if w:
                logits = (1 + w) * logits - w * logits_behind([v.mask_id] * len(prefix))
            logits = logits.float()
            uniform = order = None
            if options.temperature:
                uniform = torch.rand(size, v.image_offset, generator=generator, dtype=torch.float64)
            if options.reveal_order == "random":
                order = torch.rand(size, generator=generator, dtype=torch.float64)
            found = []
            for place in range(size):
                scores = logits[begin + place, allowed].double()
                log_probs = scores.log_softmax(dim=-1)
                if uniform is not None:
                    noise = -(-uniform[place, allowed].log()).log()
                    scores = scores / options.temperature + noise
                best = int(scores.argmax())
                sure = log_probs[best] if order is None else order[place]
                if answer[begin + place] == v.mask_id:
                    found.append((-float(sure), place, allowed[best]))
            count = size // steps + (step < size % steps)
            for _, place, token in sorted(found)[:count]:
                answer[begin + place] = token
    ends = [place for place, token in enumerate(answer) if token in (v.eot_id, v.eos_id)]
    return answer, answer[: ends[0] + 1] if ends else answer


@pytest.mark.parametrize("with_image", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampling_steps": None},
        {"sampling_steps": 3},
        {"sampling_steps": 9},
        {"block_size": 12, "sampling_steps": 5},
        {"guidance_scale": 1.5},
        {"temperature": 0.8},
        {"reveal_order": "random"},
        {"temperature": 1.5, "reveal_order": "random", "guidance_scale": 0.5},
    ],
    ids=str,
)
@torch.no_grad()
def test_as_naive(model, changes, with_image):
    options = replace(OPTIONS, stop_at_end=False, **changes)
    codes, prompts = requests(model, 4)
    seeds = [7, 8, 9, 10]
    results = block_diffusion_decode(model, codes if with_image else None, prompts, options, seeds)
    for sample, result in enumerate(results):
        image = codes[sample].tolist() if with_image else None
        ids, tokens = naive(model, image, prompts[sample], options, seeds[sample])
        assert result.ids.tolist() == ids
        assert result.tokens == tokens
        assert result.finished == (tokens[-1] in model.end_ids)


def test_stopping_changes_nothing_up_to_the_end(model):
    codes, prompts = requests(model, 40)
    whole = block_diffusion_decode(model, codes, prompts, replace(OPTIONS, stop_at_end=False))
    short = block_diffusion_decode(model, codes, prompts, OPTIONS)
    assert {result.finished for result in short} == {True, False}
    for one, other in zip(whole, short, strict=True):
        assert (one.tokens, one.finished) == (other.tokens, other.finished)
        assert not set(one.tokens[:-1]) & set(model.end_ids)
        count = len(other.tokens)
        assert torch.equal(one.reveal_step[:count], other.reveal_step[:count])
        assert one.forwards == 6
        # The step that settled its last token, and none after it.
        last = int(other.reveal_step[:count].max())
        assert other.forwards == (last if other.finished else 6)
        assert (other.reveal_step[other.ids == model.text_mask_id] == 7).all()
    assert sum(result.forwards for result in short) < 6 * 40


def test_states_follow_from_the_record(model):
    codes, prompts = requests(model, 6)
    results = block_diffusion_decode(model, codes, prompts, OPTIONS)
    for step in denoise_texts(model, codes, prompts, OPTIONS):
        for sample in step.samples:
            record = results[sample]
            known = record.reveal_step <= step.index
            expected = torch.where(known, record.ids, model.text_mask_id)
            assert torch.equal(step.answers[sample], expected)
            assert torch.equal(step.revealed[sample], record.reveal_step == step.index)


@pytest.mark.parametrize("restrict_to_text", [True, False])
def test_restricted_to_text_or_not(model, restrict_to_text):
    codes, prompts = requests(model, 40, seed=3)
    options = replace(OPTIONS, restrict_to_text=restrict_to_text, stop_at_end=False)
    ids = torch.stack([r.ids for r in block_diffusion_decode(model, codes, prompts, options)])
    outside = (ids >= model.vocabulary.image_offset) | (ids == model.text_mask_id)
    assert outside.any() != restrict_to_text


def test_a_sample_depends_on_its_own_seed_only(model):
    codes, prompts = requests(model, 5)
    options = replace(OPTIONS, temperature=1.0, reveal_order="random", guidance_scale=0.5)
    seeds = [3, 1, 4, 1, 5]
    together = block_diffusion_decode(model, codes, prompts, options, seeds)
    order = [4, 2, 0]
    some = block_diffusion_decode(
        model, codes[order], [prompts[i] for i in order], options, [seeds[i] for i in order]
    )
    for place, sample in enumerate(order):
        assert some[place].tokens == together[sample].tokens
        count = len(some[place].tokens)
        assert torch.equal(some[place].ids[:count], together[sample].ids[:count])
    same = block_diffusion_decode(
        model, codes[:1].expand(3, -1), prompts[:1] * 3, options, [1, 1, 2]
    )
    assert torch.equal(same[0].ids, same[1].ids)
    assert not torch.equal(same[0].ids, same[2].ids)


def test_guidance_takes_two_forwards_a_step(model):
    codes, prompts = requests(model, 2)
    options = replace(OPTIONS, guidance_scale=1.0, stop_at_end=False)
    results = block_diffusion_decode(model, codes, prompts, options)
    assert [result.forwards for result in results] == [12, 12]


class TestDecoding:
    def test_options_reach_the_sampler(self, model):
        decoding = TextDecoding(
            "block_diffusion",
            12,
            block_size=4,
            temperature=0.7,
            sampling_steps=6,
            reveal_order="random",
            guidance_scale=0.5,
        )
        expected = replace(OPTIONS, temperature=0.7, reveal_order="random", guidance_scale=0.5)
        assert decoding.denoising == expected
        codes, prompts = requests(model, 3)
        found = decoding.decode(model, codes, prompts, [5, 6, 7])
        by_hand = block_diffusion_decode(model, codes, prompts, expected, [5, 6, 7])
        assert [result.tokens for result in found] == [result.tokens for result in by_hand]

    def test_another_method_gives_up_what_it_has_not(self):
        denoised = TextDecoding("block_diffusion", 12, sampling_steps=6, guidance_scale=1.0)
        assert DecodingChanges(method="jacobi").over(denoised) == TextDecoding("jacobi", 12)

    def test_a_pipeline_answers(self):
        pipeline = small_pipeline()
        images = pipeline.generate(["a red circle"], sampling_steps=2, guidance_scale=1.0).images
        options = {"method": "block_diffusion", "max_new_tokens": 8, "block_size": 4}
        answers = pipeline.answer(images, ["What is it?", "Where?"], guidance_scale=0.5, **options)
        again = pipeline.answer(
            images, ["What is it?", "Where?"], guidance_scale=0.5, batch_size=1, **options
        )
        assert answers.tokens == again.tokens
        assert all(1 <= len(tokens) <= 8 for tokens in answers.tokens)


def small_pipeline():
    tokenizers = tiny_magvitv2(bits=9), TextTokenizer.from_pretrained("shapes")
    return ShowoPipeline(shapes_mmada(), *tokenizers)


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"block_size": 5}, "block_size is 5, which does not divide max_new_tokens=12; choose"),
            ({"block_size": 0}, "block_size is 0; it must be at least 1"),
            ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be at least 1"),
            ({"sampling_steps": 4}, "sampling_steps is 4, which 3 blocks of 4 tokens cannot share"),
            ({"sampling_steps": 15}, "sampling_steps is 15, which .*; choose a multiple of 3 up"),
            ({"sampling_steps": 0}, "sampling_steps is 0, which 3 blocks"),
            ({"sampling_steps": 3.0}, "sampling_steps is 3.0; expected a whole number"),
            (
                {"reveal_order": "halton"},
                "reveal_order is 'halton'; choose 'confidence' or 'random",
            ),
            ({"guidance_scale": -1.0}, "guidance_scale is -1.0; it must be 0 or more"),
            ({"temperature": 1e-9}, "temperature is 1e-09; choose 0 for the likeliest, or"),
            ({"top_k": 3}, "top_k is 3, which method 'block_diffusion' does not have; leave it"),
            ({"top_p": 0.5}, "top_p is 0.5, which method 'block_diffusion' does not have; leave"),
        ],
    )
    def test_options(self, options, message):
        chosen = {"method": "block_diffusion", "max_new_tokens": 12, "block_size": 4} | options
        with pytest.raises(UserError, match=message):
            TextDecoding(**chosen).check()

    @pytest.mark.parametrize("method", ["jacobi", "autoregressive"])
    @pytest.mark.parametrize(
        "option", [{"sampling_steps": 4}, {"guidance_scale": 1.0}, {"reveal_order": "random"}]
    )
    def test_options_of_block_diffusion_alone(self, method, option):
        (name,) = option
        with pytest.raises(UserError, match=f"{name} is .*, which method '{method}' does not"):
            TextDecoding(method, **option).check()

    @pytest.mark.parametrize("method", ["jacobi", "autoregressive"])
    def test_a_model_that_denoises_its_text_has_no_other_way(self, model, method):
        codes, prompts = requests(model, 1)
        message = f"method is '{method}', but MMaDA denoises its text, .*; choose method 'block_dif"
        with pytest.raises(UserError, match=message) as caught:
            TextDecoding(method).decode(model, codes, prompts, [0])
        assert "\n" not in str(caught.value)
        decode = jacobi_decode if method == "jacobi" else autoregressive_decode
        with pytest.raises(UserError, match="no decoding from left to right"):
            decode(model, codes, prompts, max_new_tokens=4)

    def test_a_pipeline_says_so_before_an_image_is_read(self):
        with pytest.raises(UserError, match="method is 'jacobi', but MMaDA denoises its text"):
            small_pipeline().answer("no-such-image.png", "What is it?")

    def test_a_model_that_writes_from_left_to_right(self):
        message = (
            "needs a model whose text is denoised, but Showo writes from left to right; choose"
        )
        codes = torch.zeros(1, 16, dtype=torch.long)
        with pytest.raises(UserError, match=message) as caught:
            TextDecoding("block_diffusion").decode(tiny_showo(), codes, [[1]], [0])
        assert "\n" not in str(caught.value)
        with pytest.raises(UserError, match=message):
            block_diffusion_decode(tiny_showo(), codes, [[1]], OPTIONS)

    def test_prompts_images_and_seeds(self, model):
        codes, prompts = requests(model, 2)
        with pytest.raises(UserError, match="there are no prompts"):
            block_diffusion_decode(model, None, [], OPTIONS)
        with pytest.raises(UserError, match="there are 2 images for 1 prompts"):
            block_diffusion_decode(model, codes, prompts[:1], OPTIONS)
        with pytest.raises(UserError, match=r"image code 24 lies outside of the codebook 0\.\.23"):
            block_diffusion_decode(model, torch.full((2, 16), 24), prompts, OPTIONS)
        with pytest.raises(UserError, match="there are 1 seeds for 2 prompts"):
            block_diffusion_decode(model, codes, prompts, OPTIONS, [1])
