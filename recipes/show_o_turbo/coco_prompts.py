"""Choose the prompts of zero-shot COCO FID-30K: a caption of each of 30,000 validation images.

python recipes/show_o_turbo/coco_prompts.py          # after showo-turbo download coco-captions
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from showo_turbo.errors import UserError
from showo_turbo.utils.files import read_json, write_atomically
from showo_turbo.utils.random import Permutation, stable_hash

CAPTIONS = Path("data/coco/annotations/captions_val2014.json")
OUTPUT = Path("data/coco/fid_30k.jsonl")
COUNT = 30_000


def choose(captions: Path, count: int, seed: int) -> list[dict[str, object]]:
    """Images at random, each with its first caption by id.

    Args:
        captions: COCO's captions.
        count: How many.
        seed: Chooses which.

    Raises:
        UserError: If there are fewer images with captions.
    """
    first: dict[int, str] = {}
    for entry in sorted(read_json(captions)["annotations"], key=lambda entry: entry["id"]):
        first.setdefault(entry["image_id"], " ".join(entry["caption"].split()))
    images = sorted(first)
    if len(images) < count:
        raise UserError(f"{captions} has captions of {len(images)} images; expected {count}")
    order = Permutation(len(images), stable_hash(seed, "fid"))
    chosen = [images[order[place]] for place in range(count)]
    return [{"prompt": first[image], "image_id": image} for image in chosen]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write them, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--captions", type=Path, default=CAPTIONS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows = choose(options.captions, options.count, options.seed)
    with write_atomically(options.output) as temporary:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text(lines, encoding="utf-8")
    print(f"{len(rows)} prompts: {options.output}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
