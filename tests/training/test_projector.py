"""A model that reads codes learns to read features: its projector first, then all weights."""

import json
from functools import partial

import pytest
import torch
from PIL import Image

from showo_turbo.cli.export import export
from showo_turbo.data import InstructionFiles, PretrainBatchSizes, PretrainDataModule
from showo_turbo.errors import UserError
from showo_turbo.models.registry import load_model
from showo_turbo.models.showo import ShowoSizes
from showo_turbo.models.showo.sequences import IGNORE
from showo_turbo.shapes import ShapesWorld
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.training.pretrain_showo import PretrainShowo

from ..callbacks.runs import make_trainer
from ..continuous import FOLDER, feature_showo, golden_meta, golden_training_cases, write_tiny_clip

TEXT_ALONE = PretrainBatchSizes(image=0, text=2, language=0)
FEATURES = {"vision_tokens": 16, "vision_width": 8, "system_prompt": "a red"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A vision encoder of 16 features of images of 20 pixels; those that are drawn have 24."""
    return write_tiny_clip(tmp_path_factory.mktemp("clip") / "clip")


def module(model, encoder=None, kind="clip", **options):
    torch.manual_seed(0)
    sizes = None
    if encoder is not None:
        sizes = ShowoSizes(image_input=kind, vision_encoder=str(encoder), **FEATURES)
    return PretrainShowo(
        sizes,
        initial_weights=str(model),
        text_tokenizer=str(model),
        optimizer=partial(torch.optim.AdamW, lr=1e-3),
        **options,
    )


def train(made, world, folder, batch_sizes=TEXT_ALONE, question_resolution=20):
    data = PretrainDataModule(
        24,
        batch_sizes,
        shapes=ShapesWorld(world, images=48, documents=16, validation_images=8),
        question_resolution=question_resolution,
    )
    trainer = make_trainer(folder, max_steps=2)
    trainer.fit(made, data)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


def test_both_steps(random_shapes_model, encoder, world, tmp_path):
    before = load_model(random_shapes_model).state_dict()
    first = module(random_shapes_model, encoder, trained="projector", as_captions=True)
    checkpoint = train(first, world, tmp_path / "first")
    torch.manual_seed(0)
    untrained = module(random_shapes_model, encoder)
    untrained.configure_model()
    for key, value in first.model.state_dict().items():
        if key in before:
            assert torch.equal(value, before[key]), key
    for name, parameter in first.model.mm_projector.named_parameters():
        assert not torch.equal(parameter, untrained.model.mm_projector.get_parameter(name)), name
    export(checkpoint, tmp_path / "model")
    # The second step begins with what the first has written, vision encoder and all.
    second = module(tmp_path / "model")
    sizes = PretrainBatchSizes(image=2, text=2, language=1)
    train(second, world, tmp_path / "second", sizes)
    reads = second.model.image_input
    assert (reads.kind, reads.tokens, reads.width) == ("clip", 16, 8)
    assert second.model.config.system_prompt == "a red"
    assert second.vision_encoder_id == str(tmp_path / "model/vision_encoder")
    for key, value in first.model.state_dict().items():
        if value.ndim > 1:
            assert not torch.equal(second.model.state_dict()[key], value), key


def test_latents_of_the_image_tokenizer(random_shapes_model, world, tmp_path):
    made = module(random_shapes_model, "nowhere", kind="latents", trained="projector")
    train(made, world, tmp_path, question_resolution=None)
    assert made.model.image_input.width == 9 and made.vision_encoder is None
    trained = {name for name, p in made.named_parameters() if p.requires_grad}
    assert trained == {
        f"model.mm_projector.{i}.{part}" for i in (0, 2) for part in ("weight", "bias")
    }


@pytest.fixture(scope="module")
def bytewise():
    """A tokenizer of bytes, and a model that reads features for it."""
    tokenizer = TextTokenizer.from_file(FOLDER / "tokenizer_bytes.json")
    meta = golden_meta()["cases"]["instruct_train"]
    model = feature_showo(
        text_vocabulary_size=meta["pad_id"],
        eos_id=meta["eot_id"],
        system_prompt=meta["system_prompt"],
    )
    assert tokenizer.size == model.vocabulary.pad_id == meta["pad_id"]
    return model, tokenizer


def conversations(folder, case):
    """What is read of the recorded conversations, written as LLaVA's file."""
    Image.new("RGB", (20, 20)).save(folder / "a.png")
    records = [
        {"id": str(row), "image": "a.png", "conversations": turns}
        for row, turns in enumerate(golden_meta()["cases"][case]["conversations"])
    ]
    (folder / "asked.json").write_text(json.dumps(records))
    stream = InstructionFiles(folder, folder / "asked.json").open(20)
    return [stream[index] for index in range(len(stream))]


def behind_the_image(model, prompt, answer):
    """Ids and labels behind `eoi`."""
    sequences = model.understanding(torch.zeros(1, 16, 8), [prompt], [answer])
    first = 1 + prompt.index(model.vocabulary.eoi_id) + 1 + 16
    assert (sequences.labels[0, :first] == IGNORE).all()
    return sequences.input_ids[0, first:], sequences.labels[0, first:]


def test_golden_instructions(bytewise, tmp_path):
    """Each turn is a sample of its own; together they learn what the whole conversation does."""
    model, tokenizer = bytewise
    golden = golden_training_cases()
    learned = torch.full_like(golden["instruct_train.labels"], IGNORE)
    turns = conversations(tmp_path, "instruct_train")
    assert len(turns) == 3
    for turn in turns:
        row = int(turn["id"])
        prompt = model.encode_question(tokenizer, turn["question"])
        system = golden["instruct_train.system_ids"][row].tolist()
        assert prompt[: len(system)] == system
        answer = model.encode_answer(tokenizer, turn["answer"])
        ids, labels = behind_the_image(model, prompt, answer)
        assert torch.equal(ids, golden["instruct_train.input_ids"][row, : len(ids)])
        own = labels != IGNORE
        assert (learned[row, : len(ids)][own] == IGNORE).all(), "nothing is learned twice"
        learned[row, : len(ids)][own] = labels[own]
    assert torch.equal(learned, golden["instruct_train.labels"])


def test_golden_captions(bytewise, tmp_path):
    model, tokenizer = bytewise
    golden = golden_training_cases()
    for row, turn in enumerate(conversations(tmp_path, "caption_train")):
        prompt, caption = model.encode_caption(tokenizer, turn["answer"])
        ids, labels = behind_the_image(model, prompt, caption)
        assert torch.equal(ids, golden["caption_train.input_ids"][row, : len(ids)])
        expected = golden["caption_train.labels"][row]
        assert torch.equal(labels, expected[: len(labels)])
        assert (expected[len(labels) :] == IGNORE).all()


@pytest.mark.bad_input
class TestBadInput:
    def test_a_projector_that_is_not_there(self, random_shapes_model):
        made = module(random_shapes_model, trained="projector")
        with pytest.raises(UserError, match="reads images as codes and has none"):
            made.configure_model()

    def test_streams_that_the_projector_has_no_part_in(
        self, random_shapes_model, encoder, world, tmp_path
    ):
        made = module(random_shapes_model, encoder, trained="projector")
        with pytest.raises(UserError, match="a batch size for image and language, where the proj"):
            train(made, world, tmp_path, PretrainBatchSizes(image=1, text=1, language=1))

    def test_images_of_another_size_than_the_encoder_takes(
        self, random_shapes_model, encoder, world, tmp_path
    ):
        made = module(random_shapes_model, encoder)
        message = r"question_resolution 24, .* 20 pixels a side; set question_resolution to 20"
        with pytest.raises(UserError, match=message):
            train(made, world, tmp_path, question_resolution=None)

    def test_a_model_that_reads_other_features(self, encoder, tmp_path):
        model = feature_showo(
            text_vocabulary_size=640, codebook_size=512, image_tokens=36, eos_id=0
        )
        model.save_pretrained(tmp_path)
        made = module("shapes", "nowhere", kind="latents")
        made.initial_weights = str(tmp_path)
        with pytest.raises(UserError, match="'latents', but the model reads images as 'clip'"):
            made.configure_model()

    def test_an_encoder_of_another_width(self, random_shapes_model, tmp_path):
        wider = write_tiny_clip(tmp_path / "clip", hidden_size=12)
        made = module(random_shapes_model, wider)
        with pytest.raises(UserError, match="have width 12, those of the model's images 8"):
            made.configure_model()

    def test_an_unknown_part(self, random_shapes_model):
        with pytest.raises(UserError, match="trained is 'head'"):
            module(random_shapes_model, trained="head")
