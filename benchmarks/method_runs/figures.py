"""Shares of the teacher with intervals, recomputed from the outcomes of every prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from outcomes import splits

from showo_turbo.shapes.combinations import combinations_of
from showo_turbo.shapes.prompts import CATEGORIES
from showo_turbo.shapes.splits import wordings
from showo_turbo.utils.files import read_json

RESAMPLES = 2000

Array = NDArray[np.float64]


def combination_names() -> dict[str, str]:
    """For every text of the shapes world the combination that it asks for."""
    return {
        prompt.text: combination.name
        for category in CATEGORIES
        for held_out in (False, True)
        for combination in combinations_of(category, held_out=held_out)
        for prompt in wordings(combination)
    }


def as_array(outcomes: Sequence[str]) -> Array:
    """`(seeds, prompts)` of 0 and 1."""
    return np.array([[float(mark) for mark in row] for row in outcomes])


def score(right: Array, categories: Sequence[str]) -> float:
    """Mean over the categories of the share of satisfied prompts; seeds are averaged first.

    Args:
        right: `(seeds, prompts)`.
        categories: One a prompt.
    """
    means = right.mean(axis=0)
    kinds = np.array(categories)
    return float(np.mean([means[kinds == kind].mean() for kind in dict.fromkeys(categories)]))


def share(
    student: Array, teacher: Array, categories: Sequence[str], clusters: Sequence[str]
) -> dict[str, Any]:
    """The student's score as a share of the teacher's on the same prompts.

    The interval is that of a bootstrap: clusters of prompts, those that ask for the same, are drawn
    with replacement within each category, and seeds with replacement, too.

    Args:
        student: `(seeds, prompts)`.
        teacher: `(1, prompts)`.
        categories: One a prompt.
        clusters: One a prompt.
    """
    generator = np.random.default_rng(0)
    groups: dict[str, dict[str, list[int]]] = {}
    for index, (category, cluster) in enumerate(zip(categories, clusters, strict=True)):
        groups.setdefault(category, {}).setdefault(cluster, []).append(index)
    ratios = []
    for _ in range(RESAMPLES):
        seeds = generator.integers(len(student), size=len(student))
        ours, theirs = [], []
        for members in groups.values():
            rows = list(members.values())
            drawn = generator.integers(len(rows), size=len(rows))
            chosen = np.concatenate([rows[row] for row in drawn]).astype(int)
            ours.append(student[seeds][:, chosen].mean())
            theirs.append(teacher[:, chosen].mean())
        ratios.append(np.mean(ours) / np.mean(theirs))
    low, high = np.quantile(ratios, (0.025, 0.975))
    ours_score, theirs_score = score(student, categories), score(teacher, categories)
    return {
        "score": round(ours_score, 4),
        "share": round(ours_score / theirs_score, 4),
        "ci95": [round(float(low), 4), round(float(high), 4)],
    }


def figures_of(
    name: str, runs: Sequence[dict[str, Any]], teacher: dict[str, Any], world: Path
) -> dict[str, Any]:
    """The row of a method.

    Args:
        name: The method.
        runs: What was found with each seed.
        teacher: What was found of the frozen base.
        world: The shapes world that the prompts are from.
    """
    found, names = splits(world), combination_names()
    row: dict[str, Any] = {"name": name, "seeds": len(runs), "n": len(found["test"]), "images": {}}
    for split, place in (("test", "images"), ("unseen", "unseen")):
        categories = [str(entry["tag"]) for entry in found[split]]
        clusters = [names[str(entry["prompt"])] for entry in found[split]]
        of_teacher = as_array([teacher[split]["outcomes"]])
        by_steps = {
            steps: share(
                as_array([run[split][steps] for run in runs]), of_teacher, categories, clusters
            )
            for steps in runs[0][split]
        }
        row[place] = by_steps if split == "test" else by_steps["4"] | {"by_steps": by_steps}
    distinct = np.mean([run["variety"]["distinct"] for run in runs])
    row["variety"] = {
        "distinct": round(float(distinct), 4),
        "share": round(float(distinct) / teacher["variety"]["distinct"], 4),
        "code_entropy": round(float(np.mean([run["variety"]["code_entropy"] for run in runs])), 4),
    }
    matched = as_array([run["text"]["matched"] for run in runs])
    of_teacher = as_array([teacher["text"]["matched"]])
    tokens = sum(run["text"]["tokens"] for run in runs)
    row["text"] = {
        "n": matched.shape[1],
        "exact_match": round(float(matched.mean()), 4),
        "minus_teacher": round(float(matched.mean() - of_teacher.mean()), 4),
        "tokens_per_forward": round(tokens / sum(run["text"]["forwards"] for run in runs), 3),
    }
    row["training"] = {
        name: round(float(np.mean([run["training"][name] for run in runs])))
        for name in ("forwards", "seconds")
    }
    return row


def read_runs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The finished runs of each method, by name and in the order of their seeds."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*-seed*.json")):
        run = read_json(path)
        runs.setdefault(run["method"], []).append(run)
    return runs
