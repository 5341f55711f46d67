import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.autoregressive import TextResult
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.stories import tell_stories
from showo_turbo.sampling.text_decoding import TextDecoding

from .. import naive_stories
from ..tiny import tiny_showo

REQUESTS = [[3], [7, 8, 9, 10], [5, 1], [20, 21, 22]]
STEPS, ROOM = 3, 5


def images(count):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 24, (count, 16), generator=generator).tolist()


def prompts_of(model, given):
    if not given:
        return [model.story_prompt([request], []) for request in REQUESTS]
    pairs = zip(REQUESTS, images(len(REQUESTS)), strict=True)
    return [model.story_prompt([request], [image]) for request, image in pairs]


@pytest.fixture(scope="module")
def teller():
    """In double precision; its texts and its stories are of all lengths."""
    model = tiny_showo(10).double()
    with torch.no_grad():
        model.showo.lm_head.bias[model.eot_id] += 2
    return model


@pytest.fixture(scope="module")
def expected(teller):
    """By the naive twin: for given images or none, and with or without guidance."""
    found = {}
    for given, guidance in ((True, 1.5), (False, 0.0)):
        pictures = images(len(REQUESTS)) if given else [None] * len(REQUESTS)
        found[given] = (
            guidance,
            [
                naive_stories.tell(
                    teller,
                    [segment],
                    steps=2,
                    guidance_scale=guidance,
                    max_new_tokens=ROOM,
                    max_steps=STEPS,
                )
                for segment in zip(REQUESTS, pictures, strict=True)
            ],
        )
    return found


def plain(told):
    return told.texts, [image.tolist() for image in told.images], told.finished


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("method", ["autoregressive", "jacobi"])
def test_stories_are_those_of_whole_sequences(teller, expected, method, given):
    """Together, where they end at different times, and alone."""
    guidance, wanted = expected[given]
    decoding = TextDecoding(method=method, max_new_tokens=ROOM, block_size=4)
    sampling, prompts = ImageSampling(2, guidance), prompts_of(teller, given)
    together = tell_stories(teller, prompts, sampling, decoding, max_steps=STEPS)
    assert [plain(told) for told in together] == wanted
    lengths = {len(told.texts) for told in together}
    assert len(lengths) > 1 and any(told.finished for told in together), "some end before others"
    (alone,) = tell_stories(teller, prompts[1:2], sampling, decoding, max_steps=STEPS)
    assert plain(alone) == wanted[1]


class Scripted(TextDecoding):
    """Feeds a token for each of a text, and gives the next text of a script in place of its own."""

    def decode(self, model, images, prompts, seeds, prefix=None):
        text = SCRIPT.pop(0)
        for token in text:
            prefix.logits([[]] * len(prompts))
            prefix.keep([[token]] * len(prompts))
        return [TextResult(text, len(text), text[-1:] == [29]) for _ in prompts]


SCRIPT = []


def test_each_token_is_computed_as_often_as_it_must(monkeypatch):
    """A text while it is written and once when it is kept, an image once a step and once more."""
    model, fed = tiny_showo(), []
    append = type(model).append

    def counting(self, input_ids, cache, **options):
        fed.append(tuple(input_ids.shape))
        return append(self, input_ids, cache, **options)

    monkeypatch.setattr(type(model), "append", counting)
    story = model.story_prompt([[1, 2]], images(1))
    SCRIPT[:] = [[4, 5, 29], [29]]
    (told,) = tell_stories(model, [story], ImageSampling(2), Scripted(max_new_tokens=4))
    assert told.texts == [[4, 5]] and len(told.images) == 1 and told.finished
    text, image = [(1, 1)] * 3 + [(1, 4)], [(1, 18)] * 3
    assert fed == [(1, 5 + 18), *text, *image, (1, 1)]
    assert (told.text_forwards, told.image_forwards) == (3 + 1 + 1, 2 + 1)


def test_a_text_that_does_not_end_is_not_told():
    model = tiny_showo()
    SCRIPT[:] = [[4, 5, 6]]
    prompt = model.story_prompt([[1, 2]], images(1))
    (told,) = tell_stories(model, [prompt], ImageSampling(2), Scripted(max_new_tokens=3))
    assert (told.texts, told.images, told.finished) == ([], [], False)


@pytest.mark.parametrize(("positions", "steps"), [(47, 1), (68, 1), (69, 2), (90, 2), (91, 3)])
def test_a_story_stops_where_there_is_no_room(positions, steps):
    """The request and its image take 22 tokens, a step 22 and at most 25."""
    model = tiny_showo(max_position_embeddings=positions)
    prompt = model.story_prompt([[3]], images(1))
    SCRIPT[:] = [[4, 5, 29]] * 4
    (told,) = tell_stories(model, [prompt], ImageSampling(2), Scripted(max_new_tokens=5))
    assert len(told.texts) == len(told.images) == steps
    assert not told.finished


def test_a_story_depends_on_its_own_seed(model):
    sampling = ImageSampling(3, token_temperature=1.0)
    decoding = TextDecoding(method="autoregressive", temperature=1.5, max_new_tokens=ROOM)
    prompts = prompts_of(model, False)
    seeds = [5, 6, 7, 8]
    together = tell_stories(model, prompts, sampling, decoding, max_steps=2, seeds=seeds)
    for place in (0, 3):
        (alone,) = tell_stories(
            model,
            prompts[place : place + 1],
            sampling,
            decoding,
            max_steps=2,
            seeds=seeds[place : place + 1],
        )
        assert plain(alone) == plain(together[place])
    others = tell_stories(model, prompts, sampling, decoding, max_steps=2, seeds=[9, 10, 11, 12])
    assert [plain(told) for told in others] != [plain(told) for told in together]


@pytest.mark.bad_input
class TestBadInput:
    def test_no_room_at_all(self):
        model = tiny_showo(max_position_embeddings=40)
        prompt = model.story_prompt([[3] * 4], images(1))
        decoding = TextDecoding(max_new_tokens=20)
        with pytest.raises(UserError, match="a step of a story may take 40 tokens, but this model"):
            tell_stories(model, [prompt], ImageSampling(2), decoding)

    @pytest.mark.parametrize(("positions", "fits"), [(46, False), (47, True)])
    def test_room_for_the_first_image_too(self, positions, fits):
        """The request takes 4 tokens, its image 18, a step at most 25."""
        model = tiny_showo(max_position_embeddings=positions)
        prompt = model.story_prompt([[3]], [])
        SCRIPT[:] = [[4, 5, 29]]
        options = (ImageSampling(2), Scripted(max_new_tokens=5))
        if fits:
            (told,) = tell_stories(model, [prompt], *options)
            assert (len(told.texts), len(told.images)) == (1, 2)
            return
        message = "the first image and a step of a story may take 43 tokens, .* room for 42"
        with pytest.raises(UserError, match=message):
            tell_stories(model, [prompt], *options)

    def test_options(self, model):
        prompt = model.story_prompt([[3]], images(1))
        decoding = TextDecoding(max_new_tokens=20)
        with pytest.raises(UserError, match="max_steps is 0"):
            tell_stories(model, [prompt], ImageSampling(2), decoding, max_steps=0)
        with pytest.raises(UserError, match="there are no stories"):
            tell_stories(model, [], ImageSampling(2), decoding)
        with pytest.raises(UserError, match="sampling_steps is 17"):
            tell_stories(model, [prompt], ImageSampling(17), decoding)
