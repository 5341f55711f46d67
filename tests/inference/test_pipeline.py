from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from showo_turbo.data.images import to_images
from showo_turbo.errors import UserError
from showo_turbo.inference import Generation, Prompts, loaded_model
from showo_turbo.models.showo.sequences import format_question
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import decode_image_codes
from showo_turbo.sampling.text_decoding import TextDecoding

from .conftest import PROMPTS

QUESTIONS = ["What is in the image?", "How many?", "Is it red? Or blue? Or green?"]


@pytest.fixture(scope="module")
def pictures(pipeline):
    return pipeline.generate(PROMPTS, sampling_steps=2).images


class TestGenerate:
    def test_is_the_sampler_and_the_tokenizer(self, pipeline):
        sampling = ImageSampling(4, 1.5, "linear", 0.7, 2.0, 30, 0.5)
        seeds = [3, 1, 4, 1, 5]
        result = pipeline.generate(
            PROMPTS,
            sampling_steps=4,
            guidance_scale=1.5,
            mask_schedule="linear",
            token_temperature=0.7,
            confidence_temperature=2.0,
            top_k=30,
            guidance_end=0.5,
            seeds=seeds,
            batch_size=5,
        )
        ids = [pipeline.text_tokenizer.encode(prompt) for prompt in PROMPTS]
        codes = decode_image_codes(pipeline.network, ids, sampling, seeds)
        assert torch.equal(result.codes, codes)
        assert result.seeds == seeds
        expected = to_images(pipeline.image_tokenizer.decode(codes))
        assert [i.tobytes() for i in result.images] == [i.tobytes() for i in expected]
        assert {(image.size, image.mode) for image in result.images} == {((16, 16), "RGB")}

    @pytest.mark.parametrize("batch_size", [1, 2, None])
    def test_the_batch_size_changes_nothing(self, pipeline, batch_size):
        options = {"sampling_steps": 4, "token_temperature": 1.0, "guidance_scale": 1.0}
        together = pipeline.generate(PROMPTS, batch_size=5, **options)
        found = pipeline.generate(PROMPTS, batch_size=batch_size, **options)
        assert torch.equal(found.codes, together.codes)
        assert found.statistics.forwards == together.statistics.forwards

    def test_statistics(self, pipeline):
        plain = pipeline.generate(PROMPTS, sampling_steps=4).statistics
        assert (plain.samples, plain.tokens, plain.forwards) == (5, 5 * 16, 5 * 4)
        assert plain.tokens_per_forward == 4
        assert plain.seconds > 0
        guided = pipeline.generate(PROMPTS, sampling_steps=4, guidance_scale=1).statistics
        assert guided.forwards == 2 * 5 * 4
        assert "5 samples, 80 tokens in" in str(plain)

    def test_a_single_prompt(self, pipeline):
        alone = pipeline.generate("a red circle", sampling_steps=2)
        assert torch.equal(alone.codes, pipeline.generate(["a red circle"], sampling_steps=2).codes)

    def test_batches_come_in_order_as_they_are_done(self, pipeline):
        sampling = ImageSampling(2)
        parts = list(pipeline.draw_batches(Generation(Prompts(PROMPTS)), sampling, batch_size=2))
        assert [len(part.images) for part in parts] == [2, 2, 1]
        assert [seed for part in parts for seed in part.seeds] == [0, 1, 2, 3, 4]

    def test_what_python_users_give(self, pipeline):
        """Any iterable of prompts, one seed for all, and NumPy's whole numbers."""
        options = {"sampling_steps": 2, "token_temperature": 1.0}
        expected = pipeline.generate(PROMPTS[:2], seeds=[7, 7], **options).codes
        for seeds in (7, np.array([7, 7])):
            found = pipeline.generate((text for text in PROMPTS[:2]), seeds=seeds, **options)
            assert torch.equal(found.codes, expected)

    def test_pixels_do_not_depend_on_how_many_are_decoded_together(self, pipeline, monkeypatch):
        expected = pipeline.generate(PROMPTS, sampling_steps=2).images
        monkeypatch.setattr(loaded_model, "DECODED_AT_ONCE", 2)
        found = pipeline.generate(PROMPTS, sampling_steps=2).images
        assert [image.tobytes() for image in found] == [image.tobytes() for image in expected]

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("prompts", "options", "message"),
        [
            ([], {}, "there are no prompts"),
            (["a red circle " * 30], {}, r"has \d+ tokens; at most 30 fit"),
            (["a"], {"sampling_steps": 0}, "steps is 0; choose 1 to 16"),
            (["a"], {"sampling_steps": 17}, "steps is 17; choose 1 to 16"),
            (["a"], {"guidance_scale": -1.0}, "guidance_scale is -1.0"),
            (["a"], {"top_k": 65}, "top_k is 65; choose 1 to 64"),
            (["a"], {"batch_size": 0}, "batch_size is 0; it must be at least 1"),
            (["a"], {"seeds": [1, 2]}, "2 seeds for 1 prompt"),
            (["a"], {"seeds": [-1]}, "seed -1 is out of range"),
        ],
    )
    def test_bad_input(self, pipeline, prompts, options, message):
        with pytest.raises(UserError, match=message):
            pipeline.generate(prompts, **{"sampling_steps": 2, **options})


class TestAnswer:
    @pytest.mark.parametrize("driver", ["block", "window"])
    def test_jacobi_and_autoregression_agree(self, pipeline, pictures, driver):
        options = {"max_new_tokens": 20}
        question = "What is in the image?"
        plain = pipeline.answer(pictures, question, method="autoregressive", **options)
        parallel = pipeline.answer(pictures, question, driver=driver, **options)
        assert parallel.tokens == plain.tokens
        assert parallel.texts == plain.texts
        assert parallel.finished == plain.finished
        assert plain.statistics.tokens_per_forward == 1
        assert parallel.statistics.tokens_per_forward >= 1
        assert plain.statistics.tokens == sum(map(len, plain.tokens))

    def test_is_the_sampler_on_the_images_codes(self, pipeline, pictures):
        result = pipeline.answer(pictures[:3], QUESTIONS, max_new_tokens=10)
        prompts = [pipeline.text_tokenizer.encode(format_question(q)) for q in QUESTIONS]
        codes = pipeline.encode_images(pictures[:3])
        expected = autoregressive_decode(pipeline.network, codes, prompts, max_new_tokens=10)
        assert result.tokens == [entry.tokens for entry in expected]

    def test_files_and_images_are_the_same(self, pipeline, pictures, tmp_path):
        pictures[0].save(tmp_path / "a.png")
        ways = [pictures[0], tmp_path / "a.png", str(tmp_path / "a.png"), [pictures[0]]]
        answers = {pipeline.answer(way, "What?", max_new_tokens=8).texts[0] for way in ways}
        assert len(answers) == 1

    def test_one_image_and_several_questions(self, pipeline, pictures):
        together = pipeline.answer(pictures[0], QUESTIONS, max_new_tokens=6)
        alone = [pipeline.answer(pictures[0], q, max_new_tokens=6).texts[0] for q in QUESTIONS]
        assert together.texts == alone

    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_the_batch_size_changes_nothing(self, pipeline, pictures, batch_size):
        options = {"max_new_tokens": 12, "method": "autoregressive", "temperature": 2.0}
        together = pipeline.answer(pictures, "What?", batch_size=5, **options)
        found = pipeline.answer(pictures, "What?", batch_size=batch_size, **options)
        assert found.tokens == together.tokens

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"temperature": 1.0}, "temperature is 1.0, but Jacobi decoding is greedy"),
            ({"method": "beam"}, "choose 'jacobi' or 'autoregressive' or 'block_diffusion'"),
            ({"max_new_tokens": 0}, "max_new_tokens is 0"),
            ({"max_new_tokens": 1000}, r"the answer may have 1000 more; together at most 236 fit"),
            ({"max_new_tokens": 3.5}, "max_new_tokens is 3.5; expected a whole number"),
            ({"block_size": 0}, "block_size is 0"),
            ({"driver": "zig"}, "driver is 'zig'; choose 'block' or 'window'"),
            ({"top_k": 5}, "top_k is 5, but Jacobi decoding is greedy"),
            ({"top_p": 0.9}, "top_p is 0.9, but Jacobi decoding is greedy"),
            ({"top_p": 7.0, "method": "autoregressive"}, "top_p is 7.0; it must be above 0"),
            ({"temperature": 1e-40, "method": "autoregressive"}, "or at least 0.001"),
            ({"batch_size": -1}, "batch_size is -1"),
        ],
    )
    def test_options(self, pipeline, pictures, options, message):
        with pytest.raises(UserError, match=message):
            pipeline.answer(pictures[0], "What?", **options)

    @pytest.mark.bad_input
    def test_images_and_questions_of_different_numbers(self, pipeline, pictures):
        with pytest.raises(UserError, match="3 images and 2 questions"):
            pipeline.answer(pictures[:3], QUESTIONS[:2])
        with pytest.raises(UserError, match="there are no images"):
            pipeline.answer([], ["What?"])
        with pytest.raises(UserError, match="there are no questions"):
            pipeline.answer(pictures[0], [])

    @pytest.mark.bad_input
    def test_unreadable_images(self, pipeline, tmp_path):
        with pytest.raises(UserError, match=r"none.png does not exist"):
            pipeline.answer(tmp_path / "none.png", "What?")
        (tmp_path / "bad.png").write_text("no image")
        with pytest.raises(UserError, match=r"bad.png cannot be read as an image"):
            pipeline.answer(tmp_path / "bad.png", "What?")


class TestOptions:
    """`generate` and `answer` take a whole set of options, and changes over it by name."""

    def test_sampling_and_changes(self, pipeline):
        sampling = ImageSampling(3, token_temperature=0.8, top_k=5)
        given = pipeline.generate(PROMPTS[:2], sampling)
        named = pipeline.generate(PROMPTS[:2], **asdict(sampling))
        other = replace(sampling, sampling_steps=9)
        changed = pipeline.generate(PROMPTS[:2], other, sampling_steps=3)
        assert torch.equal(given.codes, named.codes)
        assert torch.equal(given.codes, changed.codes)

    def test_decoding_and_changes(self, pipeline, pictures):
        decoding = TextDecoding("autoregressive", 9, temperature=1.5)
        given = pipeline.answer(pictures[:2], "What?", decoding)
        named = pipeline.answer(pictures[:2], "What?", **asdict(decoding))
        other = replace(decoding, max_new_tokens=4)
        changed = pipeline.answer(pictures[:2], "What?", other, max_new_tokens=9)
        assert given.tokens == named.tokens == changed.tokens

    @pytest.mark.bad_input
    def test_unknown_names(self, pipeline, pictures):
        with pytest.raises(UserError, match="no option 'steps'"):
            pipeline.generate(PROMPTS, steps=2)
        with pytest.raises(UserError, match="no option 'max_tokens'"):
            pipeline.answer(pictures, "What?", max_tokens=2)
