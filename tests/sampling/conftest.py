import pytest

from ..tiny import tiny_showo


@pytest.fixture(scope="module")
def model():
    return tiny_showo()


@pytest.fixture(scope="module")
def precise_model():
    """In double precision no rounding can tip one of thousands of comparisons."""
    return tiny_showo().double()
