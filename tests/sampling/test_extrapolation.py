import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.sampling.extrapolation import extrapolate_codes
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.windows import plan_growth
from showo_turbo.utils.random import stateless_seed

from .. import golden_drawing as golden
from .. import naive

CRASHED = ("down4", "left_up4")
"""Cases that the published code did not finish: it joins `down` to the wrong part, and a grid that
has grown sideways does not grow upwards. Their windows were recorded up to there."""


def extrapolate(name):
    options = golden.meta()["cases"][f"extrapolate.{name}"]
    codes = golden.cases()["photo.codes"].repeat(options["batch"], 1)
    growth = plan_growth(golden.SIDE, options["directions"], options["offset"])
    prompts = [golden.ids_of(prompt) for prompt in options["prompts"]]
    return growth, extrapolate_codes(
        golden.showo(),
        [prompts] * options["batch"],
        codes,
        [growth] * options["batch"],
        golden.sampling_of(options),
    )


@pytest.mark.parametrize("name", golden.names("extrapolate"))
def test_golden_grids(name, monkeypatch):
    options, cases = golden.meta()["cases"][f"extrapolate.{name}"], golden.cases()
    if not options["greedy"]:
        golden.replay(monkeypatch, f"extrapolate.{name}.0")
    growth, grids = extrapolate(name)
    assert (options["error"] is not None) == (name in CRASHED)
    if name not in CRASHED:
        assert torch.equal(torch.stack(grids), cases[f"extrapolate.{name}.codes"])
    recorded = [key for key in cases if key.startswith(f"extrapolate.{name}.")]
    recorded = sorted(key for key in recorded if key.endswith(".final_codes"))
    assert recorded
    for window, key in zip(growth.windows, recorded, strict=False):
        squares = [growth.square(grid, window.row, window.column).flatten() for grid in grids]
        assert torch.equal(torch.stack(squares), cases[key])


def test_golden_down_keeps_the_last_rows():
    """Where the published code crashed, the grid is the image with its new rows under it."""
    _, (grid,) = extrapolate("down4")
    cases = golden.cases()
    assert grid.shape == (12, 8)
    assert torch.equal(grid[:8].flatten(), cases["photo.codes"][0])
    assert torch.equal(grid[4:].flatten(), cases["extrapolate.down4.0.final_codes"][0])


@settings(max_examples=15)
@given(
    ways=st.lists(
        st.lists(st.sampled_from(["left", "right", "up", "down"]), min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    ),
    offset=st.sampled_from([-1, 0, 1]),
    guidance=st.sampled_from([0.0, 2.0]),
    temperature=st.sampled_from([0.0, 1.0]),
    negative=st.sampled_from([[], [4, 5]]),
    seed=st.integers(0, 2**32),
)
def test_every_window_as_naive(precise_model, ways, offset, guidance, temperature, negative, seed):
    """Images that grow in different ways share a batch; their own codes stay as they are."""
    model, batch = precise_model, len(ways)
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(24, (batch, 16), generator=generator)
    prompts = [[[7 + place, turn] for turn in range(len(way))] for place, way in enumerate(ways)]
    growths = [plan_growth(4, way, offset) for way in ways]
    seeds = [seed + place for place in range(batch)]
    options = {"token_temperature": temperature, "confidence_temperature": temperature}
    sampling = ImageSampling(3, guidance, **options)
    grids = extrapolate_codes(model, prompts, codes, growths, sampling, seeds, [negative] * batch)
    for place, growth in enumerate(growths):
        expected = torch.full((growth.rows, growth.columns), model.mask_code)
        own = codes[place].reshape(4, 4)
        expected[growth.row : growth.row + 4, growth.column : growth.column + 4] = own
        for turn, window in enumerate(growth.windows):
            rows, columns = (slice(first, first + 4) for first in (window.row, window.column))
            known = expected[rows, columns]
            *_, drawn = naive.decode_image(
                model,
                prompts[place][window.direction],
                steps=3,
                guidance_scale=guidance,
                known=known.flatten().tolist(),
                negative=negative,
                seed=stateless_seed(seeds[place], turn, stream="window"),
                **options,
            )
            drawn = torch.tensor(drawn).reshape(4, 4)
            assert torch.equal(drawn[known != model.mask_code], known[known != model.mask_code])
            expected[rows, columns] = drawn
        assert torch.equal(grids[place], expected)
        assert (grids[place] < 24).all()


def test_seeds_make_the_difference(model):
    codes = torch.zeros(3, 16, dtype=torch.long)
    growths = [plan_growth(4, ["right"])] * 3
    sampling = ImageSampling(4, token_temperature=1.0)
    first, second, third = extrapolate_codes(
        model, [[[1]]] * 3, codes, growths, sampling, [5, 6, 5]
    )
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
