"""Streams that are trained one after the other: the same gradients, fewer activations."""

import weakref
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import FSDPStrategy
from torch import distributed

from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo
from showo_turbo.training.stream_backward import check_stream_backward

from .test_turbo import batch, turbo  # noqa: F401

STREAMS = ("image_logits", "answer_logits", "language_logits")


class Batches:
    """A loader of what is there; Lightning takes a list for several loaders."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


@pytest.fixture(autouse=True)
def alone_again():
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def fit(model, batches, by_stream, **options):
    module = turbo(model, backward_by_stream=by_stream, optimizer=partial(torch.optim.SGD, lr=0.5))
    logged = {}
    log = module.log

    def noted(name, value, **given):
        logged.setdefault(name, []).append(float(value))
        log(name, value, **given)

    module.log = noted
    Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    ).fit(module, Batches(batches))
    return module.student, logged


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1},
        {"strategy": "ddp"},
    ],
    ids=["each", "accumulated", "ddp"],
)
def test_as_all_streams_at_once(random_shapes_model, batch, tmp_path, options):  # noqa: F811
    without_text = {name: batch[name] for name in ("image", "language")}
    batches = [batch, without_text, {"image": batch["image"]}, batch]
    given = options | {"default_root_dir": tmp_path}
    (expected, together), (found, apart) = (
        fit(random_shapes_model, batches, by_stream, **given) for by_stream in (False, True)
    )
    start = Showo.from_pretrained(random_shapes_model)
    moved = 0.0
    for name, value in found.named_parameters():
        torch.testing.assert_close(value, expected.get_parameter(name), rtol=1e-4, atol=1e-5)
        moved = max(moved, float((value - start.get_parameter(name)).detach().abs().max()))
    assert moved > 1e-2
    assert apart.keys() == together.keys()
    for name, values in together.items():
        assert apart[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("by_stream", [False, True])
def test_one_stream_holds_activations(
    random_shapes_model,
    batch,  # noqa: F811
    tmp_path,
    monkeypatch,
    by_stream,
):
    held, others = {}, []
    for stream in STREAMS:
        given = getattr(Showo, stream)

        def noted(*arguments, stream=stream, given=given, **options):
            alive = {name for name, reference in held.items() if reference() is not None}
            others.extend(alive - {stream})
            made = given(*arguments, **options)
            kept = made["logits"] if isinstance(made, dict) else made
            kept = kept[0] if isinstance(kept, tuple) else kept
            if kept.requires_grad:
                held[stream] = weakref.ref(kept)
            return made

        monkeypatch.setattr(Showo, stream, noted)
    fit(random_shapes_model, [batch], by_stream, default_root_dir=tmp_path)
    assert held.keys() == set(STREAMS)
    assert next(iter(held)) == ("answer_logits" if by_stream else "image_logits")
    assert set(others) == (set() if by_stream else {"image_logits", "answer_logits"})


@pytest.mark.bad_input
def test_where_a_step_has_one_backward_pass(tmp_path):
    class Sharded:
        strategy = FSDPStrategy.__new__(FSDPStrategy)
        precision_plugin = None

    class Scaled:
        strategy = None
        precision = "16-mixed"

        class precision_plugin:
            scaler = object()

    with pytest.raises(UserError, match="but FSDPStrategy gathers its shards"):
        check_stream_backward(Sharded)
    with pytest.raises(UserError, match="but 16-mixed scales the loss of the step as a whole"):
        check_stream_backward(Scaled)
