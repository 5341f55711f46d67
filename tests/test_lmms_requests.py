"""Requests of lmms-eval beside others, with stand-ins for what the plug-in imports of it."""

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline

from .tiny import tiny_networks

COLORS = ["red", "green", "blue", "white", "gray"]
SETTINGS = [
    {"max_new_tokens": 12, "until": ["crosses", "rks"]},
    {"max_new_tokens": 3, "temperature": 0, "do_sample": False, "num_beams": 1},
    {"max_new_tokens": None, "until": None, "temperature": None, "top_p": None},
    {"max_new_tokens": 12, "temperature": 1.5, "top_p": 0.9, "do_sample": True},
    {"max_new_tokens": 12},
]


@pytest.fixture(scope="module")
def lmms():
    """The plug-in's module; lmms-eval need not be installed."""
    with pytest.MonkeyPatch.context() as patch:
        for name, content in (
            ("accelerate", {"Accelerator": object}),
            ("lmms_eval", {}),
            ("lmms_eval.api", {}),
            ("lmms_eval.api.model", {"lmms": object}),
            ("lmms_eval.models", {}),
            ("lmms_eval.models.registry_v2", {"ModelManifest": SimpleNamespace}),
        ):
            module = ModuleType(name)
            vars(module).update(content)
            patch.setitem(sys.modules, name, module)
        patch.delitem(sys.modules, "showo_turbo.lmms", raising=False)
        yield import_module("showo_turbo.lmms")
        sys.modules.pop("showo_turbo.lmms", None)


@pytest.fixture(scope="module")
def pipeline():
    return ShowoPipeline(*tiny_networks(seed=4))  # one that does not end its answers soon


@pytest.fixture
def model(lmms, pipeline):
    """A function that makes the plug-in's model, for a batch size."""

    def make(batch_size):
        made = lmms.ShowoTurboModel.__new__(lmms.ShowoTurboModel)
        made.pipeline, made.decoding = pipeline, pipeline.decoding
        made._rank, made.batch_size = 0, lmms.batch_size_of(batch_size)
        made.task_dict = {"task": {"test": COLORS}}
        return made

    return make


def request(index):
    def look(color):
        return [Image.new("RGB", (16, 16), color)]

    return SimpleNamespace(args=(f"What {index}?", SETTINGS[index], look, index, "task", "test"))


def expected(pipeline, index):
    image = Image.new("RGB", (16, 16), COLORS[index])
    options = [
        {"max_new_tokens": 12},
        {"max_new_tokens": 3},
        {},
        {"max_new_tokens": 12, "method": "autoregressive", "temperature": 1.5, "top_p": 0.9},
        {"max_new_tokens": 12},
    ][index]
    answers = pipeline.answer(image, f"What {index}?", seeds=index, **options)
    return answers.texts[0], len(answers.tokens[0])


@pytest.fixture(scope="module")
def alone(pipeline):
    """The answer to each request that stands alone."""
    texts = [expected(pipeline, index)[0] for index in range(5)]
    assert "crossesrks" in texts[0]
    return [texts[0].partition("crosses")[0].strip(), *texts[1:]]


@pytest.mark.parametrize("batch_size", [1, 2, "5", "auto", "auto:2"])
def test_each_keeps_its_own_settings(model, alone, batch_size):
    assert len(set(alone)) == 5
    assert model(batch_size).generate_until([request(index) for index in range(5)]) == alone


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [1, 1, 3], [2, 0, 1]])
def test_neighbors_change_nothing(model, alone, order):
    found = model(8).generate_until([request(index) for index in order])
    assert found == [alone[index] for index in order]


def test_the_lengths_differ(pipeline):
    assert [expected(pipeline, index)[1] for index in range(3)] == [12, 3, 96]


def test_marks_are_a_requests_own(lmms):
    assert lmms.cut_at(" yes\n\nno", ["\n\n"]) == "yes"
    assert lmms.cut_at("yes. no", ".") == "yes"
    assert lmms.cut_at("yes", ()) == "yes"


@pytest.mark.bad_input
@pytest.mark.parametrize("value", [0, -1, "many", "", "1.5"])
def test_a_batch_size_that_is_not_one(lmms, value):
    with pytest.raises(UserError, match="batch_size is"):
        lmms.batch_size_of(value)
