import pytest

from showo_turbo.cli.prompt_sources import PromptEntry, read_prompts
from showo_turbo.errors import UserError


def test_arguments_come_before_the_file(tmp_path):
    (tmp_path / "p.txt").write_text("a red circle\n\n  two stars \n{not json}\n")
    assert [entry.text for entry in read_prompts(["first"], tmp_path / "p.txt")] == [
        "first",
        "a red circle",
        "two stars",
        "{not json}",
    ]


def test_json_lines(tmp_path):
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "a", "seed": 7}\n\n{"prompt": " b ", "tag": "counting", "include": [1]}\n'
    )
    assert read_prompts([], tmp_path / "p.jsonl") == [
        PromptEntry("a", 7),
        PromptEntry("b", None, {"tag": "counting", "include": [1]}),
    ]


@pytest.mark.parametrize(("name", "line"), [("p.txt", "é"), ("p.JSONL", '{"prompt": "é"}')])
def test_a_byte_order_mark_is_no_part_of_it(tmp_path, name, line):
    (tmp_path / name).write_text(f"{line}\n{line}\n", encoding="utf-8-sig")
    assert read_prompts([], tmp_path / name) == [PromptEntry("é")] * 2


@pytest.mark.parametrize("name", ["p.ndjson", "p.jsonlines"])
def test_json_lines_by_their_other_names(tmp_path, name):
    (tmp_path / name).write_text('{"prompt": "a red circle", "tag": "x"}\n')
    assert read_prompts([], tmp_path / name) == [PromptEntry("a red circle", None, {"tag": "x"})]


@pytest.mark.parametrize(("name", "tab"), [("p.csv", ","), ("p.tsv", "\t")])
@pytest.mark.parametrize("column", ["prompt", "text", "caption", "Prompt"])
def test_tables(tmp_path, name, tab, column):
    lines = [["id", column, "Seed"], ["7", "a circle", "3"], ["8", '"two, ""big"" stars"', ""]]
    (tmp_path / name).write_text("\n".join(tab.join(line) for line in lines), "utf-8-sig")
    assert read_prompts([], tmp_path / name) == [
        PromptEntry("a circle", 3, {"id": "7"}),
        PromptEntry('two, "big" stars', None, {"id": "8"}),
    ]


def test_the_prompt_comes_before_other_texts(tmp_path):
    (tmp_path / "p.csv").write_text("text,prompt\nx,y\n")
    assert read_prompts([], tmp_path / "p.csv") == [PromptEntry("y", None, {"text": "x"})]


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0c"])
def test_only_newlines_end_a_prompt(tmp_path, mark):
    (tmp_path / "p.txt").write_text(f"a{mark}b\nc\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text(f"prompt\na{mark}b\nc\n", encoding="utf-8")
    for name in ("p.txt", "p.csv"):
        assert read_prompts([], tmp_path / name) == [PromptEntry(f"a{mark}b"), PromptEntry("c")]


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("a red circle\na blue one\n", r"line 2 of .* columns \['a red circle'\]; expected"),
            ("prompt,tag\n,a\n", "line 2 of .* has an empty text for 'prompt'"),
            ("prompt,text\n,a\n", "line 2 of .* has an empty text for 'prompt'"),
            ("prompt,seed\na,x\n", "line 2 of .* has seed 'x'; expected a whole number"),
            ("prompt,seed\na,-1\n", "line 2 of .* has seed '-1'; expected a whole number"),
            (f"prompt,seed\na,{'1' * 5000}\n", "line 2 of .* has seed '1111"),
        ],
    )
    def test_a_wrong_row(self, tmp_path, content, message):
        (tmp_path / "p.csv").write_text(content)
        with pytest.raises(UserError, match=message):
            read_prompts([], tmp_path / "p.csv")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "line 2 of .*p.jsonl is not valid JSON"),
            ("[" * 100_000, "line 2 of .*p.jsonl is not valid JSON"),
            ("3", "line 2 of .*p.jsonl has nothing for 'prompt'; expected a text"),
            ('{"text": "a"}', "line 2 of .*p.jsonl has nothing for 'prompt'"),
            ('{"prompt": 3}', "line 2 of .*p.jsonl has 3 for 'prompt'"),
            ('{"prompt": " "}', "line 2 of .*p.jsonl has an empty text for 'prompt'"),
            ('{"prompt": "a", "seed": -1}', "has seed -1; expected a whole number"),
            ('{"prompt": "a", "seed": true}', "has seed True; expected a whole number"),
            ('{"prompt": "a", "seed": "1"}', "has seed '1'; expected a whole number"),
            (r'{"prompt": "a", "tag": "\ud83d"}', "line 2 of .*p.jsonl has the lone surrogate"),
        ],
    )
    def test_a_wrong_line(self, tmp_path, line, message):
        (tmp_path / "p.jsonl").write_text(f'{{"prompt": "fine"}}\n{line}\n')
        with pytest.raises(UserError, match=message):
            read_prompts([], tmp_path / "p.jsonl")

    def test_no_prompts(self, tmp_path):
        (tmp_path / "p.txt").write_text("\n \n")
        with pytest.raises(UserError, match="there are no prompts"):
            read_prompts([], tmp_path / "p.txt")

    def test_unreadable_files(self, tmp_path):
        (tmp_path / "p.txt").write_bytes(b"\xff\xfe\xff")
        for name in ("p.txt", "."):
            with pytest.raises(UserError, match="cannot be read"):
                read_prompts([], tmp_path / name)
        with pytest.raises(UserError, match="does not exist"):
            read_prompts([], tmp_path / "none.txt")

    def test_an_empty_prompt(self):
        with pytest.raises(UserError, match="prompt 2 is empty"):
            read_prompts(["a", " "], None)

    @pytest.mark.parametrize("name", ["p.json", "p.JSON"])
    def test_a_json_file(self, tmp_path, name):
        (tmp_path / name).write_text('[{"prompt": "a"}]')
        with pytest.raises(UserError, match=r"in a \.jsonl file, or one prompt a line in a \.txt"):
            read_prompts([], tmp_path / name)
