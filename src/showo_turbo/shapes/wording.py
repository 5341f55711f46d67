"""English for counts, objects and scenes of the shapes world."""

from .scene import Scene, SceneObject

NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def plural(shape: str) -> str:
    """The plural of a shape's name."""
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"


def with_article(noun: str) -> str:
    """A noun phrase with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def capitalize(sentence: str) -> str:
    """The sentence with its first letter in upper case and the rest untouched."""
    return sentence[:1].upper() + sentence[1:]


def object_phrase(item: SceneObject) -> str:
    """An object with its color, such as "an orange circle"."""
    return with_article(f"{item.color} {item.shape}")


def dense_caption(scene: Scene) -> str:
    """A caption that names every object.

    Each object comes with its color and its cell. Several objects that are all alike (a counting
    scene) are counted instead, which keeps the caption short.
    """
    kinds = {(item.shape, item.color) for item in scene.objects}
    if len(kinds) == 1 and len(scene.objects) > 1:
        shape, color = next(iter(kinds))
        subject = f"{NUMBER_WORDS[len(scene.objects)]} {color} {plural(shape)}"
    else:
        subject = " and ".join(
            f"{object_phrase(item)} at the {item.cell_name}" for item in scene.objects
        )
    return f"{subject} on a {scene.background} background"


def describe(scene: Scene) -> str:
    """A dense description, sentence by sentence in reading order.

    It is a function of the scene alone, so that a model's answer can be compared word for word.
    """
    count = len(scene.objects)
    number = NUMBER_WORDS[count]
    opening = f"There is {number} shape" if count == 1 else f"There are {number} shapes"
    sentences = [f"{opening} on a {scene.background} background."]
    for item in scene.objects:
        sentences.append(f"{capitalize(object_phrase(item))} is at the {item.cell_name}.")
    return " ".join(sentences)
