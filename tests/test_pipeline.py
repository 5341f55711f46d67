import subprocess
import sys

import pytest
import torch
from PIL import Image

import showo_turbo
from showo_turbo.data.images import to_images
from showo_turbo.errors import UserError
from showo_turbo.models.compiled import StaticKeyValueCache
from showo_turbo.pipeline import ShowoPipeline
from showo_turbo.pipeline import pipeline as pipeline_module
from showo_turbo.pipeline.batching import first_batch_size, run_in_batches
from showo_turbo.prompting import format_question
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.parallel import ImageSampling, decode_image_codes
from showo_turbo.text_tokenizer import TextTokenizer

from .tiny import GOLDEN, tiny_magvitv2, tiny_networks, tiny_showo, write_tiny_model

PROMPTS = ["a red circle", "", "two blue squares on a white background", "a circle", "a star"]
QUESTIONS = ["What is in the image?", "How many?", "Is it red? Or blue? Or green?"]


@pytest.fixture(scope="module")
def pipeline():
    return ShowoPipeline(*tiny_networks())


@pytest.fixture(scope="module")
def pictures(pipeline):
    return pipeline.generate(PROMPTS, steps=2).images


class TestFromPretrained:
    def test_what_the_folder_names(self, tmp_path):
        folder = write_tiny_model(tmp_path)
        loaded = ShowoPipeline.from_pretrained(folder, device="cpu")
        assert loaded.resolution == 16
        assert loaded.device == torch.device("cpu")
        assert not loaded.showo.training
        assert not loaded.image_tokenizer.training
        expected = ShowoPipeline(*tiny_networks()).generate(PROMPTS, steps=3)
        assert torch.equal(loaded.generate(PROMPTS, steps=3).codes, expected.codes)

    def test_an_image_tokenizer_of_choice(self, tmp_path):
        folder = write_tiny_model(tmp_path / "model")
        tiny_magvitv2(seed=5).save_pretrained(tmp_path / "other")
        loaded = ShowoPipeline.from_pretrained(folder, image_tokenizer=tmp_path / "other")
        expected = tiny_magvitv2(seed=5).state_dict()
        assert torch.equal(
            loaded.image_tokenizer.state_dict()["encoder.conv_in.weight"],
            expected["encoder.conv_in.weight"],
        )

    def test_a_text_tokenizer_in_the_folder_comes_first(self, tmp_path):
        folder = write_tiny_model(tmp_path, tokenizer="no/such-tokenizer")
        shapes = TextTokenizer.from_pretrained("shapes")
        (folder / "tokenizer.json").write_text(shapes.tokenizer.to_str())
        loaded = ShowoPipeline.from_pretrained(folder)
        assert loaded.text_tokenizer.size == 640

    def test_a_text_tokenizer_of_choice(self, tmp_path):
        folder = write_tiny_model(tmp_path, tokenizer=None)
        assert ShowoPipeline.from_pretrained(folder, text_tokenizer="shapes").resolution == 16

    @pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
    def test_dtype_is_that_of_the_transformer(self, tmp_path, dtype):
        loaded = ShowoPipeline.from_pretrained(write_tiny_model(tmp_path), dtype=dtype)
        assert loaded.showo.dtype == torch.bfloat16
        assert next(loaded.image_tokenizer.parameters()).dtype == torch.float32
        result = loaded.generate(PROMPTS[:2], steps=2, guidance_scale=1.0)
        assert len(loaded.answer(result.images, "What?", max_new_tokens=4).texts) == 2

    @pytest.mark.parametrize(
        ("dtype", "expected"), [(None, torch.bfloat16), ("float32", torch.float32)]
    )
    def test_compiled(self, tmp_path, dtype, expected):
        folder = write_tiny_model(tmp_path)
        loaded = ShowoPipeline.from_pretrained(folder, dtype=dtype, compile=True)
        assert loaded.showo.dtype == expected
        assert isinstance(loaded.showo.new_cache(1, 10), StaticKeyValueCache)
        plain = ShowoPipeline.from_pretrained(folder)
        assert plain.showo.dtype == torch.float32
        assert not isinstance(plain.showo.new_cache(1, 10), StaticKeyValueCache)

    @pytest.mark.bad_input
    def test_no_text_tokenizer(self, tmp_path):
        folder = write_tiny_model(tmp_path, tokenizer=None)
        with pytest.raises(UserError, match=r"names no text tokenizer and has no tokenizer.json"):
            ShowoPipeline.from_pretrained(folder)

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"codebook_size": 24}, "the image tokenizer has 64 codes, the model 24"),
            ({"image_tokens": 12}, "12 image tokens; expected those of a square"),
            (
                {"text_vocabulary_size": 630},
                "the text tokenizer has 640 tokens, the model only 630",
            ),
            ({"eos_id": 5}, "ends texts with id 0, the model with 5"),
        ],
    )
    def test_networks_that_do_not_belong_together(self, change, message):
        with pytest.raises(UserError, match=message):
            ShowoPipeline(*tiny_networks(**change))

    @pytest.mark.bad_input
    def test_another_models_text_tokenizer(self):
        showo, image_tokenizer, _ = tiny_networks()
        with pytest.raises(UserError, match="ends texts with id 119, the model with 0"):
            ShowoPipeline(showo, image_tokenizer, TextTokenizer.from_pretrained(GOLDEN))

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"device": "abacus"}, "device 'abacus' cannot be used"),
            ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
            ({"dtype": "int8"}, "dtype is 'int8'; choose float32, bfloat16, float16"),
            ({"dtype": torch.int8}, "dtype is 'torch.int8'; choose float32"),
            ({"image_tokenizer": "nowhere"}, "model 'nowhere' is no folder"),
        ],
    )
    def test_options(self, tmp_path, options, message):
        with pytest.raises(UserError, match=message) as caught:
            ShowoPipeline.from_pretrained(write_tiny_model(tmp_path), **options)
        assert "\n" not in str(caught.value)


class TestGenerate:
    def test_is_the_sampler_and_the_tokenizer(self, pipeline):
        sampling = ImageSampling(4, 1.5, "linear", 0.7, 2.0, 30, 0.5)
        seeds = [3, 1, 4, 1, 5]
        result = pipeline.generate(
            PROMPTS,
            steps=4,
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
        codes = decode_image_codes(pipeline.showo, ids, sampling, seeds)
        assert torch.equal(result.codes, codes)
        assert result.seeds == seeds
        expected = to_images(pipeline.image_tokenizer.decode(codes))
        assert [i.tobytes() for i in result.images] == [i.tobytes() for i in expected]
        assert {(image.size, image.mode) for image in result.images} == {((16, 16), "RGB")}

    @pytest.mark.parametrize("batch_size", [1, 2, None])
    def test_the_batch_size_changes_nothing(self, pipeline, batch_size):
        options = {"steps": 4, "token_temperature": 1.0, "guidance_scale": 1.0}
        together = pipeline.generate(PROMPTS, batch_size=5, **options)
        found = pipeline.generate(PROMPTS, batch_size=batch_size, **options)
        assert torch.equal(found.codes, together.codes)
        assert found.statistics.forwards == together.statistics.forwards

    def test_statistics(self, pipeline):
        plain = pipeline.generate(PROMPTS, steps=4).statistics
        assert (plain.samples, plain.tokens, plain.forwards) == (5, 5 * 16, 5 * 4)
        assert plain.tokens_per_forward == 4
        assert plain.seconds > 0
        guided = pipeline.generate(PROMPTS, steps=4, guidance_scale=1).statistics
        assert guided.forwards == 2 * 5 * 4
        assert "5 samples, 80 tokens in" in str(plain)

    def test_a_single_prompt(self, pipeline):
        alone = pipeline.generate("a red circle", steps=2)
        assert torch.equal(alone.codes, pipeline.generate(["a red circle"], steps=2).codes)

    def test_batches_come_in_order_as_they_are_done(self, pipeline):
        sampling = ImageSampling(2)
        parts = list(pipeline.generate_batches(PROMPTS, sampling, batch_size=2))
        assert [len(part.images) for part in parts] == [2, 2, 1]
        assert [seed for part in parts for seed in part.seeds] == [0, 1, 2, 3, 4]

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("prompts", "options", "message"),
        [
            ([], {}, "there are no prompts"),
            (["a red circle " * 30], {}, r"has \d+ tokens; at most 30 fit"),
            (["a"], {"steps": 0}, "steps is 0; choose 1 to 16"),
            (["a"], {"steps": 17}, "steps is 17; choose 1 to 16"),
            (["a"], {"guidance_scale": -1.0}, "guidance_scale is -1.0"),
            (["a"], {"top_k": 65}, "top_k is 65; choose 1 to 64"),
            (["a"], {"batch_size": 0}, "batch_size is 0; it must be at least 1"),
            (["a"], {"seeds": [1, 2]}, "2 seeds for 1 prompt"),
            (["a"], {"seeds": [-1]}, "seed -1 is out of range"),
        ],
    )
    def test_bad_input(self, pipeline, prompts, options, message):
        with pytest.raises(UserError, match=message):
            pipeline.generate(prompts, **{"steps": 2, **options})


class TestAnswer:
    @pytest.mark.parametrize("driver", ["block", "window"])
    def test_jacobi_and_autoregression_agree(self, pipeline, pictures, driver):
        options = {"max_new_tokens": 20}
        question = "What is in the image?"
        plain = pipeline.answer(pictures, question, decoding="autoregressive", **options)
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
        expected = autoregressive_decode(pipeline.showo, codes, prompts, max_new_tokens=10)
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
        options = {"max_new_tokens": 12, "decoding": "autoregressive", "temperature": 2.0}
        together = pipeline.answer(pictures, "What?", batch_size=5, **options)
        found = pipeline.answer(pictures, "What?", batch_size=batch_size, **options)
        assert found.tokens == together.tokens

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"temperature": 1.0}, "temperature is 1.0, but Jacobi decoding is greedy"),
            ({"decoding": "beam"}, "decoding is 'beam'; choose 'jacobi' or 'autoregressive'"),
            ({"max_new_tokens": 0}, "max_new_tokens is 0"),
            ({"max_new_tokens": 1000}, r"the answer may have 1000 more; together at most 236 fit"),
            ({"block_size": 0}, "block_size is 0"),
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
            pipeline.answer([], [])

    @pytest.mark.bad_input
    def test_unreadable_images(self, pipeline, tmp_path):
        with pytest.raises(UserError, match=r"none.png does not exist"):
            pipeline.answer(tmp_path / "none.png", "What?")
        (tmp_path / "bad.png").write_text("no image")
        with pytest.raises(UserError, match=r"bad.png cannot be read as an image"):
            pipeline.answer(tmp_path / "bad.png", "What?")


def test_images_of_any_size_and_mode_are_cut_to_squares(pipeline):
    images = [Image.new("L", (40, 30), 200), Image.new("RGBA", (9, 90)), Image.new("P", (16, 16))]
    assert pipeline.encode_images(images).shape == (3, 16)


class TestMemory:
    @staticmethod
    def limited(monkeypatch, most, error):
        """Let image decoding fail for more than `most` samples; give the sizes that were tried."""
        tried = []

        def decode(model, prompts, *arguments):
            tried.append(len(prompts))
            if len(prompts) > most:
                raise error
            return decode_image_codes(model, prompts, *arguments)

        monkeypatch.setattr(pipeline_module, "decode_image_codes", decode)
        return tried

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory"),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
            MemoryError(),
        ],
    )
    def test_batches_are_halved_until_they_fit(self, pipeline, monkeypatch, error):
        expected = pipeline.generate(PROMPTS, steps=2).codes
        tried = self.limited(monkeypatch, 2, error)
        result = pipeline.generate(PROMPTS, steps=2)
        assert tried == [5, 2, 2, 1]
        assert torch.equal(result.codes, expected)

    @pytest.mark.bad_input
    def test_a_batch_size_that_was_asked_for_is_kept(self, pipeline, monkeypatch):
        self.limited(monkeypatch, 2, MemoryError())
        with pytest.raises(UserError, match="memory does not suffice for a batch of 4"):
            pipeline.generate(PROMPTS, steps=2, batch_size=4)

    @pytest.mark.bad_input
    def test_not_even_one(self, pipeline, monkeypatch):
        self.limited(monkeypatch, 0, MemoryError())
        with pytest.raises(UserError, match="memory does not suffice for a batch of 1"):
            pipeline.generate(PROMPTS, steps=2)

    def test_other_errors_are_no_lack_of_memory(self):
        def fail(indices):
            raise RuntimeError("shapes do not match")

        with pytest.raises(RuntimeError, match="shapes do not match"):
            list(run_in_batches(3, None, 2, fail))

    def test_the_first_batch_is_counted_from_the_shapes(self, monkeypatch):
        config = tiny_showo().config
        shape = {"rows": 2, "tokens": 30, "scored": 16, "candidates": 24}
        place = {"dtype": torch.float32, "device": torch.device("cpu")}
        sizes = []
        for megabytes in (0, 1, 4, 100_000):
            monkeypatch.setattr(
                "showo_turbo.pipeline.batching.free_memory", lambda _, m=megabytes: m * 2**20
            )
            sizes.append(first_batch_size(config, **shape, **place))
        assert sizes[0] == 1
        assert 1 < sizes[1] < sizes[2] <= sizes[3] == 64


def test_the_package_hands_out_its_main_classes():
    assert showo_turbo.ShowoPipeline is ShowoPipeline
    assert showo_turbo.TextTokenizer is TextTokenizer
    assert set(showo_turbo.__all__) <= {*dir(showo_turbo), *showo_turbo._HOMES}
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = showo_turbo.Nothing


def test_importing_the_package_imports_no_torch():
    code = "import sys, showo_turbo, showo_turbo.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
