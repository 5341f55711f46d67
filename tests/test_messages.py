"""The form of messages about a user's mistakes; other tests match only the value and the fact."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
HELPFUL = re.compile(r"expected |; \S|remove it")
"""What is expected, or what to do."""

PASSED_ON = {
    "ImageReward failed: {}",
    "{} does not fit {}: {}",
    "{} describes no {}: {}",
    "{} holds wrong sizes: {}",
    "trainer: {}{}",
    "{}: {}",
    "with {}: {}",
    "{} in {}: {}",
    "stage {}: {}",
}
"""Where the message of another error follows."""


def messages(text):
    """Number and text of every message that is written where it is raised, `{}` for its values."""
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        if node.func.id not in ("UserError", "BadSample"):
            continue
        parts = getattr(node.args[0], "values", [node.args[0]])
        if all(isinstance(part, (ast.Constant, ast.FormattedValue)) for part in parts):
            yield (
                node.lineno,
                "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts),
            )


def test_messages_are_found():
    text = 'raise UserError(f"width is {width}; expected at least 1, " f"correct it")'
    assert list(messages(text)) == [(1, "width is {}; expected at least 1, correct it")]
    assert list(messages("raise UserError(message)")) == []


def test_every_message_says_what_is_expected_or_what_to_do():
    found, unhelpful = 0, []
    files = [
        path for folder in ("src", "callbacks", "recipes") for path in (ROOT / folder).rglob("*.py")
    ]
    for path in sorted(files):
        for number, message in messages(path.read_text(encoding="utf-8")):
            found += 1
            helps = HELPFUL.search(message) or message in PASSED_ON
            if "\n" in message or message.endswith(".") or not helps:
                unhelpful.append(f"{path.relative_to(ROOT)}:{number}: {message}")
    assert found > 600
    assert unhelpful == []
