"""What a model makes of every prompt and question, from which figures are computed."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from showo_turbo.data import PromptFile
from showo_turbo.evaluation import TextRecord, evaluate_images, evaluate_text
from showo_turbo.evaluation.variety import measure_variety
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesChecker, ShapesWorld

STEPS = (8, 4, 2, 1)
TEACHER_STEPS = 16
VARIETY_PROMPTS = 60
TEXTS = 1000

Prompts = list[dict[str, Any]]


def read_prompts(world: Path, split: str, per_category: int | None = None) -> Prompts:
    """The prompts of a split of a shapes world."""
    file = PromptFile(world / f"prompts/{split}.jsonl", per_category)
    return [file.draw(index, index)["metadata"] for index in range(len(file))]


def splits(world: Path) -> dict[str, Prompts]:
    """Prompts by what they are for.

    Unseen combinations have no validation split of their own: every fifth of them serves to choose
    the teacher's sampler, and the others to score.
    """
    unseen = read_prompts(world, "unseen_combination", 100)
    return {
        "choice": read_prompts(world, "validation"),
        "unseen_choice": unseen[::5],
        "test": read_prompts(world, "test"),
        "unseen": [entry for index, entry in enumerate(unseen) if index % 5],
    }


def marks(satisfied: Sequence[bool]) -> str:
    """Outcomes as a string of 0 and 1, one a prompt."""
    return "".join("1" if right else "0" for right in satisfied)


def choose(
    bundle: LoadedModel, prompts: Prompts, candidates: Sequence[ImageSampling]
) -> tuple[ImageSampling, list[dict[str, Any]]]:
    """The best of several ways of sampling, and the score of each."""
    rows = []
    for sampling in candidates:
        score = evaluate_images(bundle, prompts, sampling, checker=ShapesChecker(), seed=1)
        rows.append(asdict(sampling) | {"score": round(score.score, 4)})
    best = max(range(len(rows)), key=lambda index: rows[index]["score"])
    return candidates[best], rows


def image_outcomes(bundle: LoadedModel, prompts: Prompts, sampling: ImageSampling) -> str:
    """Which prompts a model satisfies."""
    return marks(evaluate_images(bundle, prompts, sampling, checker=ShapesChecker()).satisfied)


def student_outcomes(
    bundle: LoadedModel,
    world: Path,
    deployed: ImageSampling,
    decoding: TextDecoding,
    revise_below: Sequence[float] = (),
) -> dict[str, Any]:
    """All that is measured of a student, its reveal order and schedule being chosen for it.

    Args:
        bundle: The student.
        world: The shapes world that the prompts are from.
        deployed: How it samples by itself.
        decoding: How it answers.
        revise_below: Probabilities below which it may revise its tokens, for students that are
            trained to.
    """
    prompts = splits(world)
    candidates = [replace(deployed, sampling_steps=4), *student_ways(deployed)]
    candidates += [replace(candidates[0], revise_below=value) for value in revise_below]
    best, tried = choose(bundle, prompts["choice"], candidates)

    def by_steps(split: str) -> dict[str, str]:
        return {
            str(steps): image_outcomes(bundle, prompts[split], replace(best, sampling_steps=steps))
            for steps in STEPS
        }

    return {
        "sampling": asdict(best),
        "tried": tried,
        "test": by_steps("test"),
        "unseen": by_steps("unseen"),
        "variety": variety(bundle, prompts["test"], best),
        "text": text_outcomes(bundle, world, decoding),
    }


def student_ways(deployed: ImageSampling) -> list[ImageSampling]:
    """Other ways for a student to sample in 4 steps, with the tokens that it draws."""
    if deployed.reveal_order == "oriented_halton":  # which it reads of its noise
        return [replace(deployed, sampling_steps=4, mask_schedule="cosine")]
    plain = ImageSampling(
        4,
        token_temperature=deployed.token_temperature,
        top_k=deployed.top_k,
        random_start=deployed.random_start,
    )
    return [
        replace(plain, mask_schedule="pow", reveal_order="halton"),
        replace(plain, mask_schedule="cosine"),
        replace(plain, mask_schedule="pow", confidence_temperature=1.5, shared_noise_seed=9),
    ]


def variety(bundle: LoadedModel, prompts: Prompts, sampling: ImageSampling) -> dict[str, Any]:
    """How different a model's images of a prompt are, see `showo_turbo.evaluation.variety`."""
    found = measure_variety(
        bundle, prompts, sampling, count=VARIETY_PROMPTS, checker=ShapesChecker()
    )
    return found.to_dict()


def text_outcomes(bundle: LoadedModel, world: Path, decoding: TextDecoding) -> dict[str, Any]:
    """Which answers are right, and how many tokens a forward pass gives."""
    source = ShapesWorld(world).instructions("val").open(24)
    entries = [source.draw(index, index) for index in range(min(TEXTS, len(source)))]
    records = [TextRecord(e["pixels"], e["question"], e["answer"]) for e in entries]
    score = evaluate_text(bundle, records, decoding=decoding, timed=0)
    return {
        "matched": marks(score.matched),
        "tokens": score.tokens,
        "forwards": score.forwards,
    }
