"""Show-o over continuous features: sequences, masks, logits, answers, and its files."""

import json

import pytest
import torch
from safetensors.torch import load_file

from showo_turbo.errors import UserError
from showo_turbo.models.questions import FollowUp
from showo_turbo.models.registry import load_model
from showo_turbo.models.showo import Showo, ShowoConfig
from showo_turbo.models.showo.sequences import IGNORE
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.text_tokenizer import TextTokenizer

from ..continuous import (
    FEATURES,
    FOLDER,
    GOLDEN_CONFIG,
    feature_showo,
    golden_cases,
    golden_config,
    golden_meta,
    write_golden_model,
)
from ..tiny import released_keys, tiny_showo

BOTH = ["mmu_vit", "mmu_vit_before_2024_09_19"]
IDS = GOLDEN_CONFIG.vocabulary


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The golden model with either mask, loaded from a folder in the released layout."""
    folder = tmp_path_factory.mktemp("golden")
    return {
        case: load_model(
            write_golden_model(folder / case, clip="nowhere", prefix_visible=case != "mmu_vit")
        ).eval()
        for case in BOTH
    }


def golden_prompts(model):
    tokenizer = TextTokenizer.from_pretrained(FOLDER)
    return [
        model.encode_question(tokenizer, question)
        for question in golden_meta()["cases"]["mmu_vit"]["questions"]
    ]


def golden_features(count):
    return golden_cases()["mmu_vit.features"].expand(count, -1, -1)


@torch.no_grad()
def test_golden_projection(golden):
    model = golden["mmu_vit"]
    sequences = model.understanding(golden_features(1), golden_prompts(model)[:1])
    embeddings = model.embeddings_of(sequences, golden_features(1))
    expected = golden_cases()["mmu_vit.embeddings"]
    assert (embeddings[:, 30:606] - expected).abs().max() < 1e-3
    table = model.showo.model.embed_tokens.weight
    ids = golden_cases()["mmu_vit.0.token_ids"][0]
    assert torch.equal(embeddings[0, :30], table[ids[:30]])
    assert torch.equal(embeddings[0, 606:], table[ids[30:]])


def test_golden_sequences(golden):
    model = golden["mmu_vit"]
    system = golden_cases()["mmu_vit.system_ids"][0].tolist()
    for row, prompt in enumerate(golden_prompts(model)):
        expected = golden_cases()[f"mmu_vit.{row}.token_ids"][0].tolist()
        assert [IDS.mmu_id, *prompt] == expected
        assert prompt[:30] == [*system, IDS.soi_id, IDS.eoi_id]


@pytest.mark.parametrize("case", BOTH)
def test_golden_masks(golden, case):
    model = golden[case]
    sequences = model.understanding(golden_features(2), golden_prompts(model))
    mask = sequences.layout.attention_mask[0, 0]
    rows = golden_meta()["cases"][case]["attention_mask_rows"]
    expected = golden_cases()[f"{case}.attention_mask_rows"]
    assert torch.equal(mask[rows][:, :611], expected)
    assert not mask[:611, 611:].any()  # the first question is shorter by two words
    assert sequences.features_at[:, 30:606].all() and sequences.features_at.sum() == 2 * 576
    assert sequences.lengths.tolist() == [611, 613]


def test_golden_mask_without_a_system_prompt(golden):
    model = golden["mmu_vit"]
    caption = [1, 2, 3, 4, 5, 6, 7, 8]
    prompt = [IDS.soi_id, IDS.eoi_id]
    sequences = model.understanding(golden_features(1), [prompt], [caption])
    rows = golden_meta()["cases"]["mmu_vit_pretrain"]["attention_mask_rows"]
    expected = golden_cases()["mmu_vit_pretrain.attention_mask_rows"]
    assert torch.equal(sequences.layout.attention_mask[0, 0][rows], expected)
    assert sequences.labels[0].tolist() == [IGNORE] * 579 + [*caption, IDS.eot_id]


@pytest.mark.parametrize("case", BOTH)
@torch.no_grad()
def test_golden_logits(golden, case):
    model = golden[case]
    features, prompts = golden_features(2), golden_prompts(model)
    sequences = model.understanding(features, prompts)
    hidden = model.hidden_states_of(sequences, model.embeddings_of(sequences, features))
    for row in range(2):
        places = golden_cases()[f"{case}.{row}.logit_positions"]
        expected = golden_cases()[f"{case}.{row}.logits"][0]
        assert (model.logits(hidden[row, places]) - expected).abs().max() < 1e-3


@pytest.mark.parametrize("case", BOTH)
def test_golden_answers(golden, case):
    """Both questions in one batch, over the cache, by both ways of decoding."""
    model = golden[case]
    expected = [golden_cases()[f"{case}.{row}.answer"].tolist() for row in range(2)]
    given = golden_features(2), golden_prompts(model)
    options = {"max_new_tokens": 10, "restrict_to_text": False}
    for decode in (autoregressive_decode, jacobi_decode):
        assert [result.tokens for result in decode(model, *given, **options)] == expected


@pytest.mark.parametrize("kind", ["clip", "latents"])
@pytest.mark.parametrize("image_tokens", [256, 1024])
def test_released_keys_and_shapes(kind, image_tokens):
    """Those of the models without features, and the projector's."""
    released = {
        "_class_name": "Showo",
        "codebook_size": 8192,
        "llm_vocab_size": 50295,
        "num_vq_tokens": image_tokens,
        "vocab_size": 58498,
    }
    released |= {"w_clip_vit": True, "load_from_showo": image_tokens == 1024}
    if kind == "latents":
        released |= {"w_clip_vit": False, "showo_turbo": {"image_input": "latents"}}
    config = ShowoConfig.from_dict(released)
    with torch.device("meta"):
        network = Showo(config)
    width = {"clip": 1024, "latents": 13}[kind]
    projector = {
        "mm_projector.0.weight": [2048, width],
        "mm_projector.0.bias": [2048],
        "mm_projector.2.weight": [2048, 2048],
        "mm_projector.2.bias": [2048],
    }
    found = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert found == released_keys("showo") | projector
    tokens = {"clip": 576, "latents": image_tokens}[kind]
    assert (network.image_input.tokens, network.image_input.width) == (tokens, width)
    assert config.text_room == 2048 - tokens - 1
    assert config.to_dict()["w_clip_vit"] == (kind == "clip")
    assert ShowoConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_what_a_model_that_reads_codes_saves_says_nothing_of_features():
    saved = ShowoConfig().to_dict()
    assert saved["w_clip_vit"] is False
    assert not saved["showo_turbo"].keys() & {"image_input", "vision_encoder", "system_prompt"}
    assert not any(key.startswith("mm_projector") for key in tiny_showo().state_dict())


def test_a_golden_folder_survives_a_round_trip(golden, tmp_path):
    golden["mmu_vit"].save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert again.config == golden["mmu_vit"].config == GOLDEN_CONFIG
    expected = load_file(FOLDER / "showo.safetensors")
    for key, value in again.state_dict().items():
        assert torch.equal(value, expected[key].float()), key


def test_earlier_turns_have_no_line_break():
    model = feature_showo(text_vocabulary_size=640, eos_id=0, vision_width=8)
    tokenizer = TextTokenizer.from_pretrained("shapes")
    ids = model.encode_question(tokenizer, FollowUp("What color?", [("What is it?", "A circle.")]))
    v = model.vocabulary
    system = tokenizer.encode(FEATURES["system_prompt"])
    assert ids[: len(system) + 2] == [*system, v.soi_id, v.eoi_id]
    turns = ids[len(system) + 2 :]
    end = turns.index(v.eot_id)
    assert tokenizer.decode(turns[:end]) == "USER: What is it? ASSISTANT: A circle."
    assert tokenizer.decode(turns[end + 1 :]) == "USER: What color? ASSISTANT:"


@pytest.mark.bad_input
@pytest.mark.parametrize("case", [{}, {"image_input": "latents"}])
def test_weights_without_their_projector(tmp_path, case):
    folder = write_golden_model(tmp_path / "model", clip="nowhere")
    values = golden_config("nowhere", **case) | {"w_clip_vit": not case}
    (folder / "config.json").write_text(json.dumps(values))
    state = torch.load(folder / "pytorch_model.bin")
    torch.save({k: v for k, v in state.items() if "mm_" not in k}, folder / "pytorch_model.bin")
    key = "image_input" if case else "w_clip_vit"
    with pytest.raises(UserError, match=rf"\({key}\), but its weights have no projector") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.bad_input
def test_a_projector_that_the_config_does_not_mention(tmp_path):
    folder = write_golden_model(tmp_path / "model", clip="nowhere")
    values = golden_config("nowhere") | {"w_clip_vit": False}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"4 unexpected \(mm_projector.0.bias, "):
        load_model(folder)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"w_clip_vit": "yes"}, "w_clip_vit is 'yes'; expected true or false"),
        (
            {"image_input": "sounds"},
            "image_input is 'sounds'; expected one of codes, clip",
        ),
        ({"image_input": "clip", "w_clip_vit": False}, "w_clip_vit is False; expected True with"),
        (
            {"image_input": "latents", "w_clip_vit": True},
            "expected False with image_input",
        ),
        (
            {"image_input": "clip", "vision_tokens": 0},
            "vision_tokens is 0; expected a whole",
        ),
        ({"image_input": "clip", "vision_width": 1.5}, "vision_width is 1.5; expected a whole"),
        ({"image_input": "clip", "vision_encoder": 3}, "vision_encoder is 3; expected a folder"),
        ({"image_input": "clip", "system_prompt": None}, "system_prompt is None; expected a text"),
        ({"image_input": "clip", "prefix_visible": 1}, "prefix_visible is 1; expected true or"),
    ],
)
def test_a_config_that_contradicts_itself(values, message):
    values = dict(values)
    released = {"w_clip_vit": values.pop("w_clip_vit")} if "w_clip_vit" in values else {}
    with pytest.raises(UserError, match=message) as caught:
        ShowoConfig.from_dict({"showo_turbo": values} | released)
    assert "\n" not in str(caught.value)
