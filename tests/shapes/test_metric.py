import pytest
import torch

from showo_turbo.shapes.metric import ShapesChecker, ShapesScore
from showo_turbo.shapes.render import render
from showo_turbo.shapes.sampling import sample_scene


def drawn(indices):
    scenes = [sample_scene(index, seed=5) for index in indices]
    pixels = torch.stack([torch.from_numpy(render(scene)).permute(2, 0, 1) for scene, _ in scenes])
    return pixels.float() / 127.5 - 1, [prompt.to_metadata() for _, prompt in scenes]


def test_true_renders_satisfy_their_prompts_and_empty_images_none():
    pixels, metadata = drawn(range(60))
    score = ShapesScore()
    score.update(pixels, metadata)
    assert float(score.compute()) == 1
    score.reset()
    score.update(torch.ones_like(pixels), metadata)
    assert float(score.compute()) == 0


def test_the_checker_knows_its_own_prompts_only():
    checker = ShapesChecker()
    _, metadata = drawn(range(5))
    assert all(map(checker.can_judge, metadata))
    bench = {"prompt": "a bench", "tag": "single_object", "include": [{"class": "bench"}]}
    assert not checker.can_judge(bench)
    assert checker.can_judge({"prompt": "a circle"}), "a text of the world says what it asks for"
    assert not checker.can_judge({"prompt": "a dog"})


def test_every_category_weighs_the_same():
    pixels, metadata = drawn(range(60))
    first = metadata[0]["tag"]
    keep = [i for i, entry in enumerate(metadata) if entry["tag"] == first][:1]
    keep += [i for i, entry in enumerate(metadata) if entry["tag"] != first]
    pixels, metadata = pixels[keep].clone(), [metadata[i] for i in keep]
    pixels[0] = 1
    score = ShapesScore()
    score.update(pixels, metadata)
    assert score.by_category()[first] == 0
    assert float(score.compute()) == pytest.approx(5 / 6)
