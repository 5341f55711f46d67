import pytest

from showo_turbo.inference import ShowoPipeline

from ..tiny import tiny_networks

PROMPTS = ["a red circle", "", "two blue squares on a white background", "a circle", "a star"]


@pytest.fixture(scope="module")
def pipeline():
    return ShowoPipeline(*tiny_networks())
