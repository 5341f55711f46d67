"""ImageReward's process, with a stand-in for its package, and with the package where it is."""

import json
import os
from pathlib import Path

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.metrics.image_reward import ImageReward

ENVIRONMENT = os.environ.get("IMAGE_REWARD_ENVIRONMENT", "weights/image-reward-environment")

STAND_IN = """
import os, pathlib
import numpy
print("libraries talk")

def load(weights, device, med_config):
    from transformers import BertTokenizer
    folder = BertTokenizer.from_pretrained("bert-base-uncased")
    assert (pathlib.Path(folder) / "vocab.txt").is_file(), f"{folder} is not local"
    if "bad" in pathlib.Path(weights).read_text():
        raise RuntimeError("the weights\\nare bad")
    return Model()

class Model:
    def score(self, prompt, image):
        log = pathlib.Path(__file__).parent / "asked"
        asked = int(log.read_text()) if log.exists() else 0
        log.write_text(str(asked + 1))
        if prompt == "die" or (prompt == "die once" and asked == 0):
            print("a last word", file=__import__("sys").stderr)
            os._exit(3)
        return float(numpy.asarray(image).mean()) + len(prompt)
"""

TRANSFORMERS = """
class BertTokenizer:
    @classmethod
    def from_pretrained(cls, name):
        return name
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "ImageReward.py").write_text(STAND_IN)
    (tmp_path / "environment" / "transformers.py").write_text(TRANSFORMERS)
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "vocab.txt").write_text("[PAD]")
    (tmp_path / "ImageReward.pt").write_text("good")
    (tmp_path / "med_config.json").write_text("{}")
    names = ("environment", "ImageReward.pt", "med_config.json", "tokenizer")
    return [tmp_path / name for name in names]


def gray(*values):
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, 4, 4) / 127.5 - 1


def test_rewards_come_through_the_pipe(files):
    metric = ImageReward(*files)
    metric.update(gray(10.0, 20.0), [{"prompt": "ab"}, {"prompt": "abcd"}])
    metric.update(gray(30.0), [{"prompt": ""}])
    assert float(metric.compute()) == pytest.approx((12 + 24 + 30) / 3)


@pytest.mark.parametrize("gone", [True, False])
def test_a_process_that_died_is_started_again(files, gone):
    """Whether it is gone when it is asked, or only while it is."""
    metric = ImageReward(*files)
    metric.update(gray(10.0), [{"prompt": "die once"}])
    assert float(metric.compute()) == 18.0
    metric.worker._process.kill()
    if gone:
        metric.worker._process.wait()
    metric.update(gray(20.0), [{"prompt": "12345678"}])
    assert float(metric.compute()) == pytest.approx((18 + 28) / 2)


def test_a_process_that_always_dies_is_given_up(files):
    with pytest.raises(UserError, match="died 2 times"):
        ImageReward(*files, restarts=1).update(gray(0.0), [{"prompt": "die"}])


def test_an_error_in_it_is_one_line(files):
    files[1].write_text("bad")
    with pytest.raises(UserError, match="ImageReward failed: RuntimeError: the weights are bad"):
        ImageReward(*files).update(gray(0.0), [{"prompt": "x"}])


def test_what_is_missing(files, tmp_path):
    with pytest.raises(UserError, match=r"pip install --no-deps --target .*requirements\.txt"):
        ImageReward(tmp_path / "nothing", *files[1:])
    with pytest.raises(UserError, match="hf download THUDM/ImageReward"):
        ImageReward(files[0], tmp_path / "nothing.pt", *files[2:])
    command = (
        r"needs \S*/none/vocab\.txt, .*: hf download google-bert/bert-base-uncased vocab\.txt "
        r"tokenizer_config\.json --local-dir weights/bert-base-uncased"
    )
    with pytest.raises(UserError, match=command):
        ImageReward(*files[:3], tmp_path / "none")


@pytest.mark.slow
@pytest.mark.skipif(
    not Path(ENVIRONMENT, "ImageReward").is_dir(),
    reason="no environment of ImageReward: set IMAGE_REWARD_ENVIRONMENT to its folder",
)
def test_the_package_itself(tmp_path):
    """Random weights in the released layout: the text part small, the ViT large as it must be."""
    config = {
        "architectures": ["BertModel"],
        "hidden_size": 768,
        "encoder_width": 1024,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "intermediate_size": 32,
        "vocab_size": 40,
        "max_position_embeddings": 64,
        "add_cross_attention": True,
    }
    (tmp_path / "med_config.json").write_text(json.dumps(config))
    tokenizer = tmp_path / "bert-base-uncased"
    tokenizer.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "circle", "dog"]
    (tokenizer / "vocab.txt").write_text("\n".join(words) + "\n")
    # The released file's first and last keys; the package fills the rest at random itself.
    torch.manual_seed(0)
    state = {
        "blip.visual_encoder.cls_token": torch.randn(1, 1, 1024),
        "mlp.layers.7.weight": torch.randn(1, 16),
        "mlp.layers.7.bias": torch.full((1,), 3.0),
    }
    torch.save(state, tmp_path / "ImageReward.pt")
    metric = ImageReward(
        Path(ENVIRONMENT), tmp_path / "ImageReward.pt", tmp_path / "med_config.json", tokenizer
    )
    metric.update(gray(10.0, 200.0), [{"prompt": "a red circle"}, {"prompt": "a dog"}])
    mean, deviation = 0.16717362830052426, 1.0333394966054072
    # The layers before it begin close to nothing, so that the last bias is nearly all of it.
    assert float(metric.compute()) == pytest.approx((3.0 - mean) / deviation, abs=0.2)
