from collections import Counter

import pytest

from showo_turbo.shapes.conversations import (
    DESCRIBE_QUESTION,
    color_turn,
    count_turn,
    presence_turn,
    to_llava,
)
from showo_turbo.shapes.documents import sample_document
from showo_turbo.shapes.prompts import CATEGORIES, satisfies
from showo_turbo.shapes.sampling import (
    CATEGORY_WEIGHTS,
    generator,
    sample_example,
    training_corpus,
)
from showo_turbo.shapes.scene import Scene, SceneObject
from showo_turbo.shapes.wording import dense_caption, describe

from ..support.scenes import sample_scene

COUNT = 1500

SCENE = Scene((SceneObject("square", "blue", 1, 1), SceneObject("circle", "orange", 0, 0)), "black")


def test_scenes_satisfy_their_prompts_and_categories_come_by_weight() -> None:
    categories: Counter[str] = Counter()
    for index in range(COUNT):
        example = sample_example(index)
        assert all(satisfies(example.scene, prompt) for prompt in example.prompts)
        assert len(set(example.captions)) == 3
        categories[example.prompts[0].category] += 1
    assert set(categories) == set(CATEGORIES)
    for category, weight in CATEGORY_WEIGHTS.items():
        expected = COUNT * weight / sum(CATEGORY_WEIGHTS.values())
        assert abs(categories[category] - expected) < 5 * expected**0.5


def test_counting_scenes_have_one_color() -> None:
    for index in range(COUNT):
        scene, prompt = sample_scene(index)
        if prompt.category == "counting":
            assert len({item.color for item in scene.objects}) == 1


def test_seed_split_and_index_each_change_the_scene() -> None:
    base = [sample_scene(index, 0)[0] for index in range(20)]
    assert base == [sample_scene(index, 0)[0] for index in range(20)]
    assert base != [sample_scene(index, 1)[0] for index in range(20)]
    assert base != [sample_scene(index, 0, split="val")[0] for index in range(20)]
    assert len(set(base)) > 15


def test_dense_texts() -> None:
    assert dense_caption(SCENE) == (
        "an orange circle at the top left and a blue square at the center on a black background"
    )
    assert describe(SCENE) == (
        "There are two shapes on a black background. An orange circle is at the top left. "
        "A blue square is at the center."
    )
    alike = Scene(tuple(SceneObject("cross", "red", row, 2) for row in range(3)), "white")
    assert dense_caption(alike) == "three red crosses on a white background"
    assert describe(alike).startswith("There are three shapes on a white background. A red cross")


def test_answers_are_right() -> None:
    assert count_turn(SCENE, "circle").answer == "There is one circle."
    assert count_turn(SCENE, "cross") == ("How many crosses are there?", "There are no crosses.")
    assert color_turn(SCENE, "square") == ("What color is the square?", "The square is blue.")
    assert presence_turn(SCENE, "orange", "circle") == (
        "Is there an orange circle?",
        "Yes, there is.",
    )
    assert presence_turn(SCENE, "blue", "circle").answer == "No, there is not."


def test_conversations_describe_once_and_open_both_ways() -> None:
    firsts: Counter[bool] = Counter()
    answers: Counter[str] = Counter()
    for index in range(COUNT):
        example = sample_example(index)
        turns = example.conversation
        assert 2 <= len(turns) <= 3
        assert len({turn.question for turn in turns}) == len(turns)
        descriptions = [turn for turn in turns if turn.question == DESCRIBE_QUESTION]
        assert [turn.answer for turn in descriptions] == [describe(example.scene)]
        firsts[turns[0].question == DESCRIBE_QUESTION] += 1
        answers.update(turn.answer for turn in turns if turn.question.startswith("Is there"))
    assert 0.4 < firsts[True] / COUNT < 0.6
    assert 0.4 < answers["Yes, there is."] / answers.total() < 0.6


def test_the_first_human_message_holds_the_image() -> None:
    messages = to_llava((count_turn(SCENE, "circle"), color_turn(SCENE, "square")))
    assert messages == [
        {"from": "human", "value": "<image>\nHow many circles are there?"},
        {"from": "gpt", "value": "There is one circle."},
        {"from": "human", "value": "What color is the square?"},
        {"from": "gpt", "value": "The square is blue."},
    ]


def test_documents_are_varied_english_without_slots() -> None:
    documents = [sample_document(generator(0, "documents", index)) for index in range(500)]
    sentences = [sentence for text in documents for sentence in text.rstrip(".").split(". ")]
    assert len(set(sentences)) > 1000
    for text in documents:
        assert 3 <= text.count(".") <= 8
        assert text.endswith(".")
        assert not set("{}") & set(text)
    assert all(sentence[0].isupper() for sentence in sentences)


@pytest.mark.parametrize("count", [1, 5])
def test_the_corpus_holds_every_kind_of_text(count: int) -> None:
    texts = list(training_corpus(0, count))
    example = sample_example(count - 1)
    assert set(example.captions) <= set(texts)
    assert DESCRIBE_QUESTION in texts
    assert describe(example.scene) in texts
    assert sample_document(generator(0, "documents", count - 1)) in texts
    assert texts == list(training_corpus(0, 7))[: len(texts)]
