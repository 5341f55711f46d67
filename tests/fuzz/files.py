"""Files and samples as all readers under test have them."""

import json

AT_MOST = 9
"""Samples that are read of a file."""


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content))
    return path


def draw_all(dataset):
    for index in range(min(len(dataset), AT_MOST)):
        yield dataset.draw(index, seed=index)
