"""Hypothesis strategies of file contents that are wrong, or nearly right, in many ways."""

import io
import json
import struct
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

DEEP, DIGITS = "(deep)", "(digits)"
"""Texts that stand for lists in lists, and for a number of many digits, until they are JSON."""

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "\0", "\ud800", "../a.png", "/etc/passwd", "a/" * 3000, "word " * 3000, "1" * 64]
    ),
    st.sampled_from([DEEP, DIGITS]),
)
NUMBERS = st.one_of(
    st.integers(-2, 40),
    st.sampled_from([2**15, 2**31, 2**32 - 1, 2**53, 2**63, -(2**63), 2**64, 10**18, 10**300]),
    st.floats(),
)


def values(keys):
    """Anything that JSON holds, and with some luck under keys that a reader looks for."""
    leaves = st.none() | st.booleans() | NUMBERS | TEXTS
    names = st.sampled_from(sorted(keys)) | TEXTS
    return st.recursive(
        leaves,
        lambda entries: st.lists(entries, max_size=4) | st.dictionaries(names, entries, max_size=4),
        max_leaves=12,
    )


@st.composite
def spoiled(draw, value):
    """A good JSON value with one to four of its entries replaced, removed, copied or renamed."""
    value = json.loads(json.dumps(value))
    anything = values(keys_of(value))
    for _ in range(draw(st.integers(1, 4))):
        places = list(places_in(value))
        if not places:
            return draw(anything)
        container, key = draw(st.sampled_from(places))
        other, other_key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["replace", "replace", "remove", "copy", "rename"]))
        if change == "replace":
            container[key] = draw(anything)
        elif change == "copy":
            container[key] = json.loads(json.dumps(other[other_key]))
        elif isinstance(container, dict):
            entry = container.pop(key)
            if change == "rename":
                container[draw(TEXTS)] = entry
        else:
            del container[key]
    return value


def places_in(value):
    """The container and the key of every entry, however deep."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in list(entries):
        yield value, key
        if isinstance(entry, (dict, list)):
            yield from places_in(entry)


def keys_of(value):
    """All keys of all objects in a value."""
    return {key for container, key in places_in(value) if isinstance(container, dict)} or {"a"}


@st.composite
def encoded(draw, contents):
    """JSON values as bytes."""
    data = json.dumps(draw(contents)).encode()
    if f'"{DEEP}"'.encode() in data:
        depth = draw(st.sampled_from([40, 300, 480, 900, 960, 3000]) | st.integers(900, 990))
        data = data.replace(f'"{DEEP}"'.encode(), b"[" * depth + b"]" * depth)
    return data.replace(f'"{DIGITS}"'.encode(), b"7" * draw(st.sampled_from([400, 4300, 9000])))


@st.composite
def damaged(draw, data):
    """Bytes of which some are flipped, cut off, left out, repeated or added."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        # Files tell what they are at their ends.
        ends = st.integers(0, min(64, len(data))) | st.integers(max(0, len(data) - 64), len(data))
        at = draw(st.integers(0, len(data)) | ends)
        length = draw(st.integers(1, 16) | st.integers(1, max(1, len(data))))
        change = draw(st.sampled_from(["flip", "flip", "flip", "cut", "remove", "repeat", "add"]))
        if change == "flip" and at < len(data):
            data[at] ^= draw(st.integers(1, 255))
        elif change == "cut":
            del data[at:]
        elif change == "remove":
            del data[at : at + length]
        elif change == "repeat":
            data[at:at] = data[at : at + length]
        else:
            data[at:at] = draw(st.binary(max_size=9) | st.just(b"\xff" * 8))
    return bytes(data)


@st.composite
def nested(draw):
    """JSON that opens very many lists or objects, and may close them."""
    opening, closing = draw(st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"id":', b"}]")]))
    depth = draw(st.sampled_from([10, 900, 1100, 100_000]))
    return opening * depth + b"1" + closing * draw(st.sampled_from([0, depth]))


def json_files(good):
    """Contents of a JSON file, made from a good one."""
    value = json.loads(good)
    contents = spoiled(value), values(keys_of(value))
    return st.one_of(*map(encoded, contents), damaged(good), nested(), st.just(good))


def lines_files(good):
    """Contents of a JSON Lines file."""
    lines = good.splitlines()
    line = st.one_of(*(json_files(line) for line in lines), *map(st.just, lines))
    return st.lists(line, max_size=4).map(b"\n".join) | damaged(good)


@st.composite
def headers(draw, good):
    """A safetensors file with another header over the same data, or with another length of it."""
    length = struct.unpack_from("<Q", good)[0]
    header, data = good[8 : 8 + length], good[8 + length :]
    if draw(st.booleans()):
        header = draw(encoded(spoiled(json.loads(header))))
        length = len(header)
    else:
        length = draw(st.integers(0, 2**64 - 1) | st.integers(0, len(good)))
    return struct.pack("<Q", length) + header + data


@st.composite
def layouts(draw, good):
    """The file of a batch with another description of how its tensors lie in it."""
    length = struct.unpack_from("<Q", good)[0]
    header = json.loads(good[8 : 8 + length])
    metadata = header["__metadata__"]
    metadata["layout"] = draw(json_files(metadata["layout"].encode())).decode(errors="replace")
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + good[8 + length :]


def safetensors_files(good):
    """Contents of a safetensors file."""
    return st.one_of(headers(good), damaged(good), st.just(good))


def batch_files(good):
    """Contents of the file of a batch."""
    return layouts(good) | safetensors_files(good)


@st.composite
def archives(draw, good):
    """What `torch.save` wrote, with one of its parts damaged under a right checksum."""
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(parts)))
    parts[name] = draw(damaged(parts[name]))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw(st.sampled_from([zipfile.ZIP_STORED] * 3 + [8]))) as new:
        for name, part in parts.items():
            new.writestr(name, part)
    return file.getvalue()


def pickle_files(good):
    """Contents of a file of `torch.save`."""
    return archives(good) | damaged(good)


@st.composite
def tar_headers(draw, good):
    """A tar file with other fields in one of its headers, under a right checksum."""
    data = bytearray(good)
    begins = [at for at in range(0, len(good), 512) if good[at + 257 : at + 262] == b"ustar"]
    header = draw(st.sampled_from(begins))
    for _ in range(draw(st.integers(1, 3))):
        # Name, size, type, or anywhere.
        at = draw(st.sampled_from([0, 124, 156]) | st.integers(0, 499))
        field = draw(st.binary(min_size=1, max_size=12) | st.just(b"\xff" * 12))
        data[header + at : header + at + len(field)] = field
    data[header + 148 : header + 156] = b" " * 8
    data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
    return bytes(data)


def tar_files(good):
    """Contents of a tar file."""
    return tar_headers(good) | damaged(good) | st.just(good)


COLUMNS = {
    pa.string(): TEXTS.filter(lambda text: "\ud800" not in text),
    pa.large_string(): st.text(max_size=9),
    pa.binary(): st.binary(max_size=9),
    pa.int64(): st.integers(-9, 9),
    pa.list_(pa.string()): st.lists(st.text(max_size=9), max_size=3),
    pa.struct([("text", pa.string())]): st.fixed_dictionaries({"text": st.text(max_size=9)}),
    pa.dictionary(pa.int32(), pa.string()): st.text(max_size=9),
    pa.null(): st.none(),
}


@st.composite
def tables(draw, column):
    """A parquet file of its own, with columns of any kind."""
    names = draw(st.lists(st.just(column) | st.text(max_size=9), min_size=1, max_size=3))
    rows = draw(st.integers(0, 9))
    arrays = []
    for _ in names:
        kind = draw(st.sampled_from(list(COLUMNS)))
        entries = st.lists(COLUMNS[kind] | st.none(), min_size=rows, max_size=rows)
        arrays.append(pa.array(draw(entries), kind))
    file = io.BytesIO()
    options = {
        "row_group_size": draw(st.integers(1, 9)),
        "compression": draw(st.sampled_from(["none", "snappy", "gzip", "zstd"])),
        "use_dictionary": draw(st.booleans()),
        "version": draw(st.sampled_from(["1.0", "2.6"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
    }
    pq.write_table(pa.table(arrays, names), file, **options)
    return file.getvalue()


def parquet_files(column):
    """A function that gives the contents of a parquet file."""
    return lambda good: st.one_of(damaged(good), damaged(good), tables(column), st.just(good))
