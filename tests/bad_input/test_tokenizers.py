"""Text tokenizers and image tokenizers."""

import json
import shutil

import pytest

from showo_turbo.models.checkpoints import resolve_folder

from ..tiny import tiny_magvitv2
from .bench import Case, table

pytestmark = pytest.mark.bad_input

SHAPES = json.loads((resolve_folder("shapes", "showo") / "tokenizer.json").read_text())


def generate(bench, *options):
    model = ["--model", bench.good.model]
    return [
        "generate",
        "a red circle",
        "--output",
        "out",
        "--sampling_steps",
        "2",
        *model,
        *options,
    ]


def text_tokenizer(content, name="tokenizer.json"):
    """Load a text tokenizer of this content; None stands for no file."""

    def prepare(bench):
        if content is not None:
            bench.write(name, content)
        return generate(bench, "--text_tokenizer", bench.folder / name)

    return prepare


def words(**ids):
    """A tokenizer that knows these words."""
    return SHAPES | {"model": {"type": "WordLevel", "vocab": ids, "unk_token": "none"}}


def with_token(content, identifier):
    return SHAPES | {
        "added_tokens": [
            *SHAPES["added_tokens"],
            SHAPES["added_tokens"][0] | {"id": identifier, "content": content},
        ]
    }


def with_other_word():
    vocabulary = dict(SHAPES["model"]["vocab"])
    word = max(vocabulary, key=vocabulary.get)
    vocabulary["qqq"] = vocabulary.pop(word)
    merges = [pair for pair in SHAPES["model"]["merges"] if "".join(pair) != word]
    return SHAPES | {"model": SHAPES["model"] | {"vocab": vocabulary, "merges": merges}}


def other_than_in_the_folder(bench):
    """As many tokens and the same end as the model's own, but another word."""
    folder = bench.folder / "model"
    shutil.copytree(bench.good.model, folder)
    bench.write("model/tokenizer.json", SHAPES)
    bench.write("other.json", with_other_word())
    options = ["--model", folder, "--text_tokenizer", bench.folder / "other.json"]
    return generate(bench, *options)


def without_end():
    return SHAPES | {
        "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
    }


def with_other_end():
    model = {"type": "WordLevel", "vocab": {"a": 0, "<|endoftext|>": 1}, "unk_token": "a"}
    return SHAPES | {"added_tokens": [], "model": model}


def folder_without(bench):
    bench.write("folder/vocab.txt", "a b c")
    return generate(bench, "--text_tokenizer", bench.folder / "folder")


def image_tokenizer(spoil):
    """Load an image tokenizer whose folder `spoil` got hold of."""

    def prepare(bench):
        folder = bench.folder / "magvitv2"
        shutil.copytree(bench.good.image_tokenizer, folder)
        spoil(folder)
        return generate(bench, "--image_tokenizer", folder)

    return prepare


def sizes(**changes):
    """Change values of its `config.json`."""

    def spoil(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return image_tokenizer(spoil)


def other_codebook(folder):
    tiny_magvitv2(bits=7).save_pretrained(folder)


RESTORE = "restore it"

CASES = [
    Case("no text tokenizer", text_tokenizer(None), "tokenizer.json", "local folder", "correct"),
    Case("folder without", folder_without, "folder/tokenizer.json", "expected a token", "name one"),
    Case("no bytes", text_tokenizer(""), "tokenizer.json is not a tokenizer", "expected", RESTORE),
    Case("no JSON", text_tokenizer("{]"), "tokenizer.json is not a", "expected what", RESTORE),
    Case("no UTF-8", text_tokenizer(b"\xff"), "tokenizer.json is not a", "expected what", RESTORE),
    Case("other JSON", text_tokenizer({"a": 1}), "is not a tokenizer", "expected what", RESTORE),
    Case("no model", text_tokenizer(SHAPES | {"model": None}), "not a tok", "expected", RESTORE),
    Case("null", text_tokenizer("null"), "is not a tokenizer file", "expected what", RESTORE),
    Case(
        "a cut file",
        text_tokenizer(json.dumps(SHAPES)[:-9]),
        "tokenizer.json is not a tokenizer file",
        "expected what tokenizers writes",
        RESTORE,
    ),
    Case(
        "no end of text",
        text_tokenizer(without_end()),
        "no '<|endoftext|>' token",
        "which ends texts",
        "name another",
    ),
    Case(
        "another end of text",
        text_tokenizer(with_other_end()),
        "ends texts with id 1",
        "the model with 0",
        "name the text tokenizer that",
    ),
    Case(
        "as many others",
        other_than_in_the_folder,
        "other.json', whose tokens are not those of",
        "which the model was trained with",
        "set text_tokenizer to",
    ),
    Case(
        "too many tokens",
        text_tokenizer(with_token("more", 640)),
        "641 tokens",
        "the model only 640",
        "name the text tokenizer that",
    ),
    Case(
        "an id far away",
        text_tokenizer(words(**{"<|endoftext|>": 0, "circle": 99_999})),
        "100000 tokens",
        "the model only 640",
        "name the text tokenizer that",
    ),
    Case(
        "a word it does not know",
        text_tokenizer(words(**{"<|endoftext|>": 0})),
        "'a red circle' cannot be turned into tokens",
        "that the tokenizer knows",
        "rewrite it",
    ),
    Case(
        "wrong codebook",
        image_tokenizer(other_codebook),
        "has 128 codes, the model 64",
        "that the model was trained with",
        "name the image tokenizer",
    ),
    Case(
        "no image tokenizer",
        image_tokenizer(shutil.rmtree),
        "magvitv2' is not a folder",
        "a local folder",
        "correct the name",
    ),
    Case(
        "no config",
        image_tokenizer(lambda folder: (folder / "config.json").unlink()),
        "config.json does not exist",
        "expected a JSON file",
        "correct the name",
    ),
    Case("channels as text", sizes(channels="many"), "'many'", "a whole number", "correct"),
    Case("no bits", sizes(bits=0), "bits is 0", "expected a whole number", "correct"),
    Case("bits beyond memory", sizes(bits=99), "bits is 99", "expected a whole number", "correct"),
    Case("blocks as number", sizes(encoder_blocks=3), "encoder_blocks is 3", "a list", "correct"),
    Case("no resolution", sizes(decoder_blocks=[]), "lengths [0, 3]", "one entry", "same length"),
    Case("other groups", sizes(norm_groups=3), "norm_groups=3", "multiple", "choose another"),
    Case("other widths", sizes(channels=16), "wrong shape", "expected", "restore both"),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)


def test_good_ones_are_not(bench):
    assert bench.run(*text_tokenizer(SHAPES)(bench)).status == 0
