import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import LinearLR

from showo_turbo.callbacks import Curriculum
from showo_turbo.curriculum import Stage
from showo_turbo.data import DistillationBatchSizes, DistillationDataModule
from showo_turbo.errors import UserError
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesWorld
from showo_turbo.training.lora import LoRAOptions
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import TrajectoryStore, fingerprint_module
from showo_turbo.utils.lock import folder_lock

STAGES = [
    Stage(
        epochs=2,
        sampling=SamplingChanges(sampling_steps=4, guidance_scale=1.0),
        image_segments=2,
        text_segments=2,
        image_trajectories=8,
        text_trajectories=12,
        learning_rate=1e-3,
        lr_scheduler=partial(LinearLR, start_factor=1.0, end_factor=0.2, total_iters=1),
    ),
    Stage(
        epochs=1,
        sampling=SamplingChanges(sampling_steps=2),
        image_segments=1,
        text_segments=1,
        image_trajectories=12,
        text_trajectories=12,
        learning_rate=5e-4,
    ),
]


class Killed(Exception):
    pass


class KillAt(Callback):
    """Dies before the given batch of the run."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if trainer.global_step == self.step:
            raise Killed


class Watch(Callback):
    def __init__(self):
        self.seen = []
        self.rate = 0.0

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        curriculum = next(c for c in trainer.callbacks if isinstance(c, Curriculum))
        self.seen.append(
            (trainer.global_step, curriculum.stage_index, self.rate, float(outputs["loss"]))
        )


def run(
    model,
    world,
    folder,
    *,
    stages=STAGES,
    callbacks=(),
    ckpt_path=None,
    every=1,
    lora=None,
    optimizer=partial(torch.optim.AdamW, lr=1e-3),
    lr_scheduler=None,
    **options,
):
    torch.manual_seed(1)
    module = ShowoTurbo(
        student=str(model),
        text_tokenizer=str(model),
        max_language_length=32,
        lora=lora,
        decoding=TextDecoding(max_new_tokens=64),
        optimizer=optimizer,
        lr_scheduler=lr_scheduler,
    )
    data = DistillationDataModule(
        24,
        shapes=ShapesWorld(world, images=48, documents=16, validation_images=8),
        batch_sizes=DistillationBatchSizes(image=4, text=2, language=2),
    )
    watch = Watch()
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"logger": False} | options),
        callbacks=[
            Curriculum(stages, batch_size=8, shard_size=8),
            ModelCheckpoint(folder / "checkpoints", every_n_train_steps=every, save_top_k=-1),
            watch,
            *callbacks,
        ],
    )
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return module, trainer, watch.seen


def checkpoint_of(folder, step):
    (path,) = (folder / "checkpoints").glob(f"*step={step}.ckpt")
    return path


@pytest.fixture(scope="module")
def whole(random_shapes_model, world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, *run(random_shapes_model, world, folder)


def test_a_try_collects_little_and_leaves_the_run_alone(random_shapes_model, world, tmp_path):
    many = [replace(STAGES[0], image_trajectories=40, text_trajectories=40), STAGES[1]]
    for batches in (1, 2):  # the second does not meet what the first has left
        run(random_shapes_model, world, tmp_path, stages=many, fast_dev_run=batches)
        folder = tmp_path / "fast_dev_run/round-0"
        assert TrajectoryStore.inspect(folder / "images").identity.num_prompts == 16 * batches
        assert TrajectoryStore.inspect(folder / "texts").identity.num_prompts == 8 * batches
    assert not (tmp_path / "curriculum").exists()


def test_stages_follow_each_other(whole):
    *_, trainer, seen = whole
    # 8 trajectories in batches of 4 over two epochs, then 12 over one.
    assert [stage for _, stage, _, _ in seen] == [0, 0, 0, 0, 1, 1, 1]
    assert [rate for _, _, rate, _ in seen] == pytest.approx([1e-3] * 2 + [2e-4] * 2 + [5e-4] * 3)
    assert trainer.current_epoch == 3


def test_the_student_becomes_the_teacher(whole, random_shapes_model):
    folder, module, *_ = whole
    base = Showo.from_pretrained(random_shapes_model)
    first = Showo.from_pretrained(folder / "curriculum/round-0/teacher")
    second = Showo.from_pretrained(folder / "curriculum/round-1/teacher")
    assert fingerprint_module(first) == fingerprint_module(base)
    assert fingerprint_module(second) == fingerprint_module(module.teacher)
    assert fingerprint_module(second) != fingerprint_module(first)
    after_stage_1 = torch.load(checkpoint_of(folder, 4), weights_only=True)["state_dict"]
    for key, value in second.state_dict().items():
        assert torch.equal(value, after_stage_1[f"student.{key}"])


def test_a_teacher_s_folder_is_a_whole_model(whole):
    folder, module, *_ = whole
    for number, stage in enumerate(STAGES):
        teacher = folder / f"curriculum/round-{number}/teacher"
        names = {path.name for path in teacher.iterdir()} - {"fingerprint.json"}
        weights = {"config.json", "pytorch_model.safetensors", "image_tokenizer"}
        assert names == {*weights, "tokenizer.json", "generation_config.json", "README.md"}
        loaded = LoadedModel.from_pretrained(teacher)
        assert loaded.sampling == stage.sampling.over(module.teacher_sampling)
        assert loaded.decoding == module.decoding


def test_each_round_has_its_own_trajectories(whole):
    folder, *_ = whole
    stores = [
        TrajectoryStore.open(folder / f"curriculum/round-{r}/images", kind="images") for r in (0, 1)
    ]
    assert [store.num_samples for store in stores] == [8, 12]
    assert stores[0].identity.teacher != stores[1].identity.teacher


@pytest.mark.parametrize("step", [1, 2, 4, 5])
def test_a_killed_run_ends_in_the_same_bits(whole, random_shapes_model, world, tmp_path, step):
    """Killed within an epoch, at an epoch's end, at the change of stage, after it."""
    _, module, trainer, seen = whole
    with pytest.raises(Killed):
        run(random_shapes_model, world, tmp_path, callbacks=[KillAt(step)])
    resumed, again, rest = run(
        random_shapes_model, world, tmp_path, ckpt_path=checkpoint_of(tmp_path, step)
    )
    assert rest == seen[step:]
    for key, value in module.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    assert fingerprint_module(resumed.teacher) == fingerprint_module(module.teacher)
    assert again.current_epoch == trainer.current_epoch


def test_dropped_adapters_are_the_same_in_a_resumed_run(random_shapes_model, world, tmp_path):
    options = {"lora": LoRAOptions(rank=2, dropout=0.5), "stages": STAGES[:1]}
    _, _, seen = run(random_shapes_model, world, tmp_path / "whole", **options)
    with pytest.raises(Killed):
        run(random_shapes_model, world, tmp_path, callbacks=[KillAt(2)], **options)
    checkpoint = checkpoint_of(tmp_path, 2)
    _, _, rest = run(random_shapes_model, world, tmp_path, ckpt_path=checkpoint, **options)
    assert rest == seen[2:]


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_training_keeps_what_was_collected(whole, random_shapes_model, world, tmp_path):
    folder, _, _, seen = whole
    shutil.copytree(folder / "curriculum", tmp_path / "curriculum")
    before = files(tmp_path / "curriculum")
    written = {path: path.stat() for path in tmp_path.rglob("*.safetensors")}
    _, _, again = run(random_shapes_model, world, tmp_path, every=100)
    assert again == seen
    assert files(tmp_path / "curriculum") == before
    assert len(written) > 4
    assert all(path.stat().st_mtime_ns == status.st_mtime_ns for path, status in written.items())


def test_another_training_does_not_train_on_the_rounds_it_finds(
    whole, random_shapes_model, world, tmp_path, caplog
):
    """Its students differ from the teachers there; what was collected with them is put aside."""
    folder, *_ = whole
    stages = [replace(STAGES[0], learning_rate=3e-3), STAGES[1]]
    *_, expected = run(random_shapes_model, world, tmp_path / "alone", stages=stages, every=100)
    shutil.copytree(folder / "curriculum", tmp_path / "curriculum")
    before = files(tmp_path / "curriculum")
    *_, seen = run(random_shapes_model, world, tmp_path, stages=stages, every=100)
    assert seen == expected
    alone, after = files(tmp_path / "alone/curriculum"), files(tmp_path / "curriculum")
    for name, entry in before.items():
        aside = name.replace("round-1", "replaced-round-1-1")
        assert after.pop(aside) == entry
    assert after == {name: data for name, data in alone.items() if name.startswith("round-1/")}


@pytest.mark.bad_input
def test_a_round_that_another_run_is_collecting_is_not_put_aside(
    whole, random_shapes_model, world, tmp_path
):
    folder, *_ = whole
    stages = [replace(STAGES[0], learning_rate=3e-3), STAGES[1]]
    shutil.copytree(folder / "curriculum", tmp_path / "curriculum")
    before = files(tmp_path / "curriculum")
    with (
        folder_lock(tmp_path / "curriculum/round-1/texts"),
        pytest.raises(UserError, match="round-1/texts is being written by process"),
    ):
        run(random_shapes_model, world, tmp_path, stages=stages, every=100)
    assert files(tmp_path / "curriculum") == before


@pytest.mark.parametrize("keep", [False, True])
def test_the_optimizer_is_reset_unless_it_is_to_be_kept(random_shapes_model, world, tmp_path, keep):
    class Steps(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
            (optimizer,) = trainer.optimizers
            self.seen.append(int(next(iter(optimizer.state.values()))["step"]))

    watch = Steps()
    stages = [replace(STAGES[0], epochs=1), replace(STAGES[1], keep_optimizer=keep)]
    run(random_shapes_model, world, tmp_path, stages=stages, callbacks=[watch], every=100)
    assert watch.seen == [1, 2, *([3, 4, 5] if keep else [1, 2, 3])]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"image_segments": 0}, "image_segments is 0; expected at least 1"),
        ({"text_segments": 0}, "text_segments is 0; expected at least 1"),
        ({"image_trajectories": 0}, "image_trajectories is 0; expected at least 1"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0; expected a value above 0"),
        ({"refresh_every_n_epochs": -1}, "refresh_every_n_epochs is -1; expected 0 or more"),
    ],
)
def test_a_wrong_stage_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        Stage(**({"epochs": 1} | values))


@pytest.mark.bad_input
def test_no_stage_is_refused():
    with pytest.raises(UserError, match="no stages"):
        Curriculum([])


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_segments": 5}, "stage 2: 5 segments do not divide 16 steps"),
        ({"sampling": SamplingChanges(shared_noise_seed=-1)}, "stage 2: shared_noise_seed -1 is"),
        (
            {"sampling": SamplingChanges(sampling_steps=40)},
            r"stage 2: sampling_steps is 40; choose 1 to 36 \(the image tokens\)",
        ),
        (
            {"sampling": SamplingChanges(guidance_scale=-1.0)},
            r"stage 2: guidance_scale is -1\.0; it must be 0 or more",
        ),
        ({"image_trajectories": 999}, r"stage 2: 999 trajectories asked for, .* ask for 1 to"),
        ({"text_trajectories": 999}, r"stage 2: 999 trajectories asked for, .* ask for 1 to"),
    ],
)
def test_what_no_stage_can_collect_is_said_before_the_first(
    random_shapes_model, world, tmp_path, values, message
):
    stages = [Stage(epochs=1), Stage(**({"epochs": 1, "image_segments": 1} | values))]
    with pytest.raises(UserError, match=message):
        run(random_shapes_model, world, tmp_path, stages=stages)
    assert not (tmp_path / "curriculum").exists()


@pytest.mark.bad_input
def test_another_runs_teacher_is_refused(whole, random_shapes_model, world, tmp_path):
    other = Showo.from_pretrained(random_shapes_model)
    with torch.no_grad():
        other.showo.lm_head.bias.add_(1)
    model = tmp_path / "other"
    other.save_pretrained(model)
    (model / "tokenizer.json").write_bytes((random_shapes_model / "tokenizer.json").read_bytes())
    folder, *_ = whole
    with pytest.raises(UserError, match="teacher of another run"):
        run(model, world, folder)
