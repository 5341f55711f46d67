import pytest

from showo_turbo.models.showo import Showo

from ..tiny import tiny_showo


@pytest.fixture(scope="module")
def model():
    return tiny_showo()


@pytest.fixture(scope="module")
def precise_model():
    """In double precision no rounding can tip one of thousands of comparisons."""
    return tiny_showo().double()


@pytest.fixture(scope="module")
def trained():
    """The base model that ships with the package."""
    return Showo.from_pretrained("shapes").float().eval()
