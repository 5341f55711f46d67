"""Prompts, questions, and options of inference."""

import pytest

from .bench import Case, table

pytestmark = pytest.mark.bad_input


STEPS = "--sampling_steps"


def generate(*arguments, prompts=("a red circle",)):
    def prepare(bench):
        options = ["--output", "out", "--model", bench.good.model, "--sampling_steps", "2"]
        return ["generate", *prompts, *options, *arguments]

    return prepare


def prompt_file(name, content):
    """Draw the prompts of a file of this content; None stands for no file."""

    def prepare(bench):
        if content is not None:
            bench.write(name, content)
        return generate("--prompts_file", name, prompts=())(bench)

    return prepare


def answer(*arguments, question="What?"):
    def prepare(bench):
        options = ["--question", question, "--output", "out", "--model", bench.good.model]
        return ["answer", bench.good.image(0), *options, *arguments]

    return prepare


def question_file(content, *arguments):
    """Ask the questions of a file of this content."""

    def prepare(bench):
        bench.write("q.jsonl", content)
        bench.write("a.png", bench.good.image(0).read_bytes())
        options = ["--output", "out", "--model", bench.good.model]
        return ["answer", "--questions_file", "q.jsonl", *options, *arguments]

    return prepare


def into(spoil):
    """Draw into a folder that `spoil` got hold of."""

    def prepare(bench):
        spoil(bench.folder / "out")
        return generate()(bench)

    return prepare


def with_other_settings(folder):
    folder.mkdir()
    (folder / "settings.json").write_text('{"command": "generate", "sampling_steps": 7}')


def with_broken_settings(folder):
    folder.mkdir()
    (folder / "settings.json").write_text('{"command')


def with_other_files(folder):
    folder.mkdir()
    (folder / "holiday.png").write_bytes(b"")


HELP = "see showo-turbo generate --help"

CASES = [
    Case("none", generate(prompts=()), "there are no prompts", "give some", "--prompts_file"),
    Case("empty", generate(prompts=["a", ""]), "prompt 2 is empty", "expected a text", "write one"),
    Case(
        "blank", generate(prompts=[" \t"]), "prompt 1 is empty", "expected a text", "leave it out"
    ),
    Case(
        "not Unicode",
        generate(prompts=["a \udcff circle"]),
        r"prompt 1 has the lone surrogate '\udcff'",
        "expected Unicode",
        "rewrite it",
    ),
    Case(
        "too long",
        generate(prompts=["red circle " * 40]),
        "has 81 tokens",
        "at most 30 fit",
        "shorten it",
    ),
    Case("no file", prompt_file("p.txt", None), "p.txt does not exist", "a text file", "correct"),
    Case(
        "a folder", generate("--prompts_file", "."), ". cannot be read", "expected text", "restore"
    ),
    Case(
        "no text",
        prompt_file("p.txt", b"\xff\xfe"),
        "p.txt cannot be",
        "expected text",
        "restore it",
    ),
    Case("empty file", prompt_file("p.txt", "\n \n"), "no prompts", "give some", "--prompts_file"),
    Case("no JSON", prompt_file("p.jsonl", "{"), "line 1 of p.jsonl", "not valid JSON", "correct"),
    Case("JSON", prompt_file("p.json", "[]"), "p.json", "one JSON object a line", "rewrite it"),
    Case(
        "half a character in a tag",
        prompt_file("p.jsonl", r'{"prompt": "a", "tag": ["\ud83d"]}'),
        "line 1 of p.jsonl has the lone surrogate",
        "expected Unicode",
        "rewrite it",
    ),
    Case(
        "a JSON list",
        prompt_file("p.jsonl", "[1]"),
        "line 1 of p.jsonl",
        "expected a text",
        "remove",
    ),
    Case(
        "no prompt",
        prompt_file("p.jsonl", '\n{"tag": "a"}'),
        "line 2 of",
        "expected a text",
        "remove",
    ),
    Case(
        "a number",
        prompt_file("p.jsonl", '{"prompt": 1}'),
        "1 for 'prompt'",
        "a text",
        "correct or",
    ),
    Case(
        "an empty one", prompt_file("p.jsonl", '{"prompt": ""}'), "empty text", "fill it", "remove"
    ),
    Case(
        "a half character",
        prompt_file("p.jsonl", r'{"prompt": "\ud83d"}'),
        "lone surrogate",
        "expected Unicode",
        "rewrite it",
    ),
    Case(
        "a long number",
        prompt_file("p.jsonl", '{"prompt": "a", "seed": ' + "1" * 5000 + "}"),
        "line 1 of p.jsonl is not valid JSON",
        "correct or restore it",
        "correct",
    ),
    Case(
        "seed below 0",
        prompt_file("p.jsonl", '{"prompt": "a", "seed": -1}'),
        "seed -1",
        "a whole number from 0",
        "correct or remove it",
    ),
    Case(
        "seed beyond 64 bits",
        prompt_file("p.jsonl", '{"prompt": "a", "seed": 99999999999999999999}'),
        "seed 99999999999999999999",
        "2**63 - 1",
        "correct or remove it",
    ),
    Case("0 steps", generate(STEPS, "0"), "steps is 0", "1 to 16", "choose"),
    Case(
        "17 steps",
        generate("--sampling_steps", "17"),
        "steps is 17",
        "1 to 16 (the image",
        "choose",
    ),
    Case(
        "half a step", generate("--sampling_steps", "0.5"), "got 0.5", "steps: expected int", HELP
    ),
    Case("top-k 0", generate("--top_k", "0"), "top_k is 0", "1 to 64", "choose"),
    Case("top-k 65", generate("--top_k", "65"), "top_k is 65", "1 to 64 (the codebook", "choose"),
    Case("guidance", generate("--guidance_scale", "-1"), "guidance_scale is -1", "0 or", "must be"),
    Case("NaN", generate("--guidance_scale", ".nan"), "guidance_scale is nan", "0 or more", "must"),
    Case("infinite", generate("--token_temperature", ".inf"), "is inf", "must be 0", "or more"),
    Case("schedule", generate("--mask_schedule", "log"), "got log", "one of 'cosine'", HELP),
    Case("batch", generate("--batch_size", "0"), "batch_size is 0", "at least 1", "must be"),
    Case("images", generate("--images_per_prompt", "0"), "images_per_prompt is 0", "1", "must be"),
    Case(
        "the same twice",
        generate("--images_per_prompt", "2"),
        "images_per_prompt is 2",
        "are the same",
        "raise token_temperature",
    ),
    Case("negative seed", generate("--seed", "-1"), "seed -1", "0 to 2**63 - 1", "choose"),
    Case("unknown option", generate("--stepz", "3"), "--stepz", "unrecognized arguments", HELP),
    Case("device", generate("--device", "abacus"), "'abacus' cannot be", "'cpu', or", "choose"),
    Case("dtype", generate("--dtype", "int8"), "int8", "'float32', 'bfloat16'", HELP),
    Case(
        "output is a file",
        into(lambda path: path.write_text("")),
        "out is a file",
        "a folder for the results",
        "name",
    ),
    Case("other files", into(with_other_files), "out holds files", "no settings.json", "name an"),
    Case("other settings", into(with_other_settings), "other settings", "steps 7", "name another"),
    Case("broken settings", into(with_broken_settings), "settings.json", "valid JSON", "restore"),
    Case(
        "output below a file",
        generate("--output", "/dev/null/out"),
        "/dev/null/out cannot be",
        "written",
        "name another",
    ),
    Case("no question", answer(question=" "), "question is empty", "expected a text", "write one"),
    Case(
        "neither question nor file",
        lambda bench: ["answer", bench.good.image(0)],
        "there is no question",
        "with --question",
        "give one",
    ),
    Case(
        "question and file",
        question_file('{"image": "a.png", "question": "a"}', "--question", "b"),
        "questions_file q.jsonl names",
        "there are others",
        "leave out",
    ),
    Case("empty questions", question_file("\n"), "q.jsonl holds no", "one JSON object", "write"),
    Case(
        "nothing to ask",
        question_file('{"image": "a.png"}'),
        "line 1 of q.jsonl has nothing for 'question'",
        "expected a text",
        "correct or remove it",
    ),
    Case(
        "outside of the folder",
        question_file('{"image": "../a.png", "question": "a"}'),
        "'../a.png'",
        "expected a relative path",
        "correct or remove it",
    ),
    Case(
        "no such image",
        question_file('{"image": "b.png", "question": "a"}'),
        "line 1 of q.jsonl has the image 'b.png'",
        "expected a path from the folder",
        "correct it",
    ),
    Case(
        "no image",
        question_file('{"image": "q.jsonl", "question": "a"}'),
        "q.jsonl cannot be read as an image",
        "expected JPEG",
        "replace or remove it",
    ),
    Case(
        "long question",
        answer(question="a " * 300),
        "the answer may have 96 more",
        "together at most 236 fit",
        "shorten one",
    ),
    Case(
        "a question not Unicode",
        answer(question="\udcff?"),
        "cannot be turned into tokens",
        "expected Unicode",
        "rewrite it",
    ),
    Case("no answer", answer("--max_new_tokens", "0"), "max_new_tokens is 0", "at least 1", "must"),
    Case("no block", answer("--block_size", "0"), "block_size is 0", "at least 1", "must be"),
    Case("driver", answer("--driver", "fast"), "got fast", "one of 'block', 'window'", "--help"),
    Case(
        "warm Jacobi",
        answer("--temperature", "1"),
        "temperature is 1",
        "Jacobi decoding is greedy",
        "choose",
    ),
    Case(
        "top-p",
        answer("--top_p", "2", "--method", "autoregressive", "--temperature", "1"),
        "top_p is 2",
        "0",
        "at most 1",
    ),
    Case("no command", lambda bench: ["generat"], "'generat'", "did you mean", "'generate'"),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)


def test_good_prompts_are_not(bench):
    assert bench.run(*prompt_file("p.jsonl", '{"prompt": "a", "seed": 3}')(bench)).status == 0
    assert bench.run(*answer("--output", "answers")(bench)).status == 0
    questions = '{"image": "a.png", "question": "a"}\n{"image": "a.png", "question": "b"}'
    assert bench.run(*question_file(questions, "--output", "more")(bench)).status == 0
