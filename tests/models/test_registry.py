"""Which class a model folder is of, and what a class must offer."""

import json
from types import SimpleNamespace

import pytest

from showo_turbo.errors import UserError
from showo_turbo.models.prompts import encode_prompts
from showo_turbo.models.protocols import ImageModel, TextModel
from showo_turbo.models.registry import OURS, check_family, import_family, load_config, load_model
from showo_turbo.models.showo import Showo, ShowoConfig

from ..tiny import tiny_showo, write_golden_folder


class Renamed(Showo):
    """A family of one's own over files of another."""


class Drawing(ImageModel):
    """Draws, and does not write."""

    config_class = ShowoConfig
    longest_prompt = 2

    def encode_prompt(self, text_tokenizer, text):
        return [len(word) for word in text.split()]

    def image_logits(self, prompts, codes):
        raise NotImplementedError


class WithoutLogits(Drawing):
    image_logits = ImageModel.image_logits


class WithANumber(Drawing):
    image_logits = 3


class WithoutTexts(Drawing, TextModel):
    pass


class WithoutConfig(Drawing):
    config_class = dict


class Unrelated:
    pass


@pytest.fixture
def folder(tmp_path):
    return write_golden_folder(tmp_path / "golden")


def with_architecture(folder, name):
    config = json.loads((folder / "config.json").read_text())
    del config["_class_name"]
    if name is not None:
        config["_class_name"] = name
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", OURS)
def test_our_families_are_whole_and_have_their_names(name):
    family = import_family(OURS[name])
    assert family.__name__ == name
    check_family(family)


@pytest.mark.parametrize("name", ["Showo", "Student_Showo", None])
def test_the_architecture_in_the_file_chooses_the_class(folder, name):
    with_architecture(folder, name)
    assert type(load_model(folder)) is Showo
    assert load_config(folder) == Showo.from_pretrained(folder).config


def test_a_class_that_is_named_is_taken(folder):
    assert type(load_model(folder, Renamed)) is Renamed
    assert import_family(f"{Showo.__module__}.Showo") is Showo
    check_family(Drawing)


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["Mine", "os.system", "", 7, ["Showo"], {"a": 1}])
def test_a_file_does_not_choose_the_code_that_runs(folder, name):
    with_architecture(folder, name)
    with pytest.raises(UserError, match="--family") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="but the family is Renamed"):
        load_model(folder, Renamed)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("family", "missing"),
    [
        (WithoutLogits, "image_logits"),
        (WithoutTexts, "answer_logits, begin_text, encode_question, eot_id, language_logits"),
        (WithoutConfig, "config_class.from_dict, config_class.to_dict"),
        (WithANumber, "image_logits"),
        (Unrelated, "config_class, encode_prompt, image_logits, longest_prompt"),
    ],
)
def test_what_a_class_lacks_is_named_before_anything_is_loaded(family, missing):
    with pytest.raises(UserError, match=f"{family.__name__} is not .* lacks {missing}"):
        load_model("no/such-model", family)
    with pytest.raises(UserError, match=f"{family.__name__} is not .* lacks {missing}"):
        load_config("no/such-model", family)


@pytest.mark.bad_input
def test_members_of_configurations():
    assert {"family", "image_tokens", "values_per_token"} < set(ImageModel.config_members)
    assert set(TextModel.config_members) - set(ImageModel.config_members) == {
        "text_vocabulary_size",
        "text_room",
    }


@pytest.mark.bad_input
@pytest.mark.parametrize("member", Showo.config_members)
def test_what_a_configuration_lacks_is_named_before_weights_are_read(folder, member):
    class Short(Renamed):
        @classmethod
        def from_dict(cls, values):
            names = [name for name in cls.config_members if name != member]
            return SimpleNamespace(**dict.fromkeys(names))

    Short.config_class = SimpleNamespace(from_dict=Short.from_dict, to_dict=dict)
    with_architecture(folder, "Renamed")
    (folder / "pytorch_model.safetensors").unlink(missing_ok=True)
    with pytest.raises(UserError, match=f"the configuration of Short, lacks {member}"):
        load_model(folder, Short)


def test_what_a_family_cannot_do_is_said_in_one_line():
    model = Drawing(ShowoConfig())
    for ability in (model.compile_decoding, model.gradient_checkpointing_enable, model.lora_layers):
        with pytest.raises(UserError, match=r"^Drawing"):
            ability()
    assert encode_prompts(model, None, ["a star"]) == [[1, 4]]
    with pytest.raises(UserError, match="has 3 tokens"):
        encode_prompts(model, None, ["a red star"])
    with pytest.raises(UserError, match="no text tokenizer"):
        encode_prompts(tiny_showo(), None, ["a star"])
