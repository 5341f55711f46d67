"""CLIP scores with a small network of random weights, in the layout of the released files."""

import json

import open_clip
import pytest
import torch
from PIL import Image

from showo_turbo.errors import UserError
from showo_turbo.metrics.names import metric_names
from showo_turbo.metrics.similarity import CLIPScore, HPSv2

NAME = "tiny-clip-of-the-tests"
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PROMPTS = [{"prompt": "a red circle"}, {"prompt": "two blue squares"}, {"prompt": "a dog"}]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    (folder / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms(NAME)
    model.eval()
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    torch.save({"epoch": 1, "state_dict": model.state_dict()}, folder / "HPS_v2_compressed.pt")
    return folder, model, transform


@pytest.fixture
def pixels():
    torch.manual_seed(1)
    return torch.rand(3, 3, 24, 24) * 2 - 1


def by_hand(network, pixels):
    """Every image by itself, as open_clip's README does it."""
    _, model, transform = network
    tokenizer = open_clip.get_tokenizer(NAME)
    values = []
    for image, entry in zip(pixels, PROMPTS, strict=True):
        array = ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        with torch.no_grad():
            seen = model.encode_image(transform(Image.fromarray(array))[None])[0]
            read = model.encode_text(tokenizer([entry["prompt"]]))[0]
        values.append(float(torch.dot(seen, read) / seen.norm() / read.norm()))
    return values


@pytest.mark.parametrize(
    ("kind", "file"),
    [(CLIPScore, "open_clip_pytorch_model.bin"), (HPSv2, "HPS_v2_compressed.pt")],
)
def test_the_score_is_the_mean_cosine(network, pixels, kind, file):
    metric = kind(network[0] / file, NAME, scale=100.0, batch_size=2)
    metric.update(pixels[:1], PROMPTS[:1])
    metric.update(pixels[1:], PROMPTS[1:])
    values = by_hand(network, pixels)
    assert len(set(values)) == 3
    assert float(metric.compute()) == pytest.approx(100 * sum(values) / 3, abs=1e-3)


def test_missing_weights_say_where_they_come_from(tmp_path):
    with pytest.raises(UserError, match=r"hf download xswu/HPSv2 HPS_v2_compressed\.pt"):
        HPSv2(tmp_path / "HPS_v2_compressed.pt")


def test_weights_that_do_not_fit(network, tmp_path):
    torch.save({"visual.proj": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=f"does not fit {NAME}"):
        CLIPScore(tmp_path / "other.pt", NAME)
    with pytest.raises(UserError, match="no architecture 'ViT-X'"):
        CLIPScore(tmp_path / "other.pt", "ViT-X")


def test_openai_weights_need_their_activation(network, tmp_path):
    path = tmp_path / "ViT-L-14-OpenAI.pt"
    path.touch()
    for kind in (CLIPScore, HPSv2):
        with pytest.raises(UserError, match="expected the architecture 'ViT-L-14-quickgelu'"):
            kind(path, "ViT-L-14")
    assert open_clip.get_model_config("ViT-L-14-quickgelu")["quick_gelu"]
    with pytest.raises(UserError, match="holds more than weights or is damaged"):
        CLIPScore(path, "ViT-L-14-quickgelu")
    # An architecture of which there is one activation only takes weights of any name.
    torch.save(network[1].state_dict(), path)
    assert CLIPScore(path, NAME).name == "CLIPScore"


def test_two_versions_are_told_apart(network, pixels):
    path = network[0] / "HPS_v2_compressed.pt"
    pair = [HPSv2(path, NAME), HPSv2(path, NAME, name="HPSv2.1")]
    assert metric_names(pair) == ["HPSv2", "HPSv2.1"]
    for metric in pair:
        metric.update(pixels, PROMPTS)
    assert float(pair[0].compute()) == float(pair[1].compute())
