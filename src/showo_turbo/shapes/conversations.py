"""Questions and answers about a scene, and their LLaVA form."""

from random import Random
from typing import NamedTuple

from .scene import COLORS, SHAPES, Scene
from .wording import NUMBER_WORDS, describe, plural, with_article

DESCRIBE_QUESTION = "Describe the image in detail."

IMAGE_MARK = "<image>"
"""Where LLaVA's text stands for the image; it opens the first human turn."""


class Turn(NamedTuple):
    """One question and its answer."""

    question: str
    answer: str


def count_turn(scene: Scene, shape: str) -> Turn:
    """How many objects of a shape there are."""
    count = sum(item.shape == shape for item in scene.objects)
    noun = shape if count == 1 else plural(shape)
    verb = "is" if count == 1 else "are"
    return Turn(
        f"How many {plural(shape)} are there?", f"There {verb} {NUMBER_WORDS[count]} {noun}."
    )


def color_turn(scene: Scene, shape: str) -> Turn:
    """What color the only object of a shape has."""
    (item,) = (item for item in scene.objects if item.shape == shape)
    return Turn(f"What color is the {shape}?", f"The {shape} is {item.color}.")


def presence_turn(scene: Scene, color: str, shape: str) -> Turn:
    """Whether there is an object of a color and shape."""
    present = any((item.color, item.shape) == (color, shape) for item in scene.objects)
    question = f"Is there {with_article(f'{color} {shape}')}?"
    return Turn(question, "Yes, there is." if present else "No, there is not.")


def _sample_question(scene: Scene, random: Random) -> Turn:
    present = [item.shape for item in scene.objects]
    unique = [shape for shape in SHAPES if present.count(shape) == 1]
    kind = random.choice(("count", "color", "presence") if unique else ("count", "presence"))
    if kind == "color":
        return color_turn(scene, random.choice(unique))
    if kind == "count":
        # Half of the questions are about a shape that is there, or "no" would be most answers.
        return count_turn(scene, random.choice(SHAPES if random.random() < 0.5 else present))
    item = random.choice(scene.objects)
    if random.random() < 0.5:
        return presence_turn(scene, item.color, item.shape)
    if random.random() < 0.5:
        return presence_turn(scene, random.choice(COLORS), item.shape)
    return presence_turn(scene, random.choice(COLORS), random.choice(SHAPES))


def sample_conversation(scene: Scene, random: Random) -> tuple[Turn, ...]:
    """Draw a conversation: the dense description and one or two different short questions.

    The description comes first in half of the conversations and second in the others, so that
    both kinds of questions open a conversation.
    """
    questions: list[Turn] = []
    wanted = random.randint(1, 2)
    while len(questions) < wanted:
        turn = _sample_question(scene, random)
        if turn not in questions:
            questions.append(turn)
    description = Turn(DESCRIBE_QUESTION, describe(scene))
    questions.insert(random.randint(0, 1), description)
    return tuple(questions)


def to_llava(turns: tuple[Turn, ...]) -> list[dict[str, str]]:
    """The conversation as LLaVA's list of human and gpt messages."""
    messages = []
    for number, (question, answer) in enumerate(turns):
        value = f"{IMAGE_MARK}\n{question}" if number == 0 else question
        messages.append({"from": "human", "value": value})
        messages.append({"from": "gpt", "value": answer})
    return messages
