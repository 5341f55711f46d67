"""Model folders."""

import io
import json
import shutil
import struct
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from .bench import Case, table
from .malice import CANARY, Malicious

pytestmark = pytest.mark.bad_input

WEIGHTS = "pytorch_model.safetensors"
RESTORE = "restore both"
AGAIN = "download or export it again"


def generate(bench, model):
    options = [
        "--image_tokenizer",
        bench.good.image_tokenizer,
        "--sampling_steps",
        "2",
        "--output",
        "out",
    ]
    return ["generate", "a red circle", "--model", model, *options]


def model(spoil):
    """Load a model whose folder `spoil` got hold of."""

    def prepare(bench):
        shutil.copytree(bench.good.model, bench.folder / "model")
        spoil(bench.folder / "model")
        return generate(bench, bench.folder / "model")

    return prepare


def named(name):
    return lambda bench: generate(bench, name)


def config(content):
    """A `config.json` of this content; None stands for no file."""

    def spoil(folder):
        path = folder / "config.json"
        path.unlink() if content is None else path.write_bytes(content)

    return model(spoil)


def sizes(**changes):
    """A `config.json` with other sizes of the network."""

    def spoil(folder):
        path = folder / "config.json"
        values = json.loads(path.read_text())
        released = {name: changes.pop(name) for name in list(changes) if name in values}
        values["showo_turbo"] |= changes
        path.write_text(json.dumps(values | released))

    return model(spoil)


def weights(content):
    """A weight file of these bytes."""
    return model(lambda folder: (folder / WEIGHTS).write_bytes(content))


def tensors(change):
    """A weight file with other tensors."""

    def spoil(folder):
        state = load_file(folder / WEIGHTS)
        change(state)
        save_file(state, folder / WEIGHTS)

    return model(spoil)


def pickled(content, **options):
    """A `.bin` file instead of safetensors."""

    def spoil(folder):
        (folder / WEIGHTS).unlink()
        path = folder / "pytorch_model.bin"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path, **options)

    return model(spoil)


def value(number):
    def change(state):
        state["showo.lm_head.weight"][3, 5] = number

    return tensors(change)


def cut(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def compressed():
    """A checkpoint that unfolds to a thousand times its size."""
    file = io.BytesIO()
    torch.save({"a": torch.zeros(2**20)}, file)
    packed = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for entry in source.infolist():
            out.writestr(entry.filename, source.read(entry))
    return packed.getvalue()


HEADER_OF_GIGABYTES = struct.pack("<Q", 2**40) + b"{}"
NO_HEADER = struct.pack("<Q", 8) + b"nonsense"
BEYOND_THE_END = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
BEYOND_THE_END = struct.pack("<Q", len(BEYOND_THE_END)) + BEYOND_THE_END

CASES = [
    Case("no folder", named("nowhere"), "'nowhere' is not a folder", "a local folder", "correct"),
    Case("a long path", named("a/b/c"), "'a/b/c' is not a folder", "a local folder", "correct"),
    Case("an empty name", named(""), "model '' is not a folder", "a local folder", "correct the"),
    Case("no config", config(None), "config.json does not exist", "a JSON file", "correct the"),
    Case("empty config", config(b""), "config.json is not valid", "JSON", "correct or restore it"),
    Case(
        "config no UTF-8", config(b"\xff"), "config.json cannot be", "expected JSON", "restore it"
    ),
    Case("a list", config(b"[]"), "config.json holds no JSON object", "sizes", "restore the file"),
    Case(
        "sizes as text", config(b'{"showo_turbo": "a"}'), "'a'", "an object", "correct or restore"
    ),
    Case("width as text", sizes(hidden_size="wide"), "'wide'", "a whole number", "correct or"),
    Case("no layers", sizes(layers=0), "layers is 0", "a whole number from 1", "correct or"),
    Case("layers beyond time", sizes(layers=10**9), "layers is 1000000000", "1,024", "correct or"),
    Case("width beyond memory", sizes(hidden_size=10**12), "is 1000000000000", "from 1", "correct"),
    Case("heads", sizes(heads=5), "heads is 5", "a divisor of hidden_size=32", "correct or"),
    Case("rotary share", sizes(partial_rotary_factor=2), "is 2", "at most 1", "correct or restore"),
    Case("end of text", sizes(eos_id=-1), "eos_id is -1", "0 to 639", "correct or restore it"),
    Case("text tokens", sizes(llm_vocab_size=500), "wrong shape", "do not fit its", RESTORE),
    Case("other codebook", sizes(codebook_size=128), "wrong shape", "config.json", RESTORE),
    Case("no square", sizes(num_vq_tokens=15), "15 image tokens", "a square image", "restore"),
    Case(
        "no weights", model(lambda f: (f / WEIGHTS).unlink()), "no weights", WEIGHTS, "name another"
    ),
    Case("no bytes", weights(b""), "is damaged", "expected safetensors", AGAIN),
    Case("noise", weights(bytes(range(256))), "is damaged", "expected safetensors", AGAIN),
    Case("no header", weights(NO_HEADER), "is damaged", "expected safetensors", AGAIN),
    Case("header of gigabytes", weights(HEADER_OF_GIGABYTES), "is damaged", "safetensors", AGAIN),
    Case("beyond the end", weights(BEYOND_THE_END), "is damaged", "expected safetensors", AGAIN),
    Case("half a file", model(cut), "is damaged", "expected safetensors", AGAIN),
    Case(
        "a missing key",
        tensors(lambda state: state.pop("showo.lm_head.bias")),
        "1 missing (showo.lm_head.bias)",
        "do not fit its config.json",
        RESTORE,
    ),
    Case(
        "no projector",
        sizes(w_clip_vit=True),
        "config.json says that the model reads features of images (w_clip_vit)",
        "its weights have no projector (mm_projector.*)",
        RESTORE,
    ),
    Case(
        "an unexpected key",
        tensors(lambda state: state.update(extra=torch.zeros(1))),
        "1 unexpected (extra)",
        "do not fit its config.json",
        RESTORE,
    ),
    Case(
        "a wrong shape",
        tensors(lambda state: state.update({"showo.lm_head.bias": torch.zeros(3)})),
        "showo.lm_head.bias is (3,)",
        "expected (715,)",
        RESTORE,
    ),
    Case(
        "NaN", value(float("nan")), "1 values that are NaN", "finite numbers", "an earlier export"
    ),
    Case(
        "infinite", value(float("inf")), "or infinite in showo.lm_head", "finite", "earlier export"
    ),
    Case("a pickle of code", pickled(Malicious()), "more than weights", "expected tensors", AGAIN),
    Case(
        "an old pickle of code",
        pickled(Malicious(), _use_new_zipfile_serialization=False),
        "holds more than weights",
        "expected tensors",
        AGAIN,
    ),
    Case("a cut pickle", pickled(b"PK\x03\x04"), "is damaged", "expected tensors", AGAIN),
    Case("a pickled list", pickled([torch.zeros(1)]), "no plain state dict", "of tensors", AGAIN),
    Case("numbered keys", pickled({1: torch.zeros(1)}), "no plain state dict", "tensors", AGAIN),
    Case("a compressed pickle", pickled(compressed()), "is compressed", "torch.save", "export it"),
]


@table(CASES)
def test_is_refused(case, bench):
    case.check(bench)
    assert not CANARY.exists()


def test_a_good_model_is_not(bench):
    assert bench.run(*model(lambda folder: None)(bench)).status == 0
