import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer

from showo_turbo.data import PretrainDataModule, PromptFiles
from showo_turbo.errors import UserError
from showo_turbo.evaluation.images import prompt_seed
from showo_turbo.evaluation.plan import STUDENT, EvaluationPlan, ModelPlan
from showo_turbo.models.prompts import encode_prompts
from showo_turbo.models.showo import ShowoSizes
from showo_turbo.models.showo.sequences import IGNORE, format_question
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import decode_image_codes
from showo_turbo.shapes import ShapesChecker, ShapesWorld
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.training.masking import mask_codes
from showo_turbo.training.pretrain_showo import PretrainShowo

from ..evaluation.worlds import Brightness
from ..tiny import tiny_magvitv2

CAPTIONS = ["a red circle", "two squares on a white background", "a star"]
TOO_LONG = "a red circle " * 20


def module(model, **options):
    torch.manual_seed(0)
    made = PretrainShowo(initial_weights=str(model), text_tokenizer=str(model), **options)
    made.configure_model()
    made.logged = {}
    made.log = lambda name, value, **_: made.logged.update({name: float(value)})
    made.log_dict = lambda values, **_: [made.log(*entry) for entry in values.items()]
    return made


def drawings(captions=CAPTIONS, seeds=None):
    generator = torch.Generator().manual_seed(0)
    return {
        "pixels": torch.rand(len(captions), 3, 24, 24, generator=generator) * 2 - 1,
        "caption": list(captions),
        "seed": list(seeds or range(1, len(captions) + 1)),
    }


def expected_image_loss(made, stream, captions):
    """From the logits of whole sequences and the labels of the prompting."""
    codes = made.image_tokenizer.encode(stream["pixels"])
    masked = mask_codes(codes, made.model.vocabulary.mask_code, stream["seed"])
    prompts = [made.text_tokenizer.encode(caption) for caption in captions]
    batch = made.model.sequences.text_to_image(prompts, masked, codes)
    logits = made.model(batch.input_ids, batch.layout.attention_mask, batch.layout.position_ids)
    vocabulary = made.model.vocabulary
    image = batch.labels[:, -codes.shape[1] - 1 : -1]
    rows = logits[:, -codes.shape[1] - 1 : -1, vocabulary.image_rows]
    labels = torch.where(image == IGNORE, IGNORE, image - vocabulary.image_offset)
    return F.cross_entropy(rows.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)


def loss_of(made, **streams):
    return made.training_step(streams, 0)


def test_masked_tokens_are_predicted_from_captions(random_shapes_model):
    made = module(random_shapes_model, caption_dropout=0.0)
    stream = drawings()
    torch.testing.assert_close(
        loss_of(made, image=stream), expected_image_loss(made, stream, CAPTIONS)
    )


def test_dropped_captions_are_empty_prompts(random_shapes_model):
    made = module(random_shapes_model, caption_dropout=1.0)
    stream = drawings()
    torch.testing.assert_close(
        loss_of(made, image=stream), expected_image_loss(made, stream, [""] * 3)
    )


def test_as_many_captions_are_dropped_as_asked_for(random_shapes_model):
    made = module(random_shapes_model, caption_dropout=0.1)
    prompts = made._encode_captions(["a star"] * 10_000, range(10_000))
    assert sum(not ids for ids in prompts.values()) == 1_000


def test_answers_are_predicted_and_questions_are_not(random_shapes_model):
    made = module(random_shapes_model)
    stream = drawings() | {
        "question": ["what is it?", "how many?", "where?"],
        "answer": ["a red circle", "two", "at the top left"],
    }
    encode = made.text_tokenizer.encode
    codes = made.image_tokenizer.encode(stream["pixels"])
    losses = []
    for row, question, answer in zip(codes, stream["question"], stream["answer"], strict=True):
        # One by one, without padding.
        prompt, tokens = encode(format_question(question)), encode(answer)
        batch = made.model.sequences.understanding(row[None], [prompt], [tokens])
        logits = made.model(batch.input_ids, batch.layout.attention_mask)[0, :, :640]
        targets = torch.tensor([*tokens, made.model.vocabulary.eot_id])
        losses += F.cross_entropy(logits[-len(targets) - 1 : -1], targets, reduction="none")
    torch.testing.assert_close(loss_of(made, text=stream), torch.stack(losses).mean())


def test_captions_that_are_answers_are_learned_with_their_questions(random_shapes_model):
    """From `sot` to the end, each text by itself."""
    made = module(random_shapes_model)
    stream = drawings() | {
        "question": ["what is it?"] * 3,
        "answer": ["a red circle", "two", "at the top left"],
        "learn_question": [True, False, True],
    }
    encode, eot = made.text_tokenizer.encode, made.model.vocabulary.eot_id
    codes = made.image_tokenizer.encode(stream["pixels"])
    losses = []
    for place, answer in enumerate(stream["answer"]):
        prompt, tokens = encode(format_question("what is it?")), [*encode(answer), eot]
        text = [made.model.vocabulary.sot_id, *prompt, *tokens]
        learned = text if stream["learn_question"][place] else tokens
        batch = made.model.sequences.understanding(codes[place : place + 1], [text[1:-1]])
        logits = made.model(batch.input_ids, batch.layout.attention_mask)[0, :, :640]
        targets = torch.tensor(learned)
        losses += F.cross_entropy(logits[-len(targets) :], targets, reduction="none")
    torch.testing.assert_close(loss_of(made, text=stream), torch.stack(losses).mean())


def test_the_loss_is_the_weighted_sum_of_the_logged_ones(random_shapes_model):
    made = module(random_shapes_model, image_weight=0.5, text_weight=2.0, language_weight=3.0)
    questions = {"question": ["what is it?"] * 3, "answer": CAPTIONS}
    loss = loss_of(
        made,
        image=drawings(),
        text=drawings() | questions,
        language={"text": ["a circle is round"] * 2},
    )
    terms = [made.logged[f"train/{name}"] for name in ("image", "text", "language")]
    assert float(loss) == pytest.approx(0.5 * terms[0] + 2 * terms[1] + 3 * terms[2], rel=1e-5)
    assert made.logged["train/loss"] == pytest.approx(float(loss))


@pytest.mark.bad_input
class TestCaptionsThatAreTooLong:
    def test_are_left_out_and_counted(self, random_shapes_model):
        made = module(random_shapes_model, caption_dropout=0.0)
        stream = drawings([CAPTIONS[0], TOO_LONG, CAPTIONS[2]])
        loss = loss_of(made, image=stream)
        fitting = {"pixels": stream["pixels"][[0, 2]], "seed": [1, 3]}
        expected = expected_image_loss(made, fitting, [CAPTIONS[0], CAPTIONS[2]])
        torch.testing.assert_close(loss, expected)
        loss_of(made, image=stream)
        assert made.logged["train/captions_left_out"] == 2

    def test_a_whole_batch_of_them(self, random_shapes_model):
        made = module(random_shapes_model, caption_dropout=0.0)
        with pytest.raises(UserError, match="all 2 captions of a batch have more than 30 tokens"):
            loss_of(made, image=drawings([TOO_LONG] * 2))


def test_validation_counts_what_is_right(random_shapes_model, world, monkeypatch):
    """One answer in four is made right, and no image is."""
    made = PretrainShowo(
        initial_weights=str(random_shapes_model),
        text_tokenizer=str(random_shapes_model),
        evaluation=EvaluationPlan(
            checker=ShapesChecker(),
            sampling_steps=(1,),
            guidance_scales=(0.0,),
            drivers=(),
            timed_texts=0,
            batch_size=1,
        ),
    )
    data = PretrainDataModule(
        24,
        shapes=ShapesWorld(world, images=48, documents=16, validation_images=8),
        prompts_per_category=1,
    )
    data.prepare_data()
    data.setup("validate")
    (*_, (_, questions)) = data.open_evaluation_streams("validate")
    right = [questions[index]["answer"] for index in range(0, len(questions), 4)]
    order = iter(range(len(questions)))
    monkeypatch.setattr(
        made.text_tokenizer,
        "decode",
        lambda _: right[place // 4] if (place := next(order)) % 4 == 0 else "no idea",
        raising=False,
    )
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    values = {key: value for entry in trainer.validate(made, data) for key, value in entry.items()}
    assert next(order, None) is None, "not every question was answered"
    assert values["val/ar/exact_match"] == pytest.approx(len(right) / len(questions))
    assert values["val/validation/score/1_steps_guidance_0"] == 0


def test_within_fit_images_are_sampled_as_configured(random_shapes_model):
    made = PretrainShowo(
        initial_weights=str(random_shapes_model),
        text_tokenizer=str(random_shapes_model),
        sampling=ImageSampling(sampling_steps=3, guidance_scale=2.0),
        evaluation=EvaluationPlan(metrics=(Brightness(),)),
    )
    plan = made.plan_of_fit()
    assert ModelPlan.of(STUDENT, plan, {}).images == [made.sampling]
    assert plan.metrics and not plan.drivers


def test_prompts_of_one_s_own_are_measured_by_metrics(random_shapes_model, tmp_path):
    """No judge, no category; the metric is the user's, and is neither trained nor saved."""
    rows = [{"prompt": "a dog"}, {"prompt": TOO_LONG}, {"prompt": "a cat", "tag": "cats"}]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    made = PretrainShowo(
        initial_weights=str(random_shapes_model),
        text_tokenizer=str(random_shapes_model),
        evaluation=EvaluationPlan(
            metrics=(Brightness(scale=2.0),), sampling_steps=(1,), guidance_scales=(0.0,)
        ),
    )
    data = PretrainDataModule(24, prompts=PromptFiles(tmp_path / "own.jsonl", []))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    (values,) = trainer.validate(made, data)
    seeds = [prompt_seed(0, place) for place in range(2)]  # without the one that is too long
    prompts = encode_prompts(made.model, made.text_tokenizer, ["a dog", "a cat"])
    codes = decode_image_codes(made.model, prompts, ImageSampling(sampling_steps=1), seeds)
    pixels = made.image_tokenizer.decode(codes)
    assert values == {
        "val/own/Brightness/1_steps_guidance_0": pytest.approx(2 * float(pixels.mean()), rel=1e-5)
    }
    assert not any("metrics" in name for name, _ in made.named_modules())


def test_sizes_follow_from_the_parts(tmp_path):
    tiny_magvitv2(bits=5).save_pretrained(tmp_path / "images")
    sizes = {"hidden_size": 16, "heads": 2, "layers": 1, "max_position_embeddings": 64}
    made = PretrainShowo(ShowoSizes(**sizes), image_tokenizer=str(tmp_path / "images"))
    made.trainer = SimpleNamespace(datamodule=SimpleNamespace(resolution=20))
    made.configure_model()
    config = made.model.config
    # 20 px in patches of 4, five bits; the text tokenizer is that of the shapes world.
    assert (config.image_tokens, config.codebook_size) == (25, 32)
    assert (config.text_vocabulary_size, config.eos_id) == (640, 0)
    assert (config.hidden_size, config.image_tokenizer) == (16, str(tmp_path / "images"))
    assert ShowoSizes.of(config) == ShowoSizes(
        text_vocabulary_size=640, codebook_size=32, image_tokens=25, eos_id=0, **sizes
    )


@pytest.mark.bad_input
def test_sizes_that_do_not_follow():
    images, text = tiny_magvitv2().config, TextTokenizer.from_pretrained("shapes")
    with pytest.raises(UserError, match=r"showo\.image_tokens is missing, and no data says"):
        ShowoSizes().completed(images, text, None, "shapes")
    with pytest.raises(UserError, match="resolution 22"):
        ShowoSizes().completed(images, text, 22, "shapes")
