import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from showo_turbo.data import (
    DistillationBatchSizes,
    DistillationDataModule,
    InstructionFiles,
    PromptFiles,
)
from showo_turbo.errors import UserError
from showo_turbo.shapes import ShapesWorld
from showo_turbo.trajectories import (
    ImageTrajectory,
    StoreIdentity,
    TextTrajectory,
    TrajectoryStore,
)
from showo_turbo.trajectories.shards import pack_images, pack_texts

MASK_CODE = 24
STEPS = 8
SIZES = DistillationBatchSizes(image=3, text=2, language=1)


def image_store(folder: Path, count: int = 7) -> TrajectoryStore:
    records = [
        ImageTrajectory(
            key=str(number),
            prompt="a circle",
            prompt_ids=torch.tensor([number], dtype=torch.int32),
            codes=torch.full((STEPS,), number, dtype=torch.int16),
            reveal_step=torch.arange(1, STEPS + 1, dtype=torch.int16),
            top_ids=torch.full((STEPS, 1), number, dtype=torch.int16),
            top_log_probs=torch.zeros(STEPS, 1, dtype=torch.float16),
            boundary_top_ids=torch.full((4, 1), number, dtype=torch.int16),
            boundary_top_log_probs=torch.zeros(4, 1, dtype=torch.float16),
            steps=STEPS,
            recorded_segments=2,
        )
        for number in range(count)
    ]
    identity = StoreIdentity(
        "images", "t", "p", count, count, {"sampling.sampling_steps": STEPS, "segments": 2}
    )
    store = TrajectoryStore.create_or_continue(folder, identity)
    store.write_shard(0, pack_images(records, len(records[0].codes)), samples=count)
    store.finish()
    return store


def text_store(folder: Path, answers: Sequence[list[int]] = ([5, 6, 9],)) -> TrajectoryStore:
    records = [
        TextTrajectory(
            key=str(number),
            text="What is this?",
            prompt_ids=torch.tensor([1, 2], dtype=torch.int32),
            image=torch.arange(STEPS, dtype=torch.int16),
            answer_ids=torch.tensor(answer, dtype=torch.int32),
            blocks=[
                torch.tensor([[0, 0], [*answer[start : start + 2], 3][:2]], dtype=torch.int32)
                for start in range(0, len(answer), 2)
            ],
        )
        for number, answer in enumerate(answers)
    ]
    store = TrajectoryStore.create_or_continue(
        folder,
        StoreIdentity("texts", "t", "p", len(records), len(records), {"decoding.block_size": 2}),
    )
    blocks = sum(len(record.blocks) for record in records)
    store.write_shard(0, pack_texts(records, 2), samples=len(records), totals={"blocks": blocks})
    store.finish()
    return store


def make(folder: Path, **changes: Any) -> DistillationDataModule:
    shapes = ShapesWorld(folder / "world", images=6, documents=5, validation_images=4)
    arguments: dict[str, Any] = {"resolution": 24, "batch_sizes": SIZES, "shapes": shapes}
    data = DistillationDataModule(**arguments | changes)
    data.prepare_data()
    data.setup("fit")
    return data


def test_batches_join_stored_trajectories_and_texts(tmp_path: Path) -> None:
    data = make(tmp_path)
    data.set_stores(
        image_store(tmp_path / "images"),
        text_store(tmp_path / "texts").folder,
        mask_code=MASK_CODE,
        image_segments=2,
        text_segments=2,
    )
    loader = data.train_dataloader()
    assert len(loader) == 3  # the 7 image trajectories decide
    steps = set()
    for _ in range(6):
        for batch in loader:
            assert list(batch) == ["image", "text", "language"]
            image, text = batch["image"], batch["text"]
            assert image.state_k.shape == (3, STEPS)
            torch.testing.assert_close((image.state_k == MASK_CODE).sum(1), STEPS - image.step)
            assert [ids[0] for ids in image.prompt_ids] == image.codes[:, 0].tolist()
            assert text.answer.tolist() == [0, 0, 1, 1]  # two answers of two blocks
            assert text.tokens_k.shape == (4, 2)
            assert len(batch["language"]["text"]) == 1
            steps.update(image.step.tolist())
    assert steps == set(range(STEPS))  # 54 draws miss one of 8 steps once in 170 tries


def test_text_batches_are_made_of_as_many_tokens(tmp_path: Path) -> None:
    data = make(tmp_path, batch_sizes=DistillationBatchSizes(0, 2, 0), even_batches=2)
    answers = [[5, 9], [5, 6, 9], [5, 6, 7, 8] * 20 + [9], [6, 9]]
    data.set_stores(
        None,
        text_store(tmp_path / "texts", answers),
        mask_code=MASK_CODE,
        image_segments=1,
        text_segments=1,
    )
    (first, second) = data.train_dataloader()
    sizes = sorted(len(batch["text"].answer_ids) for batch in (first, second))
    assert sizes == [1, 3]  # the long answer alone


def test_the_step_of_a_sample_is_the_same_in_every_run(tmp_path: Path) -> None:
    image_store(tmp_path / "images")

    def steps_of_epoch(seed: int, epoch: int) -> list[int]:
        data = make(tmp_path, seed=seed, batch_sizes=DistillationBatchSizes(7, 0, 0))
        data.set_stores(
            tmp_path / "images", None, mask_code=MASK_CODE, image_segments=2, text_segments=1
        )
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        (batch,) = loader
        order = batch["image"].codes[:, 0].argsort()
        return batch["image"].step[order].tolist()

    first = steps_of_epoch(1, 0)
    assert steps_of_epoch(1, 0) == first
    assert steps_of_epoch(1, 1) != first
    assert steps_of_epoch(2, 0) != first


def test_new_stores_are_used_by_the_next_loader(tmp_path: Path) -> None:
    data = make(tmp_path, batch_sizes=DistillationBatchSizes(1, 0, 0))
    data.set_stores(
        image_store(tmp_path / "1", 4), None, mask_code=MASK_CODE, image_segments=2, text_segments=1
    )
    assert len(data.train_dataloader()) == 4
    data.set_stores(
        image_store(tmp_path / "2", 2), None, mask_code=MASK_CODE, image_segments=2, text_segments=1
    )
    data.setup("fit")  # Lightning calls it again for another fit
    assert len(data.train_dataloader()) == 2


def test_prompts_are_a_random_selection_of_the_captions(tmp_path: Path) -> None:
    data = make(tmp_path)
    captions = json.loads((tmp_path / "world/annotations/captions_train2017.json").read_text())
    everything = {annotation["caption"] for annotation in captions["annotations"]}

    prompts = data.image_prompts()
    assert len(prompts) == len(everything) and set(prompts) == everything
    assert data.image_prompts(5) == prompts[:5]
    assert data.image_prompts(3, used=5) == prompts[5:8]
    assert data.image_prompts(3, used=len(prompts) - 1) == [prompts[-1], *prompts[:2]]
    assert set(data.image_prompts(skip="red")) == {t for t in everything if "red" not in t}
    assert make(tmp_path, seed=1).image_prompts() != prompts
    assert make(tmp_path).image_prompts() == prompts
    without_places = make(tmp_path, skip_prompts=r"\bat the\b").image_prompts()
    assert set(without_places) == {text for text in everything if " at the " not in text}


def test_captions_are_repeated_as_often_as_the_files_have_them(tmp_path: Path) -> None:
    once, again = make(tmp_path), make(tmp_path, repeat_captions=True)
    file = tmp_path / "world/annotations/captions_train2017.json"
    captions = json.loads(file.read_text())
    captions["annotations"] += [captions["annotations"][0]] * 3
    file.write_text(json.dumps(captions))
    texts = Counter(annotation["caption"] for annotation in captions["annotations"])
    assert Counter(again.image_prompts()) == texts
    assert Counter(once.image_prompts()) == dict.fromkeys(texts, 1)
    assert again.image_prompts(3, used=2) == again.image_prompts()[2:5]


def test_requests_are_a_random_selection_of_the_questions(tmp_path: Path) -> None:
    requests = make(tmp_path).text_requests(6)
    assert len(set(requests)) == 6
    for path, question in requests:
        assert path.is_file() and path.parent.name == "train2017"
        assert "<image>" not in question


def test_evaluation_has_prompts_and_instructions(tmp_path: Path) -> None:
    data = make(tmp_path, prompts_per_category=2, val_batch_size=8)
    prompts, instructions = data.val_dataloader()
    batches = [batch["prompts"] for batch in prompts]
    assert sum(len(batch["prompt"]) for batch in batches) == 2 * 6
    assert batches[0]["metadata"][0]["prompt"] == batches[0]["prompt"][0]
    assert {split for batch in batches for split in batch["split"]} == {"validation"}
    batch = next(iter(instructions))["instructions"]
    assert batch["pixels"].shape == (8, 3, 24, 24)

    data.setup("test")
    splits = [
        {split for batch in loader for split in batch["prompts"]["split"]}
        for loader in data.test_dataloader()[:2]
    ]
    assert splits == [{"test"}, {"unseen_combination"}]


def test_photographs_are_asked_about_too(photographs: Any, tmp_path: Path) -> None:
    data = make(
        tmp_path,
        resolution=256,
        instructions=InstructionFiles(photographs.root, photographs.instructions),
        val_instructions=InstructionFiles(photographs.root, photographs.instructions),
        prompts=PromptFiles(tmp_path / "world/prompts/test.jsonl", []),
    )
    assert len(data.text_requests()) == 12
    instructions = data.val_dataloader()[1]
    assert next(iter(instructions))["instructions"]["pixels"].shape == (12, 3, 256, 256)


@pytest.mark.bad_input
def test_mistakes_are_explained(tmp_path: Path) -> None:
    data = make(tmp_path)
    with pytest.raises(UserError, match=r"500 trajectories asked for, but there are \d+ captions"):
        data.image_prompts(500)
    with pytest.raises(UserError, match="0 trajectories asked for, but there are"):
        data.text_requests(0)
    with pytest.raises(UserError, match="but there are 0 captions"):
        make(tmp_path, skip_prompts="").image_prompts(1)
    with pytest.raises(UserError, match=r"skip_prompts is '\(', which is not a regular expression"):
        make(tmp_path, skip_prompts="(")
    with pytest.raises(UserError, match="no data for image, text, but a batch size"):
        data.train_dataloader()
    with pytest.raises(UserError, match="holds trajectories of texts"):
        data.set_stores(
            text_store(tmp_path / "texts"),
            None,
            mask_code=MASK_CODE,
            image_segments=2,
            text_segments=1,
        )
    with pytest.raises(UserError, match=r"nowhere\.jsonl does not exist"):
        make(tmp_path, prompts=PromptFiles(tmp_path / "nowhere.jsonl", []))
