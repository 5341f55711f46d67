"""Scores as tables: of images by steps and guidance, of answers by decoding."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .image_scores import ImageScore
from .tables import Figures, number, with_interval

_DECODINGS = {"ar": "autoregressive", "jacobi": "Jacobi", "block_diffusion": "block diffusion"}


def image_figures(scores: Sequence[ImageScore], title: str = "") -> Figures:
    """Scores by model and guidance (down) and sampling steps (across), with 95% intervals.

    Args:
        scores: Scores on one set of prompts.
        title: What stands above it; the split and the number of prompts by default.
    """
    varying = _varying_guidance(scores)

    def chosen(row: ImageScore) -> bool:
        return row.guidance > 0 and row.model in varying

    def cell(row: ImageScore) -> str:
        found = with_interval(row.score, row.ci95)
        return f"{found} w={row.guidance:g}" if chosen(row) else found

    return _by_steps(
        title or _image_title(scores),
        scores,
        cell,
        lambda row: "best" if chosen(row) else _guidance(row),
    )


def metric_figures(scores: Sequence[ImageScore]) -> list[Figures]:
    """A table for each further metric of the images, laid out as `image_figures`."""
    return [
        _by_steps(_metric_title(name, scores), scores, partial(_metric_cell, name=name))
        for name in dict.fromkeys(name for row in scores for name in row.metrics)
    ]


def variety_figures(scores: Sequence[ImageScore]) -> list[Figures]:
    """How different a prompt's images are, laid out as `image_figures`; none if not measured."""
    of_any = next((row.variety for row in scores if row.variety is not None), None)
    if of_any is None:
        return []
    split = scores[0].split.replace("_", " ")
    among = f"{of_any.images} images of a prompt ({split}, n = {of_any.n})"
    titles = {
        "distinct": f"Distinct {of_any.counted} among {among}",
        "code_entropy": f"Entropy of the codes over {among}, nats",
    }
    rows = [row for row in scores if row.variety is not None]
    return [
        _by_steps(title, rows, partial(_variety_cell, name=name)) for name, title in titles.items()
    ]


def time_figures(scores: Sequence[ImageScore]) -> Figures:
    """Milliseconds an image by model and guidance (down) and sampling steps (across)."""

    def cell(row: ImageScore) -> str:
        seconds = row.seconds_per_image
        return number(None if seconds is None else 1000 * seconds, 1)

    title = f"Milliseconds per image (batches of {scores[0].batch_size})"
    return _by_steps(title, scores, cell, lambda row: "guided" if row.guidance else "none")


def sampling_figures(scores: Sequence[ImageScore]) -> Figures:
    """How the images of each model were sampled, besides steps and guidance."""
    ways: dict[tuple[str, str], list[str]] = {}
    for row in scores:
        options = ", ".join(f"{name} {value}" for name, value in row.sampling.items())
        steps = ways.setdefault((row.model, options or "greedy"), [])
        if str(row.steps) not in steps:
            steps.append(str(row.steps))
    return Figures(
        "How images were sampled",
        ["model", "steps", "options"],
        [[model, ", ".join(steps), options] for (model, options), steps in ways.items()],
    )


def top_k_figures(scores: Sequence[ImageScore]) -> list[Figures]:
    """Scores, and further metrics, by model and top-k (down) and sampling steps (across)."""
    cells: dict[str, Callable[[ImageScore], str]] = {}
    if scores[0].judged:
        cells[_image_title(scores)] = lambda row: with_interval(row.score, row.ci95)
    for name in dict.fromkeys(name for row in scores for name in row.metrics):
        cells[_metric_title(name, scores)] = partial(_metric_cell, name=name)
    return [
        _by_steps(title, scores, cell, lambda row: str(row.top_k), "top-k")
        for title, cell in cells.items()
    ]


def text_figures(rows: Sequence[Mapping[str, Any]]) -> Figures:
    """Exact match and speed of the answers by model and decoding.

    Args:
        rows: What `TextScore.to_dict` gave.
    """
    counts = f"n = {rows[0]['n']}" if rows else "none"
    return Figures(
        f"Answers about images ({counts})",
        [
            "model",
            "decoding",
            "exact match",
            "CIDEr-D",
            "tokens per forward",
            "iterations per block",
            "tokens/s (batch 1)",
        ],
        [
            [
                row["model"],
                _decoding(row),
                with_interval(row["exact_match"], row["ci95"]),
                number(row.get("cider_long"), 2),
                f"{row['tokens_per_forward']:.2f}",
                number(row["iterations_per_block"], 2),
                number(row["tokens_per_second"], 0),
            ]
            for row in rows
        ],
    )


def benchmark_figures(rows: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """A table for each benchmark: its figures and the speed by model and decoding.

    Args:
        rows: What `TextScore.to_dict` gave; those without a benchmark are left out.
    """
    tables = []
    for name in dict.fromkeys(row["benchmark"] for row in rows if row.get("benchmark")):
        of_it = [row for row in rows if row.get("benchmark") == name]
        tables.append(
            Figures(
                f"{name} (n = {of_it[0]['n']})",
                [
                    "model",
                    "decoding",
                    *of_it[0]["metrics"],
                    "tokens per forward",
                    "tokens/s (batch 1)",
                ],
                [
                    [
                        row["model"],
                        _decoding(row),
                        *(number(value, 3) for value in row["metrics"].values()),
                        f"{row['tokens_per_forward']:.2f}",
                        number(row["tokens_per_second"], 0),
                    ]
                    for row in of_it
                ],
            )
        )
    return tables


def _decoding(row: Mapping[str, Any]) -> str:
    """How the answers of a row were decoded, in words."""
    steps = f"{row['sampling_steps']} steps" if row.get("sampling_steps") else None
    return ", ".join(filter(None, (_DECODINGS[row["decoding"]], row.get("driver"), steps)))


def ability_figures(rows: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """A table for each ability: model and way of generating (down), sampling steps (across).

    Args:
        rows: What `AbilityScore.to_dict` gave.
    """
    tables = []
    for ability in dict.fromkeys(row["ability"] for row in rows):
        of_it = [row for row in rows if row["ability"] == ability]
        title = (
            f"{ability.capitalize()}: prompt satisfied and rest unchanged (each by itself; "
            f"n = {of_it[0]['n']})"
        )
        cells = [
            (
                row["model"],
                f"{'regenerated' if row['regenerated'] else 'changed'}, "
                f"guidance {row['guidance']:g}",
                row["steps"],
                f"{with_interval(row['joint'], row['joint_ci95'])} "
                f"({row['satisfied']:.2f}, {row['unchanged']:.2f})",
            )
            for row in of_it
        ]
        tables.append(_across_steps(title, "way", cells))
    return tables


def evaluation_figures(
    images: Sequence[ImageScore],
    top_k: Sequence[ImageScore],
    text: Sequence[Mapping[str, Any]],
    abilities: Sequence[Mapping[str, Any]] = (),
) -> list[Figures]:
    """All tables of a validation.

    Args:
        images: Scores by sampling steps and guidance.
        top_k: Scores by top-k.
        text: What `TextScore.to_dict` gave.
        abilities: What `AbilityScore.to_dict` gave.
    """
    figures = []
    for of_split in by_split(images):
        if of_split[0].judged:
            figures.append(image_figures(of_split))
        figures += [*metric_figures(of_split), *variety_figures(of_split)]
    for of_split in by_split(top_k):
        figures += top_k_figures(of_split)
    if described := [row for row in text if row.get("benchmark") is None]:
        figures.append(text_figures(described))
    return figures + benchmark_figures(text) + ability_figures(abilities)


def by_split(scores: Sequence[ImageScore]) -> list[list[ImageScore]]:
    """Scores on the same prompts, together."""
    splits = dict.fromkeys(row.split for row in scores)
    return [[row for row in scores if row.split == split] for split in splits]


def _varying_guidance(scores: Sequence[ImageScore]) -> set[str]:
    """Models whose guidance differs from steps to steps, with one scale at each: it was chosen."""
    scales: dict[str, dict[int, set[float]]] = {}
    for row in scores:
        if row.guidance > 0:
            scales.setdefault(row.model, {}).setdefault(row.steps, set()).add(row.guidance)
    return {
        model
        for model, by_steps in scales.items()
        if max(map(len, by_steps.values())) == 1 and len(set.union(*by_steps.values())) > 1
    }


def _guidance(row: ImageScore) -> str:
    return f"{row.guidance:g}" if row.guidance else "none"


def _metric_cell(row: ImageScore, name: str) -> str:
    return number(row.metrics.get(name), 4)


def _variety_cell(row: ImageScore, name: str) -> str:
    return "" if row.variety is None else with_interval(*row.variety.figures[name])


def _by_steps(
    title: str,
    scores: Sequence[ImageScore],
    cell: Callable[[ImageScore], str],
    label: Callable[[ImageScore], str] = _guidance,
    labels: str = "guidance",
) -> Figures:
    """Cells by model and label (down) and sampling steps (across)."""
    cells = [(row.model, label(row), row.steps, cell(row)) for row in scores]
    return _across_steps(title, labels, cells)


def _across_steps(title: str, labels: str, cells: Sequence[tuple[str, str, int, str]]) -> Figures:
    """Lay out cells, each with its model, its label and its steps."""
    steps = sorted({count for _, _, count, _ in cells}, reverse=True)
    table: dict[tuple[str, str], dict[int, str]] = {}
    for model, label, count, text in cells:
        table.setdefault((model, label), {})[count] = text
    return Figures(
        title,
        ["model", labels, *(f"{count} step{'s' * (count > 1)}" for count in steps)],
        [[*names, *(own.get(count, "") for count in steps)] for names, own in table.items()],
    )


def _image_title(scores: Sequence[ImageScore]) -> str:
    split = scores[0].split.replace("_", " ")
    return f"Prompts satisfied, mean over categories ({split}, n = {scores[0].n})"


def _metric_title(name: str, scores: Sequence[ImageScore]) -> str:
    return f"{name} ({scores[0].split.replace('_', ' ')}, n = {scores[0].n})"
