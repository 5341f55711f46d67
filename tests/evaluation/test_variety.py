"""How different the images of a prompt are, against values computed by hand."""

import math

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.evaluation import Checker, EvaluationPlan, Variety, measure_variety
from showo_turbo.evaluation import variety as variety_module
from showo_turbo.evaluation.variety import code_entropy, spread_over_categories, variety_seeds
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes import ShapesChecker
from showo_turbo.shapes.scene import Scene, SceneObject

from .worlds import KnownImages, metadata, shapes_bundle

NOISY = ImageSampling(sampling_steps=2, token_temperature=1.0)
RED = {"tag": "colors", "prompt": "a red circle", "include": [{"class": "circle", "color": "red"}]}
CROSS = {"tag": "single_object", "prompt": "a cross", "include": [{"class": "cross"}]}
PROMPTS = [RED, CROSS]


def scene(shape, color, row, column, background="white"):
    return Scene((SceneObject(shape, color, row, column),), background)


LEFT, RIGHT = scene("circle", "red", 0, 0), scene("circle", "red", 0, 2)
BLUE = scene("circle", "blue", 0, 1)
DARK = scene("circle", "red", 0, 0, "black")
SHOWN = [LEFT, BLUE, RIGHT, LEFT, *[BLUE] * 4]
"""Four images of `RED`, with two scenes in its three right ones, and none of `CROSS`."""


@pytest.fixture(scope="module")
def bundle():
    return shapes_bundle()


def known(bundle, scenes):
    return LoadedModel(bundle.network, KnownImages(scenes), bundle.text_tokenizer)


def drawn(monkeypatch, grids):
    """Have the prompts' images be these grids, one after the other."""
    rows = iter(grids)

    def decode(network, ids, sampling, seeds):
        assert len(ids) == len(seeds)
        return torch.tensor([next(rows) for _ in ids])

    monkeypatch.setattr(variety_module, "decode_image_codes", decode)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_distinct_right_scenes(bundle, batch_size):
    shown = known(bundle, SHOWN)
    options = {"images": 4, "batch_size": batch_size, "checker": ShapesChecker()}
    found = measure_variety(shown, PROMPTS, NOISY, count=2, **options)
    assert (found.counted, found.images, found.n) == ("right scenes", 4, 2)
    assert found.distinct == (2, 0)
    assert found.figures["distinct"][0] == 1.0
    assert found.distinct_share == 0.25


def test_the_background_is_part_of_a_scene(bundle):
    options = {"images": 3, "checker": ShapesChecker(), "count": 1}
    found = measure_variety(known(bundle, [LEFT, DARK, LEFT]), [RED], NOISY, **options)
    assert found.distinct == (2,)


def test_the_entropy_of_codes_by_hand():
    """Three and one of four; two and two; all the same: H(3/4, 1/4), ln 2 and 0."""
    codes = torch.tensor([[0, 7, 5], [0, 8, 5], [0, 7, 5], [1, 8, 5]])
    of_first = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert code_entropy(codes) == pytest.approx((of_first + math.log(2)) / 3, abs=1e-12)
    assert code_entropy(torch.arange(8)[:, None]) == pytest.approx(math.log(8), abs=1e-12)
    assert code_entropy(codes[:1]) == 0


def test_without_a_checker_all_code_grids_are_counted(bundle, monkeypatch):
    drawn(monkeypatch, [[1, 2], [1, 3], [1, 2], *[[4, 4]] * 3])
    found = measure_variety(bundle, PROMPTS, NOISY, count=2, images=3)
    assert found.counted == "code grids"
    assert found.distinct == (2, 1)
    of_first = (0 - (2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))) / 2
    assert found.code_entropy == pytest.approx((of_first, 0.0), abs=1e-12)
    assert found.figures["code_entropy"][0] == pytest.approx(of_first / 2, abs=1e-12)


class AllButFirst(Checker):
    """Somebody's checker that describes no image: of the first four only the first is wrong."""

    def __init__(self):
        self.seen = 0

    def can_judge(self, prompt):
        return True

    def judge(self, pixels, prompts):
        places = range(self.seen, self.seen + len(pixels))
        self.seen += len(pixels)
        return [place > 0 for place in places]


def test_a_checker_that_describes_nothing(bundle, monkeypatch):
    """The wrong image would be the third grid."""
    drawn(monkeypatch, [[9] * 36, [1] * 36, [2] * 36, [1] * 36])
    options = {"count": 1, "images": 4, "checker": AllButFirst()}
    found = measure_variety(bundle, [RED], NOISY, **options)
    assert (found.counted, found.distinct) == ("right code grids", (2,))


@pytest.mark.parametrize(
    "sampling",
    [
        ImageSampling(2),
        ImageSampling(2, confidence_temperature=3.0, shared_noise_seed=1),
    ],
)
def test_one_image_whatever_the_seed_is_drawn_once(bundle, sampling):
    shown = known(bundle, [LEFT, BLUE])
    progress = []
    options = {"count": 2, "checker": ShapesChecker(), "progress": progress.append}
    found = measure_variety(shown, PROMPTS, sampling, **options)
    assert shown.image_tokenizer.shown == sum(progress) == 2
    assert (found.images, found.distinct, found.code_entropy) == (8, (1, 0), (0.0, 0.0))
    assert found.distinct_share == 1 / 16, "one of eight, and none"


def test_seeds_are_those_of_the_prompt():
    """Whichever prompts are drawn."""
    seeds = [variety_seeds(3, index, 8) for index in range(4)]
    assert len({seed for of_it in seeds for seed in of_it}) == 32
    assert variety_seeds(3, 2, 4) == seeds[2][:4]
    assert variety_seeds(4, 2, 8) != seeds[2]


def test_prompts_are_spread_over_the_categories():
    tags = [{"tag": tag} for tag in "aaaabbcc"]
    assert spread_over_categories(tags, 4) == [0, 1, 4, 6]
    assert spread_over_categories(tags, 7) == [0, 1, 2, 4, 5, 6, 7]
    assert spread_over_categories(tags, 100) == [*range(8)]


def test_a_prompt_draws_the_same_whichever_others_are_drawn(monkeypatch):
    """In double precision, so that rounding tips no comparison."""
    bundle = shapes_bundle()
    bundle.network.double()
    decode, batches = variety_module.decode_image_codes, []

    def remember(network, ids, sampling, seeds):
        codes = decode(network, ids, sampling, seeds)
        batches.append(dict(zip(seeds, map(tuple, codes.tolist()), strict=True)))
        return codes

    monkeypatch.setattr(variety_module, "decode_image_codes", remember)
    few = measure_variety(bundle, metadata(1), NOISY, count=2, images=3, batch_size=4)
    more = measure_variety(bundle, metadata(1), NOISY, count=3, images=3, batch_size=9)
    of_few, of_more = batches[0] | batches[1], batches[2]
    assert (len(of_few), len(of_more)) == (6, 9)
    assert of_few.items() <= of_more.items()
    assert len(set(of_more.values())) == 9, "every seed has its own image"
    assert few.distinct == more.distinct[:2] == (3, 3)


def test_a_variety_survives_the_report():
    before = Variety("code grids", 8, (3, 8, 5), (0.25, 1.5, 0.75))
    entry = before.to_dict()
    assert Variety.from_dict(entry) == before
    assert (entry["n"], entry["distinct"], entry["distinct_share"]) == (3, 5.3333, 0.6667)
    assert entry["code_entropy"] == 0.8333
    assert entry["distinct_ci95"][0] < 5.3333 < entry["distinct_ci95"][1]


@pytest.mark.bad_input
def test_bad_input(bundle):
    with pytest.raises(UserError, match="8 images of 0 prompts"):
        measure_variety(bundle, [], NOISY, count=3)
    for name, value, least in (("prompts", -1, 0), ("images", 1, 2)):
        expected = f"variety_{name} of the evaluation is {value}; it must be at least {least}"
        with pytest.raises(UserError, match=expected):
            EvaluationPlan(**{f"variety_{name}": value})
    with pytest.raises(UserError, match=r"variety_images is 2.5"):
        EvaluationPlan(variety_images=2.5)
