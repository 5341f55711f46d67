"""Scores captions with the reference implementation and writes them to cider.json beside this file.

pip install pycocoevalcap==1.2 && python tests/metrics/make_cider_golden.py
"""

import json
from pathlib import Path

from pycocoevalcap.cider.cider import Cider

CAPTIONS = [
    (
        "a man riding a wave on a surfboard",
        ["a man rides a wave", "a surfer on a large wave in the ocean"],
    ),
    ("a red circle", ["a red circle", "there is one red circle on black"]),
    ("a cat a cat a cat a cat", ["a cat sits on a mat", "the cat is on the mat", "a cat"]),
    ("two blue squares and a green triangle", ["a green triangle next to two blue squares"]),
    ("nothing in common", ["people walking down the street at night"]),
    ("a dog", ["a brown dog runs over the wet grass with a ball in its mouth"]),
    ("the mat is on the cat", ["the cat is on the mat", "a cat on a mat"]),
    (
        "people walking down a busy street at night with umbrellas",
        ["people walking down the street at night"],
    ),
]

if __name__ == "__main__":
    texts = {index: [text] for index, (text, _) in enumerate(CAPTIONS)}
    references = {index: own for index, (_, own) in enumerate(CAPTIONS)}
    mean, scores = Cider().compute_score(references, texts)
    found = {
        "captions": [text for text, _ in CAPTIONS],
        "references": [own for _, own in CAPTIONS],
        "scores": [float(score) for score in scores],
        "mean": float(mean),
    }
    Path(__file__).with_name("cider.json").write_text(json.dumps(found, indent=1) + "\n")
