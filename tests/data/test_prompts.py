import json
from pathlib import Path

import pytest

from showo_turbo.data import PromptFile
from showo_turbo.data.prompts import shown_prompts
from showo_turbo.errors import UserError

LINES = [
    {"tag": "colors", "include": [{"class": "car", "count": 1}], "prompt": "a photo of a red car"},
    {"tag": "colors", "include": [], "prompt": "a photo of a blue cup"},
    {"tag": "counting", "include": [], "prompt": "a photo of two cups"},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in LINES) + "\n\n")
    return path


def test_lines_become_samples(path: Path) -> None:
    item = PromptFile(path)[0]
    assert item["prompt"] == "a photo of a red car"
    assert item["category"] == "colors" and item["split"] == "test"
    assert item["metadata"] == LINES[0]
    assert len(PromptFile(path)) == 3


def test_categories_can_be_cut_to_equal_size(path: Path) -> None:
    prompts = [item["prompt"] for item in PromptFile(path, per_category=1)]
    assert prompts == ["a photo of a red car", "a photo of two cups"]


def test_a_table_of_another_editor(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("prompt,tag\na\u2028cup,cups\n", encoding="utf-8-sig")
    (item,) = PromptFile(path)
    assert (item["prompt"], item["category"], item["split"]) == ("a\u2028cup", "cups", "own")


def test_prompts_of_no_category(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("prompt,tag\na cup,\na bench,furniture\na dog\n")
    assert [item["category"] for item in PromptFile(path)] == ["all", "furniture", "all"]
    assert [item["metadata"]["tag"] for item in PromptFile(path, 1)] == ["all", "furniture"]


def test_pictures_show_every_category_and_enough() -> None:
    def tagged(tags: str) -> list[dict[str, str]]:
        return [{"tag": tag} for tag in tags]

    assert shown_prompts(tagged("aabbc"), 3) == [0, 2, 4]
    assert shown_prompts(tagged("aabbc"), 4) == [0, 2, 4, 1]
    assert shown_prompts(tagged("aaaa"), 3) == [0, 1, 2]
    assert shown_prompts(tagged("aa"), 3) == [0, 1]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no prompt"),
        ('{"prompt": "a", "tag": "b"}\n{"prompt', r"line 2 of .*test\.jsonl is not valid JSON"),
        ('{"prompt": "a", "tag": 3}', "has 3 for 'tag'; expected a text"),
        ("[]", "has nothing for 'prompt'"),
    ],
)
def test_mistakes_are_explained(path: Path, content: str, message: str) -> None:
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        PromptFile(path)


@pytest.mark.bad_input
def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.jsonl does not exist"):
        PromptFile(tmp_path / "nowhere.jsonl")
