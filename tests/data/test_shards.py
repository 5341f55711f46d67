"""Pictures with captions in tar and Parquet files."""

import io
import json
import tarfile
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from showo_turbo.data import ImageTextShards, JoinedBatchSampler, PretrainDataModule, shards
from showo_turbo.data.pretraining import PretrainBatchSizes
from showo_turbo.data.tar_shards import read_members
from showo_turbo.errors import BadSample, UserError
from showo_turbo.utils.remembered import CACHE_VARIABLE, cache_folder


def picture(level, kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 16), (level, 0, 0)).save(buffer, format=kind)
    return buffer.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def sample(key, level, ending=".txt"):
    caption = f"caption {level}"
    text = caption.encode() if ending == ".txt" else json.dumps({"caption": caption}).encode()
    return [(f"{key}.png", picture(level)), (f"{key}{ending}", text), (f"{key}.cls", b"7")]


@pytest.fixture
def folder(tmp_path):
    """Tar files with three and two samples, and Parquet with two row groups of two."""
    members = [*sample("a/0", 10), *sample("a/1", 20, ".json")]
    write_tar(tmp_path / "00.tar", [*members, *sample("b/0", 30)])
    write_tar(tmp_path / "01.tar", [*sample("x", 40), *sample("y", 50)])
    rows = [{"bytes": picture(level), "path": None} for level in (60, 70, 80, 90)]
    table = pa.table({"image": rows, "caption": [f"caption {own}" for own in (60, 70, 80, 90)]})
    pq.write_table(table, tmp_path / "02.parquet", row_group_size=2)
    return tmp_path


def level(pixels):
    return round(float((pixels[0].mean() + 1) * 127.5) / 10) * 10


def test_every_sample_with_its_caption(folder, monkeypatch):
    source = ImageTextShards([folder])
    captions = [f"caption {own}" for own in range(10, 100, 10)]
    assert source.captions() == captions
    monkeypatch.setattr(shards, "read_image_bytes", None)
    monkeypatch.setattr(shards, "read_image_value", None)
    assert source.captions() == captions, "without the images"
    monkeypatch.undo()
    stream = source.open(8)
    assert stream.parts == [3, 2, 2, 2] and len(stream) == 9
    for index in (8, 0, 3, 1, 2, 4, 5, 6, 7):
        found = stream.draw(index, 3)
        assert found["caption"] == captions[index]
        assert level(found["pixels"]) == 10 * (index + 1)
        assert found["pixels"].shape == (3, 8, 8) and found["image_id"] == index


def test_bytes_without_a_record(tmp_path):
    table = pa.table({"jpg": [picture(30, "JPEG")], "text": ["a"]})
    pq.write_table(table, tmp_path / "a.parquet")
    stream = ImageTextShards([tmp_path / "a.parquet"], "jpg", "text").open(8)
    assert level(stream.draw(0, 0)["pixels"]) == 30


@pytest.mark.parametrize(
    "texts", [pa.array(["a"]).dictionary_encode(), pa.array(["a"], pa.large_string())]
)
def test_captions_in_other_forms(tmp_path, texts):
    table = pa.table({"image": [picture(30)], "caption": texts})
    pq.write_table(table, tmp_path / "a.parquet")
    assert ImageTextShards([tmp_path]).captions() == ["a"]


def test_folders_with_the_name_of_a_file(tmp_path):
    """As Spark writes them."""
    (tmp_path / "a.parquet").mkdir()
    table = pa.table({"image": [picture(30)], "caption": ["a"]})
    pq.write_table(table, tmp_path / "a.parquet" / "part-0.PARQUET")
    assert ImageTextShards([tmp_path]).captions() == ["a"]


def test_names_of_files_in_a_record_are_not_read(tmp_path):
    """Not even where they are no text."""
    path = pa.array([b"\xff"], pa.binary()).view(pa.string())
    record = pa.StructArray.from_arrays([pa.array([picture(30)]), path], ["bytes", "path"])
    pq.write_table(pa.table({"image": record, "caption": ["a"]}), tmp_path / "a.parquet")
    assert level(ImageTextShards([tmp_path]).open(8).draw(0, 0)["pixels"]) == 30


def keys(sampler):
    return [key.index for batch in sampler for key in batch]


@pytest.mark.parametrize("ranks", [1, 2])
def test_shards_are_gone_through_one_after_the_other(ranks):
    """In every pass each sample once, in an order that a resumed run goes on with."""
    parts = [5, 3, 4]
    options = {"primary": "a", "seed": 3, "samples_per_epoch": 24, "parts": {"a": parts}}
    ends = {0: range(5), 1: range(5, 8), 2: range(8, 12)}

    def sampler(rank):
        return JoinedBatchSampler({"a": 12}, {"a": 2}, rank=rank, world_size=ranks, **options)

    batches = [list(sampler(rank)) for rank in range(ranks)]
    order = [key.index for step in zip(*batches, strict=True) for own in step for key in own]
    passes = order[:12], order[12:]
    assert passes[0] != passes[1]
    for own in passes:
        assert sorted(own) == list(range(12))
        shards = [next(k for k, part in ends.items() if i in part) for i in own]
        changes = sum(first != second for first, second in pairwise(shards))
        assert changes == 2, "a shard is left for good"
        assert any(own[at] > own[at + 1] for at in range(11)), "nor in the files' order"
    half = sampler(0)
    for _ in range(3):
        half.advance()
    resumed = sampler(0)
    resumed.load_state_dict(half.state_dict())
    assert keys(resumed) == [key.index for batch in batches[0][3:] for key in batch]


def test_headers_of_a_tar_are_read_again_only_when_it_has_changed(folder, monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr("showo_turbo.utils.remembered._SETTLED_NS", 0)
    read = []

    def counted(path):
        read.append(path.name)
        return read_members(path)

    monkeypatch.setattr("showo_turbo.data.shards.read_members", counted)
    for _ in range(2):
        assert ImageTextShards([folder]).open(8).parts == [3, 2, 2, 2]
    assert read == ["00.tar", "01.tar"]
    write_tar(folder / "01.tar", sample("z", 10))
    assert ImageTextShards([folder]).open(8).parts == [3, 1, 2, 2]
    assert read == ["00.tar", "01.tar", "01.tar"]
    for note in (cache_folder() / "remembered").iterdir():
        note.write_text("")  # as after a full disk
    assert ImageTextShards([folder]).open(8).parts == [3, 1, 2, 2]
    assert read[3:] == ["00.tar", "01.tar"]


@pytest.mark.bad_input
@pytest.mark.parametrize("parts", [[5, 3], [5, 0, 7]])
def test_parts_hold_all_samples(parts):
    with pytest.raises(UserError, match="'a' has 12 samples, but parts of"):
        JoinedBatchSampler({"a": 12}, {"a": 2}, primary="a", seed=3, parts={"a": parts})


def test_a_module_reads_them_so(folder):
    data = PretrainDataModule(
        8,
        PretrainBatchSizes(image=1, text=0, language=0),
        captions=ImageTextShards([folder]),
    )
    data.prepare_data()
    data.setup("fit")
    found = [batch["image"]["caption"][0] for batch in data.train_dataloader()]
    assert sorted(found) == [f"caption {own}" for own in range(10, 100, 10)]
    shards = [(int(text.split()[1]) // 10 - 1) for text in found]
    part = [0 if i < 3 else 1 if i < 5 else 2 if i < 7 else 3 for i in shards]
    assert sum(first != second for first, second in pairwise(part)) == 3


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ([("a.png", b"x")], "has the sample 'a' with .png; expected an image"),
            ([("a.txt", b"x")], "has the sample 'a' with .txt; expected an image"),
            ([("a.cls", b"x")], "has the sample 'a' with nothing; expected an image"),
            (
                [*sample("a", 1), ("a.jpg", b"x")],
                "has the sample 'a' with .jpg and .png and .txt; expected an image",
            ),
            ([*sample("a", 1)[:2], ("a.png", b"x")], "'a.png' twice; expected it once"),
            ([*sample("a", 1), *sample("b", 1), *sample("a", 2)], "members of one sample apart"),
            ([], "holds no samples; expected images with captions"),
        ],
    )
    def test_a_mixed_tar(self, tmp_path, members, message):
        write_tar(tmp_path / "a.tar", members)
        with pytest.raises(UserError, match=message):
            ImageTextShards([tmp_path]).open(8)

    @pytest.mark.parametrize("cut", [0, 100, 900, -1500])
    def test_a_broken_tar(self, folder, cut):
        content = (folder / "00.tar").read_bytes()
        end = content.rindex(b"caption 30") + 5 if cut < 0 else cut
        (folder / "00.tar").write_bytes(content[:end])
        with pytest.raises(UserError, match=r"00\.tar (cannot be read as a tar|holds no samples)"):
            ImageTextShards([folder]).open(8)

    def test_a_sparse_member(self, tmp_path):
        """Its content is not where its header seems to say."""
        info = tarfile.TarInfo("a.png")
        info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1"}
        info.pax_headers |= {"GNU.sparse.map": "0,1,511,1", "GNU.sparse.size": "512"}
        info.size = 2
        with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(info, io.BytesIO(b"ab"))
        with pytest.raises(UserError, match=r"'a\.png' is sparse, write it without"):
            ImageTextShards([tmp_path]).open(8)

    def test_a_negative_size(self, tmp_path):
        """It would lead the reader back to the same header."""
        info = tarfile.TarInfo("a")
        info.type, info.size = b"Z", -tarfile.BLOCKSIZE
        header = info.tobuf(tarfile.GNU_FORMAT)
        (tmp_path / "a.tar").write_bytes(header + tarfile.NUL * 2 * tarfile.BLOCKSIZE)
        with pytest.raises(UserError, match="'a' has a negative size"):
            ImageTextShards([tmp_path]).open(8)

    def test_a_compressed_tar(self, folder):
        import gzip

        content = gzip.compress((folder / "00.tar").read_bytes())
        (folder / "00.tar").write_bytes(content)
        with pytest.raises(UserError, match="expected one without compression"):
            ImageTextShards([folder]).open(8)

    @pytest.mark.parametrize(
        ("caption", "ending", "message"),
        [
            (b" ", ".txt", "has an empty text for the caption"),
            (b"\xff\xfe", ".txt", "has a caption that cannot be read"),
            (b"{", ".json", "has a caption that cannot be read"),
            (b"{}", ".json", "has nothing for 'caption'; expected a text"),
        ],
    )
    def test_a_sample(self, tmp_path, caption, ending, message):
        write_tar(tmp_path / "a.tar", [("a.png", picture(1)), (f"a{ending}", caption)])
        left_out = []
        source = ImageTextShards([tmp_path])
        with pytest.raises(BadSample, match=message):
            source.open(8).draw(0, 0)
        assert source.captions(left_out.append) == [] and len(left_out) == 1

    def test_a_damaged_picture(self, tmp_path):
        write_tar(tmp_path / "a.tar", [("a.png", b"no"), ("a.txt", b"a")])
        with pytest.raises(BadSample, match=r"the image of a of .*a\.tar cannot be read as an"):
            ImageTextShards([tmp_path]).open(8).draw(0, 0)

    def test_parquet(self, folder, tmp_path):
        with pytest.raises(UserError, match="has no column 'text'"):
            ImageTextShards([folder / "02.parquet"], caption_column="text").open(8)
        with pytest.raises(UserError, match="has string in column 'caption'"):
            ImageTextShards([folder / "02.parquet"], "caption", "caption").open(8)
        (folder / "02.parquet").write_bytes(b"PAR1")
        with pytest.raises(UserError, match="cannot be read as parquet"):
            ImageTextShards([folder]).open(8)
        rows = pa.table({"image": [None, b"x"], "caption": ["a", None]})
        pq.write_table(rows, folder / "02.parquet")
        stream = ImageTextShards([folder / "02.parquet"]).open(8)
        with pytest.raises(BadSample, match=r"row 0 of row group 0 .* has no image in 'image'"):
            stream.draw(0, 0)
        with pytest.raises(BadSample, match=r"row 1 of row group 0 .* has no text in 'caption'"):
            stream.draw(1, 0)

    def test_other_files(self, tmp_path):
        (tmp_path / "a.zip").write_text("")
        with pytest.raises(UserError, match=r"a\.zip is of another kind"):
            ImageTextShards([tmp_path / "a.zip"]).open(8)
        with pytest.raises(UserError, match=r"holds no \*\.tar and no \*\.parquet file"):
            ImageTextShards([tmp_path]).open(8)
        with pytest.raises(UserError, match=r"a\.tar does not exist"):
            ImageTextShards([tmp_path / "a.tar"]).open(8)

    def test_a_shard_that_changes(self, folder):
        stream = ImageTextShards([folder]).open(8)
        write_tar(folder / "00.tar", sample("a", 10))
        with pytest.raises(UserError, match="had 3 samples and now has 1"):
            stream.draw(0, 0)
