import copy
import json
import pickle

from showo_turbo.models.questions import FollowUp, history_of

TURNS = (("What is it?", "A circle."),)


def test_it_is_the_question_wherever_a_text_is_wanted():
    question = FollowUp("What color?", TURNS)
    assert f"{question}" == "What color?" and json.dumps([question]) == '["What color?"]'
    assert history_of(question) == TURNS
    assert history_of("What color?") == ()


def test_it_differs_from_the_same_question_after_other_turns():
    question = FollowUp("What color?", TURNS)
    others = [
        "What color?",
        FollowUp("What color?", ()),
        FollowUp("What size?", TURNS),
        FollowUp("What color?", [("What is it?", "A star.")]),
    ]
    assert len({question, *others}) == 5
    assert question not in others and all(question != other for other in others)
    assert question == FollowUp("What color?", [list(turn) for turn in TURNS])


def test_copies_keep_the_turns():
    question = FollowUp("What color?", TURNS)
    for copied in (copy.deepcopy(question), pickle.loads(pickle.dumps(question))):
        assert copied == question and history_of(copied) == TURNS
