from showo_turbo.metrics.exact_match import ExactMatch


def test_white_space_at_the_ends_does_not_count():
    match = ExactMatch()
    match.update([" a circle", "two squares"], ["a circle\n", "three squares"])
    assert float(match.compute()) == 0.5
