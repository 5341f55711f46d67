"""Options are written down once: whatever takes changes has the fields of the options class."""

import inspect
import pickle
from dataclasses import asdict, dataclass, fields

import pytest

from showo_turbo.cli.answer import answer
from showo_turbo.cli.command_line import build_parser
from showo_turbo.cli.generate import generate
from showo_turbo.errors import UserError
from showo_turbo.sampling import image_sampling, text_decoding
from showo_turbo.sampling.changes import Changes, changes_class
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.sampling.text_decoding import DecodingChanges, TextDecoding

PAIRS = [(ImageSampling, SamplingChanges), (TextDecoding, DecodingChanges)]


def names(kind):
    return [field.name for field in fields(kind)]


@pytest.mark.parametrize(("options", "changes"), PAIRS)
def test_the_fields_are_those_of_the_options(options, changes):
    assert names(changes) == names(options)
    assert set(asdict(changes()).values()) == {None}
    for name in names(options):
        assert f"\n    {name}: " in inspect.getdoc(changes)


@pytest.mark.parametrize("module", [image_sampling, text_decoding])
def test_what_refines_is_an_option(module):
    (options,) = (o for o, _ in PAIRS if o.__module__ == module.__name__)
    for name, refinements in module.REFINED_BY.items():
        assert {name, *refinements} <= set(names(options))


@pytest.mark.parametrize(
    ("command", "options", "listed"),
    [(generate, ImageSampling, "prompts"), (answer, TextDecoding, "images")],
)
def test_commands_have_every_option_with_its_documentation(command, options, listed):
    parser, _ = build_parser(command, command.__name__, listed)
    shown = " ".join(parser.format_help().split())
    documented = inspect.getdoc(options).partition("Args:")[2]
    for name in names(options):
        assert f"--{name} " in shown
        sentence = documented.partition(f"{name}: ")[2].partition("\n")[0]
        assert " ".join(sentence.split()[:3]) in shown


def test_an_option_that_is_added_follows():
    @dataclass(frozen=True)
    class More(ImageSampling):
        """How images are sampled.

        Args:
            churn: What the next paper has.
        """

        churn: float = 0.5

    changes = changes_class(More, "MoreChanges", __name__, refined_by={"top_k": ("churn",)})
    assert names(changes) == [*names(ImageSampling), "churn"]
    assert "churn: What the next paper has." in inspect.getdoc(changes)
    assert changes(churn=2.0).over(More(top_k=3)) == More(top_k=3, churn=2.0)
    assert changes(top_k=4).over(More(churn=9.0)) == More(top_k=4)
    assert changes.of({"churn": 1.0}) == changes(churn=1.0)


def test_they_are_values():
    changes = SamplingChanges(sampling_steps=3)
    assert pickle.loads(pickle.dumps(changes)) == changes != SamplingChanges()
    assert isinstance(changes, Changes) and hash(changes) == hash(SamplingChanges(sampling_steps=3))


def test_another_method_gives_up_what_it_has_not():
    drawn = TextDecoding("autoregressive", 12, temperature=0.5, top_k=3)
    assert DecodingChanges(method="jacobi").over(drawn) == TextDecoding("jacobi", 12)
    colder = DecodingChanges(temperature=0.2).over(drawn)
    assert colder == TextDecoding("autoregressive", 12, temperature=0.2)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "name", "remedy"),
    [
        (SamplingChanges, "steps", r"did you mean sampling_steps\?"),
        (SamplingChanges, "guidanse_scale", r"did you mean guidance_scale\?"),
        (DecodingChanges, "xyz", "leave it out"),
    ],
)
def test_an_unknown_option_is_refused(changes, name, remedy):
    with pytest.raises(UserError, match=f"no option '{name}'"):
        changes.of({name: 1})
