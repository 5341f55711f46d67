"""The pretraining losses of MMaDA, against sums over single tokens of single sequences."""

import shutil

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.inference.generation_config import noted_generation
from showo_turbo.models.checkpoints import resolve_folder
from showo_turbo.models.layout import Layout
from showo_turbo.models.mmada import MMaDASizes
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.training.masking import mask_texts
from showo_turbo.training.pretrain_mmada import PretrainMMaDA

from ..tiny_mmada import shapes_mmada

DECODING = TextDecoding("block_diffusion", max_new_tokens=12, block_size=4)
ANSWERS = ["two", "at the top left", "a red circle and " * 9]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmada") / "model"
    shapes_mmada().save_pretrained(folder)
    shutil.copy(resolve_folder("shapes", "showo") / "tokenizer.json", folder)
    module = PretrainMMaDA(
        initial_weights=str(folder),
        text_tokenizer=str(folder),
        decoding=DECODING,
        max_language_length=9,
    )
    module.configure_model()
    return module


def expected(made, befores, texts, seeds):
    """Each text alone, without padding: -log p of each masked token, over p L."""
    v, losses = made.model.vocabulary, []
    for before, text, seed in zip(befores, texts, seeds, strict=True):
        noised = mask_texts(torch.tensor([text]), v.mask_id, [seed])
        ids = torch.cat([torch.tensor([before]), noised.tokens], dim=1)
        logits = made.model(ids, Layout(torch.ones_like(ids)))[0, len(before) :, v.text_rows]
        total = 0.0
        for place, token in enumerate(text):
            if noised.tokens[0, place] == v.mask_id:
                total -= logits[place].log_softmax(-1)[token]
        losses.append(total / (noised.mask_probability[0] * len(text)))
    return torch.stack(losses).mean()


def test_answers(made):
    v, encode = made.model.vocabulary, made.text_tokenizer.encode
    pixels = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    stream = {
        "pixels": pixels,
        "question": ["how many?", "where is the blue square?", "what is it?"],
        "answer": ANSWERS,
        "seed": [3, 4, 6],
    }
    befores, texts = [], []
    for codes, question, answer in zip(
        made.image_tokenizer.encode(pixels), stream["question"], ANSWERS, strict=True
    ):
        image = [v.mmu_id, v.soi_id, *(codes + v.image_offset).tolist(), v.eoi_id]
        asked = made.model.encode_question(made.text_tokenizer, question)
        befores.append([*image, v.bos_id, *asked])
        filled = [*encode(answer), v.eot_id, *[v.eos_id] * 12]
        texts.append(filled[:12])  # the last one is longer, and cut
    assert v.eot_id not in texts[2]
    found = made._text_loss(stream)
    torch.testing.assert_close(found, expected(made, befores, texts, stream["seed"]))


def test_plain_texts(made):
    v, encode = made.model.vocabulary, made.text_tokenizer.encode
    stream = {
        "text": ["a star", "two blue squares on a white background", "one"],
        "seed": [1, 2, 5],
    }
    cut = [[*encode(text), v.eos_id][:8] for text in stream["text"]]
    longest = max(map(len, cut))
    texts = [[*text, *[v.eos_id] * (longest - len(text))] for text in cut]
    found = made._language_loss(stream)
    torch.testing.assert_close(found, expected(made, [[v.bos_id]] * 3, texts, stream["seed"]))


def test_a_checkpoint_notes_how_long_answers_are(made):
    checkpoint = {}
    made.on_save_checkpoint(checkpoint)
    assert noted_generation(checkpoint, "last.ckpt")[1] == DECODING


@pytest.mark.bad_input
@pytest.mark.parametrize("method", ["jacobi", "autoregressive"])
def test_another_method(method):
    with pytest.raises(UserError, match=f"method of decoding is '{method}', but MMaDA denoises"):
        PretrainMMaDA(decoding=TextDecoding(method))


@pytest.mark.bad_input
def test_too_few_positions_for_an_image():
    sizes = MMaDASizes(image_tokens=36, hidden_size=32, heads=2, max_position_embeddings=20)
    module = PretrainMMaDA(mmada=sizes)
    with pytest.raises(UserError, match=r"max_position_embeddings .*is 20; expected more than 40"):
        module.configure_model()
