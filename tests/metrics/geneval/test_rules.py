"""The rules on detections that are made up."""

import numpy as np
import pytest

from showo_turbo.metrics.geneval.detector import bounding_box
from showo_turbo.metrics.geneval.rules import FoundObject, judge, relations


def found(name, left=0, top=0, score=0.95, size=10):
    return FoundObject(name, score, (left, top, left + size, top + size))


def no_colors(objects):
    raise AssertionError("no color was asked for")


def prompt(tag, *include, exclude=()):
    return {"tag": tag, "include": list(include), "exclude": list(exclude)}


def group(name, count=1, **more):
    return {"class": name, "count": count, **more}


def test_single_object():
    wanted = prompt("single_object", group("dog"))
    assert judge([found("dog", score=0.31)], wanted, no_colors)
    assert not judge([found("dog", score=0.3)], wanted, no_colors)
    assert not judge([found("cat")], wanted, no_colors)
    assert judge([found("dog"), found("dog", 20), found("cat")], wanted, no_colors)


def test_two_objects():
    wanted = prompt("two_object", group("dog"), group("cat"))
    assert judge([found("cat"), found("dog")], wanted, no_colors)
    assert not judge([found("cat"), found("cat")], wanted, no_colors)


@pytest.mark.parametrize("count", range(1, 5))
def test_counting_is_exact_and_wants_sure_objects(count):
    wanted = prompt("counting", group("cup", 2), exclude=[group("cup", 3)])
    unsure = [found("cup", 90, score=0.89)] * 3
    assert judge([found("cup", 20 * i) for i in range(count)] + unsure, wanted, no_colors) == (
        count == 2
    )


def test_colors_are_those_of_the_surest():
    wanted = prompt("colors", group("car", 1, color="red"))
    cars = [found("car", 0, score=0.5), found("car", 20, score=0.9)]

    def name_colors(objects):
        return ["red" if entry.box[0] == 20 else "blue" for entry in objects]

    assert judge(cars, wanted, name_colors)
    assert not judge(cars[:1], wanted, name_colors)


def test_color_attribution():
    wanted = prompt("color_attr", group("car", color="red"), group("bus", color="blue"))
    objects = [found("car"), found("bus")]
    right = {"car": "red", "bus": "blue"}
    swapped = {"car": "blue", "bus": "red"}
    for colors, expected in ((right, True), (swapped, False)):
        assert judge(objects, wanted, lambda c, k=colors: [k[o.name] for o in c]) == expected


@pytest.mark.parametrize("place", ["left of", "right of", "above", "below"])
def test_position(place):
    wanted = prompt("position", group("dog"), group("cat", position=[place, 0]))
    cats = {"left of": (0, 50), "right of": (100, 50), "above": (50, 0), "below": (50, 100)}
    for name, (left, top) in cats.items():
        objects = [found("dog", 50, 50), found("cat", left, top)]
        assert judge(objects, wanted, no_colors) == (name == place)
    assert not judge([found("cat", *cats[place])], wanted, no_colors), "there is no dog"


def test_relations():
    middle = found("dog", 50, 50)
    assert relations(found("cat", 0, 0), middle) == {"left of", "above"}
    assert relations(found("cat", 51, 51), middle) == set(), "centers within a fifth of the size"
    assert relations(found("cat", 52.5, 50), middle) == set(), "hardly beyond, for its distance"
    assert relations(found("cat", 60, 50), middle) == {"right of"}


def test_a_box_of_a_mask():
    mask = np.zeros((8, 9), dtype=bool)
    mask[2:4, 3:7] = True
    assert bounding_box(mask) == (3, 2, 7, 4)
