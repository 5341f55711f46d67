"""Pretraining of Show-o on stories of texts and images in turn."""

import pytest
import torch
import torch.nn.functional as F

from showo_turbo.errors import UserError
from showo_turbo.training.masking import mask_codes
from showo_turbo.training.pretrain_mmada import PretrainMMaDA
from showo_turbo.training.pretrain_showo import PretrainShowo

from .. import naive_stories
from .test_pretrain_showo import module

TOO_LONG = "move the red circle up " * 60
TEXTS = ["move the red circle up", "The red circle moves up.", "The red circle turns blue."]


def stream(*stories):
    """A batch of stories of so many texts and images each."""
    generator = torch.Generator().manual_seed(0)
    pixels = [torch.rand(count, 3, 24, 24, generator=generator) * 2 - 1 for _, count in stories]
    return {
        "texts": [[*TEXTS, ""][:texts] for texts, _ in stories],
        "pixels": [list(own) for own in pixels],
        "seed": list(range(5, 5 + len(stories))),
        "id": [str(number) for number in range(len(stories))],
    }


def expected(made, batch, dropped=()):
    """Losses from one forward a story, over the whole vocabulary, without padding."""
    v, encode = made.model.vocabulary, made.text_tokenizer.encode
    images, texts = [], []
    for place, (own, pixels, seed) in enumerate(
        zip(batch["texts"], batch["pixels"], batch["seed"], strict=True)
    ):
        codes = made.image_tokenizer.encode(torch.stack(pixels))
        ids = [encode(text) for text in own]
        segments = list(zip(ids, codes.tolist(), strict=False))
        if len(own) > len(pixels):
            rows = naive_stories.logits(made.model, [*segments, (None, None)])
            row_ids = [*naive_stories.sequence(made.model, [*segments, (None, None)])[0], v.eot_id]
        else:
            masked = mask_codes(codes[-1:], v.mask_code, [seed])
            segments = [] if place in dropped else segments[:-1]
            text = [] if place in dropped else ids[-1]
            segments = [*segments, (text, masked[0].tolist())]
            row_ids, _ = naive_stories.sequence(made.model, segments)
            rows = naive_stories.logits(made.model, segments)
            hidden = masked[0] == v.mask_code
            scores = rows[-len(hidden) - 1 : -1, v.image_offset : v.mask_id][hidden]
            images += F.cross_entropy(scores, codes[-1][hidden], reduction="none")
        # By walking along: what is behind the first image and not an image's own is learned.
        inside = behind = False
        for at, token in enumerate(row_ids):
            if behind and not inside:
                texts.append(F.cross_entropy(rows[at - 1], torch.tensor(token)))
            inside = token == v.soi_id or (inside and token != v.eoi_id)
            behind = behind or token == v.eoi_id
    return images, texts


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_masked_images_and_texts_are_learned(random_shapes_model, dropout):
    """The second of two steps, the first image, and the end of a story."""
    made = module(random_shapes_model, caption_dropout=dropout, image_weight=0.5, text_weight=3.0)
    batch = stream((3, 3), (1, 1), (4, 3))
    images, texts = expected(made, batch, dropped=(0, 1) if dropout else ())
    loss = made.training_step({"story": batch}, 0)
    image, text = torch.stack(images).mean(), torch.stack(texts).mean()
    assert made.logged["train/story_image"] == pytest.approx(float(image), rel=1e-4)
    assert made.logged["train/story_text"] == pytest.approx(float(text), rel=1e-4)
    assert float(loss) == pytest.approx(float(0.5 * image + 3 * text), rel=1e-4)
    loss.backward()


def test_a_batch_may_lack_either(random_shapes_model):
    made = module(random_shapes_model, caption_dropout=0.0)
    assert set(made.losses_of("story", stream((1, 1)))) == {"story_image"}
    assert set(made.losses_of("story", stream((4, 3)))) == {"story_text"}


def test_a_story_that_is_too_long_is_left_out(random_shapes_model):
    """The others are learned as if it were not there, and it is counted."""
    made = module(random_shapes_model, caption_dropout=0.0)
    batch = stream((3, 3), (2, 2), (4, 3))
    without = {name: [values[0], values[2]] for name, values in batch.items()}
    expected = made.losses_of("story", without)
    assert "train/stories_left_out" not in made.logged
    batch["texts"][1][0] = TOO_LONG
    for count in (1, 2):
        found = made.losses_of("story", batch)
        assert made.logged["train/stories_left_out"] == count
    assert found.keys() == expected.keys() == {"story_image", "story_text"}
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.bad_input
class TestBadInput:
    def test_stories_that_are_too_long(self, random_shapes_model):
        made = module(random_shapes_model, caption_dropout=0.0)
        batch = stream((3, 3))
        batch["texts"][0][0] = TOO_LONG
        with pytest.raises(UserError, match=r"all 1 stories of a batch have more than 256 tokens"):
            made.training_step({"story": batch}, 0)

    def test_another_family(self):
        made = PretrainMMaDA.__new__(PretrainMMaDA)
        with pytest.raises(UserError, match="PretrainMMaDA is not trained on the stream story"):
            made.losses_of("story", {})

    def test_what_to_start_from(self):
        with pytest.raises(UserError, match="both initial_weights shapes and language_model phi"):
            PretrainShowo(initial_weights="shapes", language_model="phi")
        with pytest.raises(UserError, match="changed_sizes are given, but no initial_weights"):
            PretrainShowo(changed_sizes=object())
