import pytest
import torch
from PIL import Image

from showo_turbo.data.images import square_pixels
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.models.showo.compiled import StaticKeyValueCache
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny import GOLDEN, tiny_magvitv2, tiny_networks, write_tiny_model
from .conftest import PROMPTS


class TestFromPretrained:
    def test_what_the_folder_names(self, tmp_path):
        folder = write_tiny_model(tmp_path)
        loaded = ShowoPipeline.from_pretrained(folder, device="cpu")
        assert loaded.resolution == 16
        assert loaded.device == torch.device("cpu")
        assert not loaded.network.training
        assert not loaded.image_tokenizer.training
        expected = ShowoPipeline(*tiny_networks()).generate(PROMPTS, sampling_steps=3)
        assert torch.equal(loaded.generate(PROMPTS, sampling_steps=3).codes, expected.codes)

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
        assert loaded.network.dtype == torch.bfloat16
        assert next(loaded.image_tokenizer.parameters()).dtype == torch.float32
        result = loaded.generate(PROMPTS[:2], sampling_steps=2, guidance_scale=1.0)
        assert len(loaded.answer(result.images, "What?", max_new_tokens=4).texts) == 2

    @pytest.mark.parametrize(
        ("dtype", "expected"), [(None, torch.bfloat16), ("float32", torch.float32)]
    )
    def test_compiled(self, tmp_path, dtype, expected):
        folder = write_tiny_model(tmp_path)
        loaded = ShowoPipeline.from_pretrained(folder, dtype=dtype, compile=True)
        assert loaded.network.dtype == expected
        assert isinstance(loaded.network.new_cache(1, 10), StaticKeyValueCache)
        plain = ShowoPipeline.from_pretrained(folder)
        assert plain.network.dtype == torch.float32
        assert not isinstance(plain.network.new_cache(1, 10), StaticKeyValueCache)

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
            ({"image_tokenizer": "nowhere"}, "model 'nowhere' is not a folder"),
        ],
    )
    def test_options(self, tmp_path, options, message):
        with pytest.raises(UserError, match=message) as caught:
            ShowoPipeline.from_pretrained(write_tiny_model(tmp_path), **options)
        assert "\n" not in str(caught.value)


def test_images_of_any_size_and_mode_are_cut_to_squares(pipeline):
    images = [Image.new("L", (40, 30), 200), Image.new("RGBA", (9, 90)), Image.new("P", (16, 16))]
    assert pipeline.encode_images(images).shape == (3, 16)


def test_transparent_images_are_put_on_the_background(tmp_path):
    transparent, black = Image.new("RGBA", (16, 16)), Image.new("RGB", (16, 16))
    transparent.paste("red", (0, 0, 8, 8))
    black.paste("red", (0, 0, 8, 8))
    transparent.save(tmp_path / "a.png")
    networks = tiny_networks()
    encode = networks[1].encode
    expected = encode(torch.stack([square_pixels(black, 16)] * 2))
    asked = ShowoPipeline(*networks, background="black")
    assert torch.equal(asked.encode_images([transparent, tmp_path / "a.png"]), expected)
    with pytest.raises(UserError, match="background is 'blak'"):
        ShowoPipeline(*networks, background="blak")
    with pytest.raises(UserError, match="background is 'blak'"):
        ShowoPipeline.from_pretrained(tmp_path / "nowhere", background="blak")
