"""Plain text about shapes from a small grammar, the shapes world's stand-in for web text."""

import re
from random import Random

from .scene import BACKGROUNDS, CELL_NAMES, COLORS, SHAPES
from .wording import NUMBER_WORDS, capitalize, plural

_PLACES = tuple(name for row in CELL_NAMES for name in row)

_FACTS = {
    "circle": ("has no corners", "is round", "looks the same from every side", "has one center"),
    "square": ("has four equal sides", "has four corners", "fits well in a grid", "is flat"),
    "triangle": ("has three sides", "has three corners", "stands on a wide base", "has a tip"),
    "cross": ("has four arms", "is made of two lines", "has a narrow middle", "is open"),
}

_RULES: dict[str, tuple[str, ...]] = {
    "sentence": (
        "{shape_fact}.",
        "{shape_fact}, {but} {shape_fact}.",
        "{color_fact}.",
        "{color_fact}, {but} {color_fact}.",
        "{scene_fact}.",
        "{scene_fact}, {and_so} {scene_fact}.",
        "{person_fact}.",
        "{person_fact}, {but} {person_fact}.",
        "{when}, {person_fact}.",
        "{when}, {scene_fact}.",
        "{person} {believes} that {shape_fact}.",
        "{person} {believes} that {color_fact}.",
    ),
    "shape_fact": ("{fact}",),
    "color_fact": (
        "{color} is a {color_quality} color",
        "{color} is {compared} than {color}",
        "{color} is easy to see on {background}",
        "{color} and {color} {color_pair}",
        "nothing is as {color_quality} as {color}",
    ),
    "color_quality": ("warm", "cool", "bright", "deep", "calm", "loud", "simple"),
    "compared": ("warmer", "cooler", "brighter", "darker", "calmer"),
    "color_pair": ("go well together", "are easy to tell apart", "make a good contrast"),
    "scene_fact": (
        "the {shape} is {near} the {place} cell",
        "the {color} one is {near} the {place} cell",
        "the {place} cell is {fill}",
        "there are {number} {shapes} in the grid",
        "the background is {background}",
        "{number} {shapes} {appear} on {background} paper",
        "the picture shows {number} {color} marks",
        "every cell {holds} one shape at most",
        "the grid has three rows and three columns",
    ),
    "near": ("in", "next to", "far from", "close to"),
    "fill": ("empty", "{color}", "full", "{background}", "free", "taken"),
    "appear": ("appear", "are drawn", "can be seen", "are painted", "stand"),
    "holds": ("holds", "has", "shows"),
    "person_fact": (
        "{person} {made} {number} {shapes}",
        "{person} {made} the {shape} in {color}",
        "{person} {likes} {shapes}",
        "{person} {likes} the color {color}",
        "{person} looked for the {shape} in the {place} cell",
        "{person} put the {shape} on {background} paper",
        "{person} counted {number} {shapes} and {number} {shapes}",
        "{person} asked for a {adjective} {shape}",
    ),
    "person": (
        "the painter",
        "a child",
        "the teacher",
        "her friend",
        "the reader",
        "our neighbor",
        "someone",
    ),
    "made": ("drew", "painted", "found", "cut out", "copied", "moved"),
    "likes": ("likes", "prefers", "remembers", "often draws", "never forgets", "talks about"),
    "believes": ("says", "knows", "wrote", "learned", "thinks"),
    "adjective": ("small", "large", "simple", "new", "second", "bright"),
    "when": (
        "in the morning",
        "after lunch",
        "at school",
        "last week",
        "on the next page",
        "in this picture",
        "at first",
        "later",
    ),
    "but": ("but", "and", "while", "yet"),
    "and_so": ("and", "so", "because", "although"),
    "shape": SHAPES,
    "shapes": tuple(plural(shape) for shape in SHAPES),
    "color": COLORS,
    "background": BACKGROUNDS,
    "place": _PLACES,
    "number": NUMBER_WORDS[2:],
    "fact": tuple(f"a {shape} {fact}" for shape, facts in _FACTS.items() for fact in facts),
}

_SLOT = re.compile(r"{(\w+)}")


def _expand(rule: str, random: Random) -> str:
    text = random.choice(_RULES[rule])
    return _SLOT.sub(lambda slot: _expand(slot.group(1), random), text)


def sample_document(random: Random) -> str:
    """Draw a document of three to eight sentences."""
    return " ".join(capitalize(_expand("sentence", random)) for _ in range(random.randint(3, 8)))
