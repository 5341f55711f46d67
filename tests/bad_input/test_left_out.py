"""Bad samples inside large data sets: left out, counted and listed, in real runs."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lightning.pytorch import Callback

from .bench import caption_files, instruction_files, text_files

pytestmark = pytest.mark.bad_input

TEXTS = ["a", None, "b", "c", " ", "d"]
EPOCHS = 3
"""Of two steps, each of which takes one of the texts: all of them once."""


class Watch(Callback):
    """Notes the texts of every step; none where the step had none."""

    texts = []  # noqa: RUF012 - read after the command has ended

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        self.texts.append(batch.get("language", {}).get("text"))


@pytest.fixture
def left_out(bench):
    """What is bad in the files of `configure`, as the list says it."""
    return {
        f"images[4] of {bench.folder}/coco.json has nothing for 'file_name'",
        f"annotations[4] of {bench.folder}/coco.json has image_id 7",
        f"record 4 of {bench.folder}/llava.json has the message {{}} where",
        f"{bench.folder}/images/gone.png does not exist",
        f"{bench.folder}/images/cut.png cannot be read as an image",
        f"row 1 of row group 0 of {bench.folder}/texts.parquet has no text",
        f"row 4 of row group 0 of {bench.folder}/texts.parquet has an empty text",
    }


def configure(bench, epochs=EPOCHS, limit=9, workers=0):
    """A run of distillation on files of which some are bad."""
    (bench.folder / "images").mkdir(exist_ok=True)
    for number in range(4):
        content = bench.good.image(number).read_bytes()
        bench.write(f"images/{number}.png", content)
    bench.write("images/cut.png", content[:50])
    coco, llava = bench.good.coco(), bench.good.llava()
    coco["images"].append({"id": 4})
    coco["annotations"].append({"image_id": 7, "caption": "of no image"})
    llava.append(llava[0] | {"conversations": llava[0]["conversations"] + [{}]})
    llava += [llava[0] | {"image": "gone.png"}, llava[0] | {"image": "cut.png"}]
    texts = io.BytesIO()
    pq.write_table(pa.table({"content": TEXTS}), texts)
    bench.write("texts.parquet", texts.getvalue())
    folder = bench.folder / "images"
    data = bench.good.config()["data"]["init_args"] | {
        "captions": caption_files(folder, bench.write("coco.json", coco)),
        "instructions": instruction_files(folder, bench.write("llava.json", llava)),
        "web_text": text_files(bench.folder / "texts.parquet"),
        "batch_sizes": {"image": 2, "text": 1, "language": 1},
        "loader": {"num_workers": workers},
        "max_bad_samples": limit,
    }
    trainer = bench.good.config()["trainer"] | {"enable_checkpointing": True, "max_steps": -1}
    curriculum = trainer["callbacks"][0]
    curriculum["init_args"]["stages"][0]["epochs"] = epochs
    trainer["callbacks"] = [curriculum, {"class_path": f"{__name__}.Watch"}]
    return bench.configure(
        data__init_args=data, trainer=trainer, model__init_args__decoding={"max_new_tokens": 64}
    )


def listed(bench):
    return (bench.folder / "run/bad_samples.txt").read_text().splitlines()


def agree(lines, expected):
    """Whether every line begins as one of those expected, and each of these once."""
    assert len(lines) == len(expected), lines
    assert all(any(line.startswith(start) for line in lines) for start in expected), lines


@pytest.mark.parametrize("workers", [0, 2])
def test_they_are_left_out_counted_and_listed(bench, left_out, workers):
    Watch.texts = []
    ended = bench.run("fit", "-c", configure(bench, workers=workers))
    assert ended.status == 0, ended.errors
    agree(listed(bench), left_out)
    seen = [texts for texts in Watch.texts if texts]
    assert len(Watch.texts) == 2 * EPOCHS and len(seen) == 4, "nothing takes their place"
    assert sorted(text for texts in seen for text in texts) == ["a", "b", "c", "d"]


def test_a_resumed_run_goes_on_with_the_list(bench, left_out):
    resume = ["--resume", "auto"]
    assert bench.run("fit", "-c", configure(bench, epochs=1), *resume).status == 0
    before = listed(bench)
    assert 5 <= len(before) <= 7
    assert bench.run("fit", "-c", configure(bench), *resume).status == 0
    assert listed(bench)[: len(before)] == before
    agree(listed(bench), left_out)
    assert bench.run("fit", "-c", configure(bench, epochs=6), *resume).status == 0
    agree(listed(bench), left_out)
    limited = bench.run("fit", "-c", configure(bench, epochs=7, limit=6), *resume)
    assert limited.status == 2
    assert "7 samples are bad, but max_bad_samples is 6" in limited.errors


def test_one_more_than_the_limit_ends_the_run(bench):
    ended = bench.run("fit", "-c", configure(bench, limit=2))
    assert ended.status == 2 and "Traceback" not in ended.errors
    *_, last = ended.errors.splitlines()
    assert "3 samples are bad, but max_bad_samples is 2; repair or remove those in" in last
    assert len(listed(bench)) == 3


def test_collect_leaves_them_out_too(bench, left_out):
    configure(bench)
    files = {"images": "images", "annotations": "coco.json"}
    command = bench.good.collection("out")
    for kind, names in (
        ("captions", files),
        ("instructions", files | {"annotations": "llava.json"}),
    ):
        for name, value in names.items():
            command[command.index(f"--{kind}.{name}") + 1] = bench.folder / value
    ended = bench.run(*command, "--max_bad_samples", "5")
    assert ended.status == 0, ended.errors
    agree(
        (bench.folder / "out/bad_samples.txt").read_text().splitlines(),
        {reason for reason in left_out if "texts.parquet" not in reason},
    )
    manifest = json.loads((bench.folder / "out/texts/manifest.json").read_text())
    assert manifest["identity"]["num_prompts"] == 4
