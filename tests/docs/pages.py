"""The pages that people read, and what they show in fenced blocks."""

import re
import shlex
import sys
from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "recipes").rglob("*.md"),
    ]
)
_FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`(showo-turbo [^`\n]+ [^`\n]+)`(?!`)")  # with options, not only a name
_FILE = re.compile(r"# (?!-)(\S+\.(?:py|yaml))\n")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it stands.
        line: Number of its first line there.
        language: What stands behind its fence.
        text: What it shows.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name that a comment in its first line gives it; None if it is not a file."""
        found = _FILE.match(self.text)
        return found[1] if found else None

    def __str__(self) -> str:
        """Where to look for it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command line of a block, or in a sentence.

    Attributes:
        block: Where it stands; of a command in a sentence, the block is the command alone.
        words: Its words, without comments.
    """

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        """Where to look for it, and what it is."""
        return f"{self.block} {' '.join(self.words)[:60]}"


@cache
def blocks(language: str, page: Path | None = None) -> list[Block]:
    """The blocks in a language, on all pages or on one."""
    return [
        Block(path, text.count("\n", 0, found.start()) + 2, found[1], found[2])
        for path in (PAGES if page is None else [page])
        for text in [path.read_text(encoding="utf-8")]
        for found in _FENCE.finditer(text)
        if found[1] == language
    ]


def _in_sentences() -> list[Block]:
    """The commands that stand in sentences and tables."""
    return [
        Block(path, text.count("\n", 0, found.start()) + 1, "", found[1])
        for path in PAGES
        for text in [path.read_text(encoding="utf-8")]
        for found in _INLINE.finditer(text)
    ]


@cache
def commands() -> list[Command]:
    """All command lines in the order of the pages, those that `&&` joins one by one."""
    places = [*blocks("bash"), *_in_sentences()]
    return [
        Command(block, tuple(words))
        for block in sorted(places, key=lambda block: (block.page, block.line))
        for line in block.text.replace("\\\n", " ").splitlines()
        for words in _split(shlex.split(line, comments=True))
    ]


def _split(words: list[str]) -> list[list[str]]:
    """The commands of a line."""
    found: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            found.append([])
        else:
            found[-1].append(word)
    return [part for part in found if part]


def write_files(page: Path, folder: Path) -> list[str]:
    """Write the blocks of a page that are files, and give their names."""
    written = []
    for language in ("python", "yaml"):
        for block in blocks(language, page):
            if block.file is not None:
                path = folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
                written.append(block.file)
    return written


def forget_modules(known: Set[str], folder: Path) -> None:
    """Forget what has been imported from a folder since these modules were all."""
    for name in set(sys.modules) - known:
        places = [getattr(sys.modules[name], "__file__", None)]
        paths = getattr(sys.modules[name], "__path__", ())
        places += list(paths) if isinstance(paths, Iterable) else []  # `torch.classes` has any name
        if any(str(place).startswith(str(folder)) for place in places):
            del sys.modules[name]
