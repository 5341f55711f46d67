import pytest

from showo_turbo.evaluation import ImageScore, ScoreCache, TextScore, Variety

from .worlds import score, text_score


def refuse():
    pytest.fail("measured again")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ImageScore, score(guidance=1.5)),
        (TextScore, text_score()),
        (Variety, Variety("right scenes", 8, (1, 5), (0.25, 1.5))),
    ],
)
def test_what_was_measured_is_read(tmp_path, kind, value):
    assert ScoreCache(tmp_path).get(kind, {"model": "a"}, lambda: value) == value
    later = ScoreCache(tmp_path)
    assert later.get(kind, {"model": "a"}, refuse) == value
    assert later.seconds > 0, "the time of the first measurement"


def test_another_key_is_measured(tmp_path):
    cache = ScoreCache(tmp_path)
    cache.get(ImageScore, {"model": "a"}, lambda: score())
    other = score(steps=4)
    assert cache.get(ImageScore, {"model": "b"}, lambda: other) == other
    assert cache.get(ImageScore, {"model": "a"}, refuse) == score()


@pytest.mark.parametrize("damage", ["", "{}", '{"score": {"model": 1}, "seconds": 1}', "[]"])
def test_a_damaged_file_is_measured_again(tmp_path, damage):
    cache = ScoreCache(tmp_path)
    cache.get(ImageScore, {}, lambda: score())
    (file,) = tmp_path.iterdir()
    file.write_text(damage)
    assert cache.get(ImageScore, {}, lambda: score(steps=2)).steps == 2
    assert cache.get(ImageScore, {}, refuse).steps == 2
