"""Stores of trajectories: manifests, shards, and folders that are none."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from showo_turbo.utils.files import sha256_of

from .bench import Case, table

pytestmark = pytest.mark.bad_input

IMAGES, TEXTS = "images-00000.safetensors", "texts-00000.safetensors"
STEPS = "sampling.sampling_steps"
COLLECT = "run the same collect command again"
AGAIN = "delete its folder and collect again"


def store(spoil, kind="images"):
    """Look at a store that `spoil` got hold of."""

    def prepare(bench):
        folder = bench.folder / kind
        shutil.copytree(bench.good.stores / kind, folder)
        spoil(folder)
        return ["trajectories", folder, "--output", "strips", "--model", bench.good.model]

    return prepare


def manifest(change, kind="images"):
    """The same, of a store with another manifest."""

    def spoil(folder):
        path = folder / "manifest.json"
        content = json.loads(path.read_text())
        content = change(content) or content
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    return store(spoil, kind)


def identity(kind="images", **changes):
    return manifest(lambda content: content["identity"].update(changes), kind)


def shard(kind="images", **changes):
    return manifest(lambda content: content["shards"][0].update(changes), kind)


def tensors(change, kind="images"):
    """A shard with other tensors, and the checksum to them: what another program wrote."""

    def spoil(folder):
        path = folder / f"{kind}-00000.safetensors"
        state = load_file(path)
        change(state)
        save_file(state, path)
        content = json.loads((folder / "manifest.json").read_text())
        content["shards"][0]["sha256"] = sha256_of(path)
        (folder / "manifest.json").write_text(json.dumps(content))

    return store(spoil, kind)


def fill(name, value, kind="images"):
    return tensors(lambda state: state[name].fill_(value), kind)


def replace(name, value, kind="images"):
    return tensors(lambda state: state.update({name: value}), kind)


def cut_short(folder):
    path = folder / IMAGES
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(folder):
    path = folder / IMAGES
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def link(folder):
    (folder / IMAGES).rename(folder.parent / "elsewhere.safetensors")
    (folder / IMAGES).symlink_to(folder.parent / "elsewhere.safetensors")


def without_identity(content):
    del content["identity"]


def of_videos(content):
    content["identity"]["kind"] = "videos"


def not_a_number(content):
    return json.dumps(content).replace('"samples": 4', '"samples": NaN')


def empty_folder(bench):
    (bench.folder / "empty").mkdir()
    return ["trajectories", "empty"]


def collect_into(spoil, *options):
    """Collect into a folder that `spoil` got hold of."""

    def prepare(bench):
        shutil.copytree(bench.good.stores, bench.folder / "out")
        spoil(bench.folder / "out" / "images")
        return [*bench.good.collection("out"), *options]

    return prepare


def leave_only_a_note(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")


def replace_by_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


CASES = [
    Case(
        "no folder", lambda bench: ["trajectories", "no"], "no is not a folder", "made by", "name"
    ),
    Case("empty folder", empty_folder, "empty holds no traj", "made by collect", "name a folder"),
    Case("no JSON", manifest(lambda content: "{"), "manifest.json", "not valid JSON", "correct or"),
    Case("a list", manifest(lambda content: [1]), "is not a manifest", "made by", "name a folder"),
    Case(
        "another format", manifest(lambda c: c.update(format="zip")), "not a manifest", "", "name"
    ),
    Case(
        "another version",
        manifest(lambda c: c.update(version=9)),
        "version 9",
        "expected 3",
        "again",
    ),
    Case("no identity", manifest(without_identity), "KeyError", "is damaged", AGAIN),
    Case("identity as a list", manifest(lambda c: c.update(identity=[])), "TypeError", "", AGAIN),
    Case("unknown kind", manifest(of_videos), "'videos'", "one of images, texts", AGAIN),
    Case("no prompt", identity(num_prompts=0), "0 prompts", "is damaged", AGAIN),
    Case("settings as text", identity(settings="a"), "settings is 'a'", "is damaged", AGAIN),
    Case(
        "no steps",
        identity(settings={}),
        "nothing for sampling.sampling_steps",
        "whole number",
        "collect again",
    ),
    Case(
        "steps as text",
        identity(settings={STEPS: "4"}),
        f"'4' for {STEPS}",
        "whole number",
        "again",
    ),
    Case(
        "segments",
        identity(settings={STEPS: 4, "segments": 3}),
        "3 segments",
        "do not divide 4 steps",
        "choose segments",
    ),
    Case(
        "too many steps",
        identity(settings={STEPS: 10**12, "segments": 7}),
        "steps is 1000000000000",
        "at most 32,767",
        "set the number",
    ),
    Case("settings in settings", identity(settings={"steps": [[]]}), "steps is [[]]", "", AGAIN),
    Case("upwards", shard(file=f"../{IMAGES}"), f"'../{IMAGES}'", "not one of the 1 shards", AGAIN),
    Case(
        "absolute", shard(file=f"/tmp/{IMAGES}"), "'/tmp/images", "not one of the 1 shards", AGAIN
    ),
    Case(
        "beyond the last", shard(file="images-00001.safetensors"), "00001", "not one of the", AGAIN
    ),
    Case("name as number", shard(file=7), "7 is not one of", "1 shards", AGAIN),
    Case("negative samples", shard(samples=-4), "negative", "is damaged", AGAIN),
    Case("samples as text", shard(samples="4"), "samples is '4'", "is damaged", AGAIN),
    Case("NaN", manifest(not_a_number), "samples is nan", "is damaged", AGAIN),
    Case("totals as list", shard(totals=[]), "totals is []", "is damaged", AGAIN),
    Case("more samples", shard(samples=9), "is I64 (5,)", "expected I64 (10,)", COLLECT),
    Case("another checksum", shard(sha256="0" * 64), "is damaged", "checksum differs", COLLECT),
    Case("no shard", store(lambda f: (f / IMAGES).unlink()), IMAGES, "is missing", COLLECT),
    Case("a cut shard", store(cut_short), IMAGES, "checksum differs from the one noted", COLLECT),
    Case("an altered shard", store(flip_a_bit), IMAGES, "checksum differs from the one", COLLECT),
    Case("a link", store(link), f"{IMAGES} is a link", "could lead out of the store", COLLECT),
    Case("no codes", tensors(lambda s: s.pop("codes")), "codes", "cannot be read", COLLECT),
    Case("codes as floats", replace("codes", torch.zeros(4, 16)), "F32", "expected U8", COLLECT),
    Case("flat codes", replace("codes", torch.zeros(4).int()), "I32 (4,)", "(4, 'any')", COLLECT),
    Case("codes beyond", fill("codes", 64), "code 64", "0 to 63", "name the model"),
    Case("codes below", fill("codes", -1), "code -1", "0 to 63", "name the model"),
    Case("reveal beyond", fill("reveal_step", 9), "values from 9 to 9", "expected 0 to 4", COLLECT),
    Case("all known", fill("reveal_step", 0), "reveal_step", "without a masked token", COLLECT),
    Case("offsets", fill("prompts.offsets", -1), "prompts.offsets", "from 0 to", COLLECT),
    Case("offsets far away", fill("keys.offsets", 2**40), "keys.offsets", "from 0 to", COLLECT),
    Case("no UTF-8", fill("prompts", 255), IMAGES, "'utf-8' codec can't decode", COLLECT),
    Case("boundaries", fill("reveal_step", 1), "boundary_top_ids", "one row for each", COLLECT),
    Case("no block", shard("texts", totals={}), "iterates", "cannot be read", ""),
    Case("iterates", fill("iterates.offsets", 0, "texts"), "iterates.offsets", "from 0", COLLECT),
    Case("tokens below", fill("iterates", -5, "texts"), "values from -5", "expected 0", COLLECT),
    Case("answers", fill("answer_ids.offsets", 0, "texts"), "answer_ids.offsets", "from", COLLECT),
    Case(
        "of another teacher",
        collect_into(lambda f: None, "--images.sampling.guidance_scale", "3"),
        "guidance_scale is 0.0 there but 3.0 is asked for",
        "holds other trajectories",
        "name another folder, or ask for the same",
    ),
    Case(
        "notes", collect_into(leave_only_a_note), "no manifest.json", "holds files", "name an empty"
    ),
    Case("a file", collect_into(replace_by_a_file), "images is a file", "a folder for", "name"),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)


def test_good_ones_are_not(bench):
    for kind in ("images", "texts"):
        ended = bench.run(*store(lambda folder: None, kind)(bench))
        assert ended.status == 0, ended.errors


def test_a_store_that_says_it_is_endless(bench):
    """Nothing is counted out one by one."""
    ended = bench.run(*identity(num_prompts=10**18)(bench))
    assert ended.status == 0 and "unfinished" in ended.output
