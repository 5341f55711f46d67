"""LLaVA instructions, and images that they name."""

import pytest

from .bench import Case, table

pytestmark = pytest.mark.bad_input

QUESTION = {"from": "human", "value": "<image>\nWhat is this?"}
ANSWER = {"from": "gpt", "value": "A circle."}
RECORD = {"id": "a", "image": "0.png", "conversations": [QUESTION, ANSWER]}


def instructions(content, images=None):
    """Collect answers to instructions of this content; None stands for no file."""

    def prepare(bench):
        path = bench.folder / "llava.json"
        if content is not None:
            bench.write(path.name, content)
        for name, data in (images or {}).items():
            bench.write(f"images/{name}", data)
        folder = "images" if images else bench.good.images
        files = ["--instructions.images", folder, "--instructions.annotations", path]
        length = ["--texts.decoding.max_new_tokens", "16"]
        return ["collect", "out", *files, *length, "--model", bench.good.model]

    return prepare


def record(**changes):
    return instructions([RECORD, RECORD | changes])


def turns(*messages):
    return record(conversations=list(messages))


FIELD = "correct or remove it"
SAMPLE = "or leave out such samples, with max_bad_samples"

CASES = [
    Case("no file", instructions(None), "llava.json does not exist", "JSON file", "correct the"),
    Case("no bytes", instructions(""), "llava.json", "is not valid JSON", "correct or restore"),
    Case(
        "JSON lines", instructions('{"image": "a"}\n{}'), "llava.json", "valid JSON", "restore it"
    ),
    Case(
        "a mapping", instructions({}), "llava.json is not a list", "LLaVA instructions", "another"
    ),
    Case("no record", instructions([]), "llava.json holds no record", "LLaVA", "name another"),
    Case(
        "texts only",
        instructions([{"conversations": [QUESTION, ANSWER]}]),
        "no record with an image (1 without)",
        "expected LLaVA",
        "name another",
    ),
    Case("record as text", instructions(["a"]), "llava.json is 'a'", "object", "remove"),
    Case("two images", record(image=["0.png"] * 2), "2 images for 'image'", "a single", FIELD),
    Case("a list of no text", record(image=[0]), "0 for 'image'", "a text", FIELD),
    Case("empty image", record(image=""), "empty text for 'image'", "fill it in", "remove"),
    Case("upwards", record(image="../0.png"), "the image '../0.png'", "relative path", FIELD),
    Case("absolute", record(image="/0.png"), "the image '/0.png'", "relative path", SAMPLE),
    Case("no conversations", record(conversations=None), "None for 'conv", "in turn", FIELD),
    Case("conversations as text", record(conversations="Hi"), "'Hi' for 'conv", "in turn", FIELD),
    Case("no turn", turns(), "0 messages for 'conversations'", "questions and answers", FIELD),
    Case("no answer", turns(QUESTION), "1 messages for 'conversations'", "in turn", FIELD),
    Case("two answers", turns(QUESTION, ANSWER, ANSWER), "'gpt'", "'human' is due", FIELD),
    Case("wrong role", turns({"from": "user", "value": "a"}, ANSWER), "'user'", "'human'", FIELD),
    Case("swapped roles", turns(ANSWER, QUESTION), "2 messages for", "in turn", FIELD),
    Case("two questions", turns(QUESTION, QUESTION), "'human'", "from 'gpt' is due", FIELD),
    Case("message as text", turns("What?", "A"), "message 'What?'", "one from 'human'", FIELD),
    Case("no role", turns({"value": "a"}, ANSWER), "message {'value'", "'human' is due", FIELD),
    Case("no value", turns(QUESTION, {"from": "gpt"}), "nothing for 'value'", "a text", FIELD),
    Case("number", turns(QUESTION, ANSWER | {"value": 3}), "3 for 'value'", "a text", FIELD),
    Case("empty answer", turns(QUESTION, ANSWER | {"value": ""}), "empty text", "fill", "remove"),
    Case("only a mark", turns(QUESTION | {"value": "<image>"}, ANSWER), "empty", "fill", "remove"),
    Case(
        "surrogate",
        turns(QUESTION, ANSWER | {"value": "\ud800"}),
        r"lone surrogate '\ud800'",
        "expected Unicode",
        "rewrite it",
    ),
    Case(
        "a missing image",
        record(image="none.png"),
        "none.png does not exist",
        "expected an image",
        SAMPLE,
    ),
    Case(
        "an image of zero bytes",
        instructions([RECORD], {"0.png": b""}),
        "0.png cannot be read as an image",
        "expected JPEG, PNG",
        SAMPLE,
    ),
    Case(
        "a question that fills the model",
        instructions(
            [RECORD | {"conversations": [{"from": "human", "value": "a " * 300}, ANSWER]}]
        ),
        "all 1 questions have 236 tokens or more",
        "expected fewer",
        "shorten them",
    ),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)


def test_good_instructions_are_not(bench):
    ended = bench.run(*instructions(bench.good.llava())(bench))
    assert ended.status == 0, ended.errors
