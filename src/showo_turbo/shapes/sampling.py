"""Draws training scenes with their captions and conversations, each from its own generator."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from .combinations import combinations_of, shows_held_out
from .conversations import Turn, sample_conversation
from .documents import sample_document
from .prompts import CATEGORIES, Prompt, satisfies
from .scene import BACKGROUNDS, CELLS, COLORS, Scene, SceneObject
from .splits import training_wordings
from .wording import dense_caption

CATEGORY_WEIGHTS = {
    "single_object": 1,
    "two_object": 2,
    "counting": 3,
    "colors": 2,
    "position": 4,
    "color_attribution": 6,
}
"""How often scenes are made for each category, in proportion: the more there is to learn."""

_seen = cache(combinations_of)


@dataclass(frozen=True)
class Example:
    """A training scene with all texts about it.

    Args:
        scene: What the image holds.
        prompts: Two different wordings of the combination that the scene was made for.
        dense_caption: A caption with every color and cell.
        conversation: Questions and answers; one of them is the dense description.
    """

    scene: Scene
    prompts: tuple[Prompt, Prompt]
    dense_caption: str
    conversation: tuple[Turn, ...]

    @property
    def captions(self) -> tuple[str, str, str]:
        """The three captions of the image."""
        return self.prompts[0].text, self.prompts[1].text, self.dense_caption


def generator(seed: int, stream: str, index: int) -> Random:
    """The random generator of one item.

    Its state depends on nothing but the three arguments, so a world with more items extends one
    with fewer. Seeding from a string goes through SHA-512 and is the same on every machine.
    """
    return Random(f"shapes/{seed}/{stream}/{index}")


def sample_example(index: int, seed: int = 0, *, split: str = "train") -> Example:
    """Draw a scene with its captions and its conversation.

    The category is drawn by `CATEGORY_WEIGHTS`, then a seen combination of it, then a scene that
    satisfies it and shows nothing that is held out.
    """
    random = generator(seed, split, index)
    (category,) = random.choices(CATEGORIES, [CATEGORY_WEIGHTS[name] for name in CATEGORIES])
    combination = random.choice(_seen(category))
    core = combination.cores[0]
    prompt = Prompt(core.text, category, core.requirements, core.relation)
    scene = draw_scene(prompt, random)
    first, second = random.sample(training_wordings(combination, scene.background), 2)
    return Example(scene, (first, second), dense_caption(scene), sample_conversation(scene, random))


def draw_scene(prompt: Prompt, random: Random) -> Scene:
    """Draw a scene that satisfies a prompt and shows no combination that is held out."""
    while True:
        objects = []
        total = sum(requirement.count for requirement in prompt.requirements)
        cells = iter(random.sample(CELLS, total))
        for requirement in prompt.requirements:
            color = requirement.color or random.choice(COLORS)
            for _ in range(requirement.count):
                objects.append(SceneObject(requirement.shape, color, *next(cells)))
        scene = Scene(tuple(objects), prompt.background or random.choice(BACKGROUNDS))
        if satisfies(scene, prompt) and not shows_held_out(scene):
            return scene


def training_corpus(seed: int = 0, count: int = 4000) -> Iterator[str]:
    """All texts of the first `count` images and documents, for training a text tokenizer."""
    for index in range(count):
        example = sample_example(index, seed)
        yield from example.captions
        for turn in example.conversation:
            yield turn.question
            yield turn.answer
        yield sample_document(generator(seed, "documents", index))
