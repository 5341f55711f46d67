"""Released checkpoints by their names, from small repositories in the released layout."""

import json

import huggingface_hub
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from showo_turbo.cli.main import main
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline, generation_config
from showo_turbo.inference.generation_config import load_generation_config
from showo_turbo.models.registry import load_config, load_model
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny import released_keys, tiny_magvitv2, tiny_showo

TURBO_256, TURBO_512 = "SJTU-Deng-Lab/Show-o-Turbo-256", "SJTU-Deng-Lab/Show-o-Turbo-512"
PUBLISHED = {TURBO_256: {2: 200, 4: 200}, TURBO_512: {2: 200, 4: 500}}
SIZES = {
    "eos_id": 0,
    "hidden_size": 32,
    "layers": 2,
    "heads": 2,
    "max_position_embeddings": 256,
    "max_text_length": 32,
}
VOCABULARY = 640 + 10 + 512 + 1


def network(image_tokens=16):
    sizes = {"text_vocabulary_size": 640, "codebook_size": 512, "image_tokens": image_tokens}
    return tiny_showo(**(SIZES | sizes))


def released_weights(image_tokens, surplus_rows):
    """By the released names; what there is too much of is NaN, so that its use would show."""
    state = dict(network(image_tokens).state_dict())
    for key, value in state.items():
        if surplus_rows and value.shape[0] == VOCABULARY:
            row = torch.full((surplus_rows, *value.shape[1:]), torch.nan)
            state[key] = torch.cat([value, row])
    return state


def write_turbo(folder, image_tokens=16, surplus_rows=1, weights="pytorch_model.bin"):
    """What the released code saves of a student; only the network's small sizes are our own."""
    folder.mkdir(parents=True)
    config = {
        "_class_name": "Student_Showo",
        "_diffusers_version": "0.30.1",
        "codebook_size": 512,
        "llm_model_path": "/home/someone/models/phi-1_5",
        "llm_vocab_size": 640,
        "mask_token_id": VOCABULARY - 1,
        "num_vq_tokens": image_tokens,
        "vocab_size": VOCABULARY,
        "w_clip_vit": False,
        "showo_turbo": SIZES,
    }
    (folder / "config.json").write_text(json.dumps(config))
    state = released_weights(image_tokens, surplus_rows)
    assert {key for key in state if "layers.0." in key} == {
        key for key in released_keys("showo") if "layers.0." in key
    }
    if weights.endswith(".bin"):
        torch.save(state, folder / weights)
    else:
        save_file(state, folder / weights)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of local folders, and what was asked of it."""
    folders = {
        TURBO_256: write_turbo(tmp_path / "turbo_256"),
        TURBO_512: write_turbo(tmp_path / "turbo_512", 64, weights="model.safetensors"),
        "microsoft/phi-1_5": tmp_path / "phi",
        "showlab/magvitv2": tmp_path / "magvitv2",
    }
    folders["microsoft/phi-1_5"].mkdir()
    text = TextTokenizer.from_pretrained("shapes").tokenizer.to_str()
    (folders["microsoft/phi-1_5"] / "tokenizer.json").write_text(text)
    tiny_magvitv2(bits=9).save_pretrained(folders["showlab/magvitv2"])
    asked = set()

    def download(name, allow_patterns):
        asked.add(name)
        return str(folders[name])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    return asked


@pytest.mark.parametrize(("name", "image_tokens"), [(TURBO_256, 16), (TURBO_512, 64)])
def test_a_name_says_all_that_is_needed(hub, name, image_tokens):
    pipeline = ShowoPipeline.from_pretrained(name)
    assert hub == {name, "microsoft/phi-1_5", "showlab/magvitv2"}
    assert pipeline.resolution**2 == image_tokens * 4**2
    assert pipeline.sampling == ImageSampling(
        4,
        token_temperature=1.0,
        confidence_temperature=1.0,
        confidence_annealing="compounding",
        top_k=PUBLISHED[name],
    )
    for key, value in network(image_tokens).state_dict().items():
        assert torch.equal(pipeline.network.state_dict()[key], value), key
    drawn = pipeline.generate(["a red circle"], seeds=[3])
    assert drawn.statistics.forwards == 4
    assert torch.equal(drawn.codes, pipeline.generate(["a red circle"], seeds=[3]).codes)
    k = PUBLISHED[name][4]
    assert torch.equal(drawn.codes, pipeline.generate("a red circle", seeds=3, top_k=k).codes)


def test_the_command_needs_no_more_than_the_name(hub, monkeypatch, tmp_path):
    arguments = ["generate", "--model", TURBO_256, "a star", "--output", "out"]
    monkeypatch.setattr("sys.argv", ["showo-turbo", *arguments])
    main()
    with Image.open(tmp_path / "out/00000.png") as image:
        assert image.size == (16, 16)
    (note,) = map(json.loads, (tmp_path / "out/index.jsonl").read_text().splitlines())
    assert (note["sampling_steps"], note["top_k"], note["guidance_scale"]) == (4, 200, 0.0)


def test_what_a_folder_says_comes_first(hub, tmp_path):
    (tmp_path / "turbo_256/generation_config.json").write_text('{"images": {"sampling_steps": 8}}')
    assert load_generation_config(TURBO_256).sampling == ImageSampling(8)
    # A folder of another name is nothing that was published.
    assert load_generation_config(tmp_path / "turbo_512").sampling == ImageSampling()


@pytest.mark.parametrize("weights", ["pytorch_model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("surplus_rows", [0, 1])
def test_weights_with_and_without_a_surplus_row(tmp_path, weights, surplus_rows):
    folder = write_turbo(tmp_path / "turbo", surplus_rows=surplus_rows, weights=weights)
    found = load_model(folder)
    assert found.state_dict()["showo.lm_head.weight"].shape == (VOCABULARY, 32)
    assert found.vocabulary.mask_id == VOCABULARY - 1
    found.save_pretrained(tmp_path / "copy")
    for key, value in network().state_dict().items():
        assert torch.equal(load_model(tmp_path / "copy").state_dict()[key], value), key


@pytest.mark.bad_input
def test_more_rows_than_that_do_not_fit(tmp_path):
    folder = write_turbo(tmp_path / "turbo", surplus_rows=2)
    with pytest.raises(UserError, match=rf"lm_head.bias is \({VOCABULARY + 2},\), expected"):
        load_model(folder)


def test_a_text_tokenizer_on_another_s_machine_is_passed_over(tmp_path):
    folder = write_turbo(tmp_path / "turbo")
    assert load_config(folder).tokenizer == "microsoft/phi-1_5"
    config = json.loads((folder / "config.json").read_text())
    config["showo_turbo"]["tokenizer"] = config["llm_model_path"]  # as our own export writes it
    (folder / "config.json").write_text(json.dumps(config))
    assert load_config(folder).tokenizer == "/home/someone/models/phi-1_5"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("showlab/show-o", (18, 1.75, 96)),
        ("showlab/show-o-512x512", (50, 5.0, 96)),
        ("Gen-Verse/MMaDA-8B-MixCoT", (15, 3.5, 512)),
    ],
)
@pytest.mark.parametrize("written", [None, {"eos_token_id": 7}])
def test_bases_are_guided_as_published(tmp_path, monkeypatch, name, said, written):
    """Also where there is a file of the name as transformers writes it."""
    if written is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(written))
    monkeypatch.setattr(generation_config, "resolve_folder", lambda *_: tmp_path)
    found = load_generation_config(name)
    images, texts = found.sampling, found.decoding
    assert (images.sampling_steps, images.guidance_scale, texts.max_new_tokens) == said
    found.decoding.check()
