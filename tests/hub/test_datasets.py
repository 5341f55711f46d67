"""Data sets arrive where the configurations look for them, from servers of this machine."""

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from showo_turbo.data import CaptionFiles, PromptFile, TextFiles
from showo_turbo.errors import UserError
from showo_turbo.hub import datasets
from showo_turbo.hub.datasets import DATASETS, Destination, download_dataset
from showo_turbo.hub.transfer import Expected

TURBO = Path(__file__).parents[2] / "configs" / "turbo.yaml"
CAPTIONS = {
    "images": [{"id": 1, "file_name": "1.jpg"}],
    "annotations": [{"image_id": 1, "caption": "a dog"}],
}


def zipped(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, text in files.items():
            opened.writestr(name.replace("__", "/"), text)
    return content.getvalue()


def parquet(*texts):
    content = io.BytesIO()
    pq.write_table(pa.table({"content": list(texts)}), content)
    return content.getvalue()


def looked_for():
    """Paths that the paper's configuration names, also in its comments."""
    return set(re.findall(r"data/[\w./-]+", TURBO.read_text()))


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("data")


@pytest.fixture
def coco(web, monkeypatch):
    """COCO's annotations on the web server, small ones."""
    monkeypatch.setattr(datasets, "COCO", web.address)
    for year in (2017, 2014):
        files = {
            f"annotations__captions_train{year}.json": json.dumps(CAPTIONS),
            f"annotations__instances_train{year}.json": "{}",
        }
        web.files[f"/annotations/annotations_trainval{year}.zip"] = zipped(**files)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in web.files.items()}

    monkeypatch.setattr(
        datasets.Destination,
        "archive",
        _with_digests(datasets.Destination.archive, web.address, digests),
    )
    return web


def _with_digests(archive, address, digests):
    def call(self, wanted):
        digest = digests[wanted.address.removeprefix(address)]
        assert wanted.expected.sha256 or wanted.expected.md5, "the real one is known"
        changed = datasets.Archive(
            wanted.address, wanted.folder, Expected(sha256=digest), wanted.members
        )
        archive(self, changed)

    return call


def test_coco_captions(coco, data, capsys):
    download_dataset("coco-captions", Destination(data))
    path = data / "coco/annotations/captions_train2017.json"
    assert str(path) in looked_for()
    source = CaptionFiles(data / "coco/train2017", path)
    assert list(source.captions(None)) == ["a dog"]
    assert (data / "coco/annotations/captions_train2014.json").is_file()
    assert not list(data.rglob("instances*")) and not list(data.rglob("*.zip"))
    coco.ranges.clear()
    download_dataset("coco-captions", Destination(data))
    assert coco.ranges == [] and "already" in capsys.readouterr().out


def test_an_archive_that_breaks_off_is_continued(coco, data, monkeypatch):
    monkeypatch.setattr("showo_turbo.hub.transfer.time.sleep", lambda seconds: None)
    coco.break_after = [100]
    download_dataset("coco-captions", Destination(data, keep_archives=True))
    assert coco.ranges[:2] == [None, "bytes=100-"]
    assert len(list(data.rglob("*.zip"))) == 2


def test_llava(hub, data):
    content = json.dumps([{"id": "1", "conversations": []}]).encode()
    hub.files["datasets/liuhaotian/LLaVA-Instruct-150K"] = {"llava_v1_5_mix665k.json": content}
    download_dataset("llava", Destination(data))
    path = data / "llava/llava_v1_5_mix665k.json"
    assert str(path) in looked_for() and path.read_bytes() == content


def test_the_first_files_of_refinedweb(hub, data, capsys):
    files = {f"data/train-{n:05d}-of-00003-ab.parquet": parquet(f"text {n}") for n in range(3)}
    hub.files["datasets/tiiuae/falcon-refinedweb"] = {"README.md": b"", **files}
    download_dataset("refinedweb", Destination(data, files=2))
    assert "2 of 3 files" in capsys.readouterr().out
    assert "data/refinedweb" in looked_for()
    texts = TextFiles([data / "refinedweb"]).open()
    assert sorted(texts.draw(n, 0)["text"] for n in range(len(texts))) == ["text 0", "text 1"]
    assert len(hub.downloads) == 2
    download_dataset("refinedweb", Destination(data, files=3))
    assert len(hub.downloads) == 3, "what is there is not fetched again"


def test_geneval(web, data, monkeypatch):
    monkeypatch.setattr(datasets, "GENEVAL", web.address)
    rows = [{"prompt": f"a photo of {n}", "tag": "counting", "include": []} for n in range(553)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    web.files["/evaluation_metadata.jsonl"] = lines.encode()
    download_dataset("geneval", Destination(data))
    path = data / "geneval/evaluation_metadata.jsonl"
    assert str(path) in looked_for()
    assert len(PromptFile(path, None)) == 553


@pytest.mark.bad_input
def test_a_page_in_place_of_geneval(web, data, monkeypatch):
    monkeypatch.setattr(datasets, "GENEVAL", web.address)
    web.files["/evaluation_metadata.jsonl"] = b"<html>log in first</html>"
    with pytest.raises(UserError, match="holds 0 prompts"):
        download_dataset("geneval", Destination(data))


def test_hpd(hub, data):
    files = {
        f"benchmark/{style}.json": json.dumps([f"{style} {n}" for n in range(800)]).encode()
        for style in ("anime", "concept-art", "paintings", "photo")
    }
    hub.files["datasets/zhwang/HPDv2"] = files
    download_dataset("hpd", Destination(data))
    prompts = PromptFile(data / "hpd/prompts.jsonl", None)
    assert len(prompts) == 3200
    first = prompts.draw(0, 0)["metadata"]
    assert (first["prompt"], first["tag"]) == ("anime 0", "anime")


@pytest.mark.bad_input
def test_what_the_hub_sends_is_checked(hub, data):
    hub.files["datasets/tiiuae/falcon-refinedweb"] = {"data/a.parquet": parquet("text")}
    hub.damage.add("data/a.parquet")
    with pytest.raises(UserError, match=r"SHA-256 .*it was removed, give the command again"):
        download_dataset("refinedweb", Destination(data))
    assert not list(data.rglob("*.parquet"))
    hub.damage.clear()
    download_dataset("refinedweb", Destination(data))
    assert list(data.rglob("*.parquet"))


@pytest.mark.bad_input
def test_names_and_numbers(data):
    with pytest.raises(UserError, match="'imagenet' is not a data set"):
        download_dataset("imagenet", Destination(data))
    with pytest.raises(UserError, match="llava has no part 'ocr'"):
        download_dataset("llava", Destination(data), ["ocr"])
    with pytest.raises(UserError, match="files is 0"):
        download_dataset("refinedweb", Destination(data, files=0))
    assert not data.exists()


@pytest.mark.bad_input
def test_a_data_set_that_the_hub_does_not_have(hub, data):
    with pytest.raises(UserError, match=r"tiiuae/falcon-refinedweb could not be listed"):
        download_dataset("refinedweb", Destination(data))


def test_every_data_set_names_its_licence_and_the_page_has_them():
    page = (Path(__file__).parents[2] / "docs" / "hub.md").read_text()
    for name, dataset in DATASETS.items():
        assert ";" in dataset.about
        for part in dataset.parts:
            assert f"`{part}`" in page or len(dataset.parts) == 1
        assert f"showo-turbo download {name}" in page


def test_the_configuration_is_read():
    assert yaml.safe_load(TURBO.read_text())["data"]
    assert len(looked_for()) >= 5
