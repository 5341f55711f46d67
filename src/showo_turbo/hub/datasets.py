"""The published data sets, each from its own source, to where the configurations look for it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.hf_api import RepoFile

from ..errors import UserError, shown
from ..utils.files import read_json, sha256_of, write_atomically, write_json
from .archives import unpack
from .client import endpoint, hub_client, hub_errors
from .transfer import Expected, fetch

COCO = "http://images.cocodataset.org"
GQA = "https://downloads.cs.stanford.edu/nlp/data/gqa"
TEXT_VQA = "https://dl.fbaipublicfiles.com/textvqa/images"
VISUAL_GENOME = "https://cs.stanford.edu/people/rak248/VG_100K_2"
GENEVAL = "https://raw.githubusercontent.com/djghosh13/geneval/main/prompts"
"""Where data sets are that are not on the hub."""

NOTES_FILE = "downloads.json"
"""Beside the data: what has been fetched, with its size and SHA-256."""

GENEVAL_PROMPTS = 553
HPD_STYLES = ("anime", "concept-art", "paintings", "photo")
HPD_PROMPTS = 3200


@dataclass(frozen=True)
class Archive:
    """A zip archive on a web server.

    Attributes:
        address: Where it is.
        folder: Where its members go, within that of the data.
        expected: What it must be.
        members: Patterns of the members that are wanted.
    """

    address: str
    folder: str
    expected: Expected = field(default_factory=Expected)
    members: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Dataset:
    """A data set that can be fetched.

    Attributes:
        about: What it is, with its licence.
        parts: What it consists of, the first by default: each fetches its files.
    """

    about: str
    parts: Mapping[str, Callable[["Destination"], None]]


@dataclass(frozen=True)
class Destination:
    """Where data goes, and how much of it.

    Attributes:
        folder: That of all data sets, `data` in the configurations.
        files: How many files of a data set of thousands.
        keep_archives: Whether archives stay once they are unpacked.
    """

    folder: Path
    files: int = 1
    keep_archives: bool = False

    def archive(self, wanted: Archive) -> None:
        """Fetch and unpack an archive, unless that has been done."""
        name = wanted.address.rpartition("/")[2]
        place = self.folder / wanted.folder
        notes = read_notes(place)
        key = f"{wanted.address} {' '.join(wanted.members)}"
        if key in notes:
            print(f"{name}: unpacked in {place} already")
            return
        path = place / name
        digest = sha256_of(path) if path.is_file() else None
        if digest is None or wanted.expected.sha256 not in (None, digest):
            digest = fetch(wanted.address, path, wanted.expected)
        count = unpack(path, place, wanted.members)
        note(place, key, {"sha256": digest, "files": count})
        if not self.keep_archives:
            path.unlink()
        print(f"{name}: {count} files in {place}")

    def web_file(self, address: str, name: str, check: Callable[[Path], None]) -> None:
        """Fetch a file of a web server, unless it is there; it is checked by its content."""
        path = self.folder / name
        if not path.is_file():
            fetch(address, path)
        check(path)
        print(f"{path}: {path.stat().st_size:,} bytes")

    def hub_files(self, repository: str, names: Sequence[str], folder: str) -> list[Path]:
        """Fetch files of a data set on the hub, checked against the digests that it keeps."""
        place = self.folder / folder
        notes, found = read_notes(place), []
        with hub_errors(f"{repository} could not be fetched"):
            infos = hub_client().get_paths_info(repository, list(names), repo_type="dataset")
            known = {info.path: info for info in infos if isinstance(info, RepoFile)}
            for name in names:
                if name not in known:
                    raise UserError(
                        f"{repository} has no file {name!r} any more; expected one, see its page"
                    )
                path = place / name
                info = known[name]
                if not _is_noted(notes.get(name), path, info.blob_id):
                    hf_hub_download(
                        repository,
                        name,
                        repo_type="dataset",
                        local_dir=place,
                        endpoint=endpoint(),
                    )
                    digest = sha256_of(path)
                    _expect_digest(repository, path, digest, info)
                    content = {"sha256": digest, "size": info.size, "version": info.blob_id}
                    note(place, name, content)
                print(f"{path}: {path.stat().st_size:,} bytes")
                found.append(path)
        return found


def download_dataset(name: str, destination: Destination, parts: Sequence[str] = ()) -> None:
    """Fetch a data set, or parts of it.

    Args:
        name: One of `DATASETS`.
        destination: Where it goes, and how much of it.
        parts: Which parts; the first by default.

    Raises:
        UserError: If there is no such data set or part, or it cannot be fetched.
    """
    if name not in DATASETS:
        raise UserError(f"{shown(name)} is not a data set; expected one of {', '.join(DATASETS)}")
    dataset = DATASETS[name]
    chosen = list(parts) or [next(iter(dataset.parts))]
    for part in chosen:
        if part not in dataset.parts:
            raise UserError(
                f"{name} has no part {shown(part)}; expected {', '.join(dataset.parts)}"
            )
    if destination.files < 1:
        raise UserError(f"files is {destination.files}; expected at least 1")
    print(f"{name}: {dataset.about}")
    for part in chosen:
        dataset.parts[part](destination)


def read_notes(folder: Path) -> dict[str, Any]:
    """What has been fetched into a folder, by name."""
    path = folder / NOTES_FILE
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def note(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Note that something has been fetched."""
    write_json(folder / NOTES_FILE, read_notes(folder) | {name: dict(content)})


def _is_noted(known: Any, path: Path, version: str) -> bool:
    """Whether this version of a file has been fetched and is still there."""
    return (
        isinstance(known, Mapping)
        and known.get("version") == version
        and path.is_file()
        and path.stat().st_size == known.get("size")
    )


def _expect_digest(repository: str, path: Path, digest: str, info: RepoFile) -> None:
    """Raise on a file that is not the hub's, and remove it."""
    wanted = info.lfs.sha256 if info.lfs is not None else None
    if path.stat().st_size == info.size and wanted in (None, digest):
        return
    size = path.stat().st_size
    path.unlink()
    raise UserError(
        f"{path.name} of {repository} came with {size:,} bytes and the SHA-256 {digest}; expected "
        f"{info.size:,} and {wanted}: it was removed, give the command again"
    )


def _coco(name: str, expected: Expected, folder: str = "coco") -> Callable[[Destination], None]:
    def get(destination: Destination) -> None:
        destination.archive(Archive(f"{COCO}/zips/{name}.zip", folder, expected))

    return get


def _coco_captions(destination: Destination) -> None:
    """Those of 2017, for training, and those of 2014, whose validation images FID is against."""
    for year, expected in (
        (
            2017,
            Expected(252907541, "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"),
        ),
        (2014, Expected(md5="0a379cfc70b0e71301e0f377548639bd")),
    ):
        address = f"{COCO}/annotations/annotations_trainval{year}.zip"
        members = ("annotations/captions_*.json",)
        destination.archive(Archive(address, "coco", expected, members))


_TRAIN2017 = Expected(
    19336861798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"
)
_VAL2014 = Expected(md5="a3d79f5ed8d289b7a7554ce06a5782b3")


def _llava(destination: Destination) -> None:
    repository = "liuhaotian/LLaVA-Instruct-150K"
    destination.hub_files(repository, ["llava_v1_5_mix665k.json"], "llava")
    print("its images are parts: coco, gqa, textvqa, vg; those of OCR-VQA come from its authors")


def _gqa(destination: Destination) -> None:
    destination.archive(Archive(f"{GQA}/images.zip", "llava/gqa"))


def _text_vqa(destination: Destination) -> None:
    destination.archive(Archive(f"{TEXT_VQA}/train_val_images.zip", "llava/textvqa"))


def _visual_genome(destination: Destination) -> None:
    for name in ("images.zip", "images2.zip"):
        destination.archive(Archive(f"{VISUAL_GENOME}/{name}", "llava/vg"))


def _refinedweb(destination: Destination) -> None:
    repository = "tiiuae/falcon-refinedweb"
    with hub_errors(f"{repository} could not be listed"):
        names = hub_client().list_repo_files(repository, repo_type="dataset")
    parquet = sorted(name for name in names if name.endswith(".parquet"))
    if not parquet:
        raise UserError(f"{repository} has no Parquet files any more; see its page")
    destination.hub_files(repository, parquet[: destination.files], "refinedweb")
    print(f"{min(destination.files, len(parquet))} of {len(parquet)} files; --files takes more")


def _geneval(destination: Destination) -> None:
    name = "evaluation_metadata.jsonl"
    destination.web_file(f"{GENEVAL}/{name}", f"geneval/{name}", _check_geneval)


def _check_geneval(path: Path) -> None:
    """Raise on what is not the benchmark's list of prompts."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        good = all(isinstance(row["prompt"], str) and row["tag"] for row in rows)
    except (ValueError, KeyError, TypeError):
        rows, good = [], False
    if not good or len(rows) != GENEVAL_PROMPTS:
        raise UserError(
            f"{path} holds {len(rows)} prompts; expected the {GENEVAL_PROMPTS} of GenEval, remove "
            "it and give the command again"
        )


def _hpd(destination: Destination) -> None:
    """The prompts of the benchmark, in GenEval's format, with their style as the tag."""
    names = [f"benchmark/{style}.json" for style in HPD_STYLES]
    files = destination.hub_files("zhwang/HPDv2", names, "hpd")
    rows = []
    for style, path in zip(HPD_STYLES, files, strict=True):
        texts = read_json(path)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UserError(f"{path} holds no list of prompts; remove it and fetch it again")
        rows += [{"prompt": text, "tag": style} for text in texts]
    if len(rows) != HPD_PROMPTS:
        print(f"{len(rows)} prompts in place of the {HPD_PROMPTS} of the paper: they have changed")
    output = destination.folder / "hpd" / "prompts.jsonl"
    with write_atomically(output) as temporary:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text(lines, encoding="utf-8")
    print(f"{output}: {len(rows)} prompts")


DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        "coco-captions": Dataset(
            "COCO captions; annotations CC BY 4.0, images under Flickr's terms",
            {
                "captions": _coco_captions,
                "train2017": _coco("train2017", _TRAIN2017),
                "val2014": _coco("val2014", _VAL2014),
            },
        ),
        "llava": Dataset(
            "LLaVA-v1.5 instructions (mix665k); CC BY 4.0, and OpenAI's terms for its texts",
            {
                "instructions": _llava,
                "coco": _coco("train2017", _TRAIN2017, "llava/coco"),
                "gqa": _gqa,
                "textvqa": _text_vqa,
                "vg": _visual_genome,
            },
        ),
        "refinedweb": Dataset("Falcon RefinedWeb; ODC-By 1.0", {"texts": _refinedweb}),
        "geneval": Dataset("prompts of GenEval; MIT", {"prompts": _geneval}),
        "hpd": Dataset("prompts of Human Preference Dataset v2; Apache-2.0", {"prompts": _hpd}),
    }
)
"""What can be fetched, by name."""
