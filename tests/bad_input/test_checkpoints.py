"""Checkpoints of training: exported, and trained on from."""

import pickle

import pytest
import torch

from .bench import Case, table
from .malice import CANARY, Malicious

pytestmark = pytest.mark.bad_input

WEIGHT = "model.decoder.conv_out.weight"


def spoiled(bench, change, content):
    """A checkpoint that was changed, or one of this content."""
    path = bench.folder / "last.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    elif change is not None:
        state = torch.load(bench.good.checkpoint, weights_only=True)
        change(state)
        torch.save(state, path)
    return path


def export(change=None, *, content=None, options=(), before=lambda folder: None):
    """Write the network of a checkpoint as a model folder."""

    def prepare(bench):
        before(bench.folder)
        return ["export", spoiled(bench, change, content), "out", *options]

    return prepare


def resume(change=None, *, content=None, command="fit", sizes=()):
    """Train on from a checkpoint."""

    def prepare(bench):
        path = spoiled(bench, change, content)
        config = bench.pretraining(bench.good.captions, bench.good.images)
        return [command, "-c", config, "--ckpt_path", path, *sizes]

    return prepare


def address(scheme):
    """Measure what code at an address would become."""

    def prepare(bench):
        measure = resume(content={"state_dict": Malicious()}, command="validate")(bench)
        return [*measure[:-1], f"{scheme}{measure[-1]}"]

    return prepare


def named(name, *, content=None):
    """Train on from what this option stands for; there may be a `last.ckpt` of this content."""

    def prepare(bench):
        config = bench.pretraining(bench.good.captions, bench.good.images)
        if content is not None:
            bench.write("run/checkpoints/last.ckpt", content)
        return ["fit", "-c", config, "--ckpt_path", name]

    return prepare


def without_position(state):
    del state["ImageDataModule"]["consumed"]


def change_weight(number):
    def change(state):
        state["state_dict"][WEIGHT].view(-1)[0] = number

    return change


def remove_weight(state):
    del state["state_dict"][WEIGHT]


def reshape_weight(state):
    state["state_dict"][WEIGHT] = torch.zeros(3)


def make_file(folder):
    (folder / "out").write_text("")


def make_model(folder):
    (folder / "out").mkdir()
    (folder / "out" / "config.json").write_text("{}")


def folder_of_shards(bench):
    (bench.folder / "last.ckpt").mkdir()
    return ["export", bench.folder / "last.ckpt", "out"]


ANOTHER = "name another"
RESTORED = "cannot be restored"
LARGER = ["--model.init_args.tokenizer.channels", "16"]

EXPORTED = [
    Case("no file", export(), "last.ckpt does not exist", "a checkpoint of training", ANOTHER),
    Case("a folder", folder_of_shards, "is a sharded checkpoint", "one file first", "with `python"),
    Case("no bytes", export(content=b""), "is damaged", "tensors and plain values", "export it"),
    Case("noise", export(content=b"PK\x03\x04" * 9), "is damaged", "expected tensors", "download"),
    Case(
        "code", export(content={"state_dict": Malicious()}), "more than weights", "tensors", "again"
    ),
    Case("no weights", export(content={"epoch": 1}), "no state_dict", "of training", ANOTHER),
    Case("a list", export(content=[1]), "no state_dict", "a checkpoint of training", ANOTHER),
    Case(
        "another network",
        export(content={"state_dict": {"net.weight": torch.zeros(1)}}),
        "last.ckpt holds no",
        "expected a checkpoint of",
        "whose keys begin with",
    ),
    Case(
        "no sizes", export(lambda state: state.pop("magvitv2_config")), "sizes", "--config", "name"
    ),
    Case(
        "a missing key", export(remove_weight), f"1 missing ({WEIGHT[6:]})", "does not fit", ANOTHER
    ),
    Case("a wrong shape", export(reshape_weight), "is (3,)", "expected (3, 8, 3, 3)", ANOTHER),
    Case("NaN", export(change_weight(float("nan"))), "NaN", "finite numbers", "an earlier"),
    Case(
        "too large", export(change_weight(1e6), options=["--half"]), "too large", "half", "without"
    ),
    Case(
        "onto a file",
        export(lambda state: None, before=make_file),
        "out is a file",
        "a folder",
        "name",
    ),
    Case(
        "onto a model",
        export(lambda state: None, before=make_model),
        "out holds a model",
        "another",
        "overwrite",
    ),
]

RESUMED = [
    Case("no file", resume(), "last.ckpt does not exist", "a checkpoint of training", "such as"),
    Case("no bytes", resume(content=b""), "not a complete checkpoint", "of training", ANOTHER),
    Case(
        "noise",
        resume(content=b"PK\x03\x04" * 9),
        "last.ckpt is not a complete",
        "of training",
        ANOTHER,
    ),
    Case("code", resume(content={"state_dict": Malicious()}), "last.ckpt", "of training", ANOTHER),
    Case(
        "weights alone", resume(lambda s: s.pop("loops")), "no state of a", "of training", ANOTHER
    ),
    Case("NaN", resume(change_weight(float("nan"))), "NaN or infinite", WEIGHT, "--resume auto"),
    Case("a missing key", resume(remove_weight), WEIGHT, "of the same classes", ANOTHER),
    Case("a wrong shape", resume(reshape_weight), "does not fit", "of the same classes", ANOTHER),
    Case(
        "other sizes", resume(lambda s: None, sizes=LARGER), "does not fit", "sizes", "correct the"
    ),
    Case(
        "code to be measured",
        resume(content={"state_dict": Malicious()}, command="validate"),
        "last.ckpt",
        "expected a checkpoint of training",
        ANOTHER,
    ),
    Case("a file's address", address("file://"), "file:///", "on this machine", "download it"),
    Case("an address", address("http://127.0.0.1:9"), "http://127", "on this machine", "download"),
    Case("a bucket", named("s3://a/b.ckpt"), "s3://a/b.ckpt", "on this machine", "download it"),
    Case("a registry", named("registry:a"), "registry:a", "on this machine", "download it"),
    Case("a colon", named("c:/b.ckpt"), "c:/b.ckpt does not exist", "of training", "such as"),
    Case("the best", named("best"), "--ckpt_path best", "a checkpoint's file", "name the best"),
    Case("no last", named("last"), "last: there is no such", "expected one", "name its file"),
    Case("no hpc", named("hpc"), "hpc: there is no such", "expected one", "name its file"),
    Case(
        "a cut last",
        named("last", content=b"PK"),
        "last.ckpt is not a complete",
        "training",
        ANOTHER,
    ),
    Case(
        "a malicious last",
        named("last", content=pickle.dumps(Malicious(), protocol=2)),
        "last.ckpt is not a complete",
        "a checkpoint of training",
        ANOTHER,
    ),
    Case(
        "no loops", resume(lambda s: s.update(loops={})), "KeyError: 'fit_loop'", RESTORED, ANOTHER
    ),
    Case(
        "no version",
        resume(lambda s: s.pop("pytorch-lightning_version")),
        "'pytorch-lightning_version'",
        RESTORED,
        ANOTHER,
    ),
    Case("no position", resume(without_position), "KeyError: 'consumed'", RESTORED, ANOTHER),
    Case(
        "callbacks as a list", resume(lambda s: s.update(callbacks=[1])), "Error", RESTORED, ANOTHER
    ),
]


@table(EXPORTED)
def test_is_not_exported(case, bench):
    case.check(bench)
    assert not CANARY.exists()


@table(RESUMED)
def test_is_not_resumed(case, bench):
    case.check(bench)
    assert not CANARY.exists()


def test_a_good_one_is(bench):
    ended = bench.run(*export(lambda state: None)(bench))
    assert ended.status == 0, ended.errors
    ended = bench.run(*resume(lambda state: None)(bench))
    assert ended.status == 0, ended.errors


def test_a_checkpoint_does_not_choose_what_runs(bench):
    """Lightning lets hyper-parameters of a checkpoint, classes among them, go over the user's."""

    def name_a_class(state):
        state["hyper_parameters"] = {"_class_path": "subprocess.Popen", "args": ["true"]}

    ended = bench.run(*resume(name_a_class)(bench))
    assert ended.status == 0, ended.errors


def test_the_malice_works(tmp_path):
    """What is refused above does run where nobody refuses it."""
    torch.save(Malicious(), tmp_path / "a.bin")
    torch.load(tmp_path / "a.bin", weights_only=False)
    assert CANARY.exists()
    CANARY.rmdir()
