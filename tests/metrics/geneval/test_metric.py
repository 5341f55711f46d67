"""The whole of GenEval on small networks of random weights."""

import numpy as np
import pytest
import torch
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    SwinConfig,
)

from showo_turbo.errors import UserError
from showo_turbo.metrics.geneval import COLORS, FoundObject, GenEval, ObjectFinder
from showo_turbo.metrics.geneval.colors import cut_out
from showo_turbo.metrics.geneval.object_names import OBJECT_NAMES

from ..test_similarity import NAME, network  # noqa: F401

# The labels of the hub's `mask2former-swin-*-coco-instance`, in their order: those of mmdet's first
# versions (`coco-detection-mmdet-id2label.json` of huggingface/label-files), some of Pascal VOC.
HUB_LABELS = """
person,bicycle,car,motorbike,aeroplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,
handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,
surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,
broccoli,carrot,hot dog,pizza,donut,cake,chair,sofa,pottedplant,bed,diningtable,toilet,tvmonitor,
laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,
scissors,teddy bear,hair drier,toothbrush
""".replace("\n", "").split(",")

# What GenEval's `object_names.txt` calls otherwise.
IN_PROMPTS = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
    "mouse": "computer mouse",
    "remote": "tv remote",
    "keyboard": "computer keyboard",
}


def write_detector(folder, labels):
    torch.manual_seed(0)
    backbone = SwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=6,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp("mask2former"), HUB_LABELS)


@pytest.fixture
def pixels():
    torch.manual_seed(2)
    return torch.rand(3, 3, 48, 40) * 2 - 1


def test_objects_have_masks_of_the_image(detector, pixels):
    finder = ObjectFinder(detector, confidence=0.0)
    images = [np.zeros((48, 40, 3), np.uint8), np.full((30, 50, 3), 200, np.uint8)]
    found = finder(images)
    assert any(found), "random weights find something when nothing needs to be sure"
    for image, objects in zip(images, found, strict=True):
        for entry in objects:
            assert entry.mask.shape == image.shape[:2]
            assert entry.name in OBJECT_NAMES
            left, top, right, bottom = entry.box
            assert 0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]


def test_every_class_has_the_name_of_the_prompts(detector):
    assert len(HUB_LABELS) == len(set(OBJECT_NAMES)) == 80
    finder = ObjectFinder(detector)
    segments = [{"label_id": number, "score": 0.5} for number in range(80)]
    found = finder._objects({"segments_info": segments, "segmentation": torch.ones(80, 4, 4)})
    assert [entry.name for entry in found] == [IN_PROMPTS.get(name, name) for name in HUB_LABELS]


def test_the_metric_counts_by_category(detector, network, pixels, monkeypatch):  # noqa: F811
    metric = GenEval(detector, network[0] / "open_clip_pytorch_model.bin", NAME)
    truth = [FoundObject("dog", 0.9, (0, 0, 20, 20), np.ones((48, 40), bool))]
    assert metric.name_colors(np.zeros((48, 40, 3), np.uint8), truth)[0] in COLORS
    metric.find_objects.confidence = 0.0
    wanted = {"class": "car", "count": 1}
    rows = [{"tag": "single_object", "include": [wanted], "prompt": "a car"}] * 3
    metric.update(pixels, rows)  # through the networks, whatever they find
    assert metric.total.sum() == 3

    metric.reset()
    metric.find_objects = torch.nn.Identity()
    monkeypatch.setattr(metric.find_objects, "forward", lambda images: [truth] * len(images))
    dog, car = {"class": "dog", "count": 1}, {"class": "car", "count": 1}
    rows = [
        {"tag": "single_object", "include": [dog]},
        {"tag": "single_object", "include": [car]},
        {"tag": "two_object", "include": [dog]},
    ]
    metric.update(pixels, rows)
    assert float(metric.compute()) == pytest.approx((0.5 + 1.0) / 2)
    assert metric.satisfied.tolist()[:2] == [1.0, 1.0] and metric.total.tolist()[:2] == [2.0, 1.0]


def test_what_is_not_the_object_is_gray():
    image = np.full((6, 6, 3), 10, np.uint8)
    mask = np.zeros((6, 6), bool)
    mask[2:4, 2:5] = True
    mask[3, 4] = False
    cut = np.array(cut_out(image, FoundObject("dog", 1.0, (2, 2, 5, 4), mask)))
    assert cut[:, :, 0].tolist() == [[10, 10, 10], [10, 10, 153]]


def test_mistakes(detector, network, pixels, tmp_path):  # noqa: F811
    clip = network[0] / "open_clip_pytorch_model.bin"
    with pytest.raises(UserError, match="hf download facebook/mask2former"):
        GenEval(tmp_path / "none", clip, NAME)
    with pytest.raises(UserError, match="holds no Mask2Former"):
        GenEval(tmp_path, clip, NAME)
    few = write_detector(tmp_path / "few", ["dog", "mouse", "car"])
    with pytest.raises(UserError, match="few knows 3 classes"):
        GenEval(few, clip, NAME)
    with pytest.raises(UserError, match="of the category 'weather'"):
        GenEval(detector, clip, NAME).update(pixels, [{"tag": "weather", "prompt": "rain"}] * 3)
