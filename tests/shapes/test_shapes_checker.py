import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.shapes.render import render
from showo_turbo.shapes.shapes_checker import ShapesChecker

from ..support.scenes import sample_scene


def drawn(indices):
    scenes = [sample_scene(index, seed=5) for index in indices]
    pixels = torch.stack([torch.from_numpy(render(scene)).permute(2, 0, 1) for scene, _ in scenes])
    return pixels.float() / 127.5 - 1, [prompt.to_metadata() for _, prompt in scenes]


def test_true_renders_satisfy_their_prompts_and_empty_images_none():
    pixels, metadata = drawn(range(60))
    checker = ShapesChecker()
    assert checker.judge(pixels, metadata) == [True] * 60
    assert checker.judge(torch.ones_like(pixels), metadata) == [False] * 60


def test_the_checker_knows_its_own_prompts_only():
    checker = ShapesChecker()
    _, metadata = drawn(range(5))
    assert all(map(checker.can_judge, metadata))
    bench = {"prompt": "a bench", "tag": "single_object", "include": [{"class": "bench"}]}
    assert not checker.can_judge(bench)
    assert checker.can_judge({"prompt": "a circle"}), "a text of the world says what it asks for"
    assert not checker.can_judge({"prompt": "a dog"})


@pytest.mark.bad_input
def test_images_of_another_size_are_a_mistake():
    with pytest.raises(UserError, match=r"48 x 24 pixels .*checker to null"):
        ShapesChecker().judge(torch.zeros(1, 3, 24, 48), [{"prompt": "a circle"}])
