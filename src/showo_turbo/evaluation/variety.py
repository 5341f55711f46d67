"""How different the images are that a model generates from one prompt with several seeds."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from ..errors import UserError
from ..inference.loaded_model import LoadedModel
from ..models.modes import evaluating
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import decode_image_codes, gives_one_image
from ..trajectories.checker import Checker, PromptMetadata, marks_of
from ..utils.random import stateless_seed
from ..utils.share import Share
from .checker import judging
from .intervals import Interval, bootstrap_interval, rounded

Counted = Literal["right scenes", "right code grids", "code grids"]


@dataclass(frozen=True)
class Variety:
    """How different a model's images of the same prompt are, in one sampling setting.

    Attributes:
        counted: What `distinct` counts: `right scenes`, as the checker describes the images that
            satisfy the prompt; `right code grids` with a checker that describes none; `code grids`
            of all images where nothing judged them.
        images: Seeds of each prompt. Where sampling gives one image whatever the seed, it was
            generated once and stands for all of them.
        distinct: Of each prompt, how many of these are different: 0 if no image is right, at most
            `images`.
        code_entropy: Of each prompt, see `code_entropy`.
    """

    counted: Counted
    images: int
    distinct: tuple[int, ...]
    code_entropy: tuple[float, ...]

    @property
    def n(self) -> int:
        """Number of prompts."""
        return len(self.distinct)

    @property
    def figures(self) -> dict[str, tuple[float, Interval]]:
        """`distinct` and `code_entropy`: the mean over the prompts, and its 95% interval.

        A prompt's images are one sample of the bootstrap.
        """
        found = {"distinct": self.distinct, "code_entropy": self.code_entropy}
        return {name: (sum(of) / len(of), bootstrap_interval(of)) for name, of in found.items()}

    @property
    def distinct_share(self) -> float:
        """The mean of `distinct` over the prompts, as a share of `images`."""
        return sum(self.distinct) / self.n / self.images

    def to_dict(self) -> dict[str, Any]:
        """The figures for a report, with those of each prompt, which are few."""
        found: dict[str, Any] = {"n": self.n, "images": self.images, "counted": self.counted}
        for name, (value, interval) in self.figures.items():
            found |= {name: round(value, 4), f"{name}_ci95": rounded(interval)}
        return found | {
            "distinct_share": round(self.distinct_share, 4),
            "distinct_of_each": list(self.distinct),
            "code_entropy_of_each": [round(value, 4) for value in self.code_entropy],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The variety of a report; what `to_dict` gave."""
        of_each = values["distinct_of_each"], values["code_entropy_of_each"]
        return cls(values["counted"], values["images"], *map(tuple, of_each))


@torch.no_grad()
def measure_variety(
    bundle: LoadedModel,
    prompts: Sequence[PromptMetadata],
    sampling: ImageSampling,
    *,
    count: int,
    images: int = 8,
    seed: int = 0,
    batch_size: int = 64,
    checker: Checker | None = None,
    share: Share = Share(),
    progress: Callable[[int], None] | None = None,
) -> Variety:
    """Generate some prompts with several seeds each, and count how many images are different.

    A prompt has the same seeds whatever the model, the setting, the batch size and the number of
    processes.

    Args:
        bundle: The networks to measure.
        prompts: GenEval-style metadata, one a prompt.
        sampling: How images are sampled.
        count: How many of the prompts, see `spread_over_categories`.
        images: Seeds of each prompt.
        seed: Of all prompts' seeds.
        batch_size: Images generated at once.
        checker: Judges and describes the images, if it can judge all of these prompts.
        share: The prompts that this process generates.
        progress: Called with the number of images of each batch once it is generated.

    Raises:
        UserError: If there is nothing to generate, a prompt is too long, or an option is invalid.
    """
    chosen = spread_over_categories(prompts, count)
    if not chosen or images < 1:
        raise UserError(f"{images} images of {len(chosen)} prompts; give at least one of each")
    own = [chosen[place] for place in share.indices(len(chosen))]
    judge = judging(checker, prompts)
    different = 1 if gives_one_image(bundle.network, sampling) else images
    seeds = [variety_seeds(seed, index, different) for index in own]
    queue = [(prompts[i], s) for i, of_it in zip(own, seeds, strict=True) for s in of_it]
    drawn: list[tuple[Tensor, bool, Hashable]] = []
    counted: Counted = "code grids" if judge is None else "right code grids"
    with evaluating(bundle.network, bundle.image_tokenizer):
        for start in range(0, len(queue), batch_size):
            entries, own_seeds = zip(*queue[start : start + batch_size], strict=True)
            ids = bundle.encode_prompts([str(entry["prompt"]) for entry in entries])
            codes = decode_image_codes(bundle.network, ids, sampling, own_seeds)
            right: Sequence[bool] = [True] * len(entries)
            shown: Sequence[Hashable] = list(map(tuple, codes.tolist()))
            if judge is not None:
                pixels = bundle.image_tokenizer.decode(codes)
                right = marks_of(judge, pixels, entries)
                scenes = judge.describe(pixels)
                if scenes is not None:
                    counted, shown = "right scenes", scenes
            drawn += zip(codes.cpu(), right, shown, strict=True)
            if progress is not None:
                progress(len(entries))
    rows = []
    for place, of_it in enumerate(seeds):
        group = drawn[place * len(of_it) : (place + 1) * len(of_it)]
        scenes_shown = {scene for _, is_right, scene in group if is_right}
        entropy = code_entropy(torch.stack([row for row, *_ in group]))
        rows.append((counted, len(scenes_shown), entropy))
    # A process without a prompt of its own does not know what was counted.
    (counted, *_), distinct, entropies = zip(*share.gather(rows), strict=True)
    return Variety(counted, images, distinct, entropies)


def code_entropy(codes: Tensor) -> float:
    """The entropy in nats of the codes that several images have at a position, on average.

    At each position it is that of the empirical distribution of the images' codes: 0 where all
    are the same, `ln(images)` where all differ.

    Args:
        codes: `(images, image_tokens)`.
    """
    alike = (codes[:, None] == codes[None]).sum(dim=0).double()  # images with that image's code
    return float((len(codes) / alike).log().mean())


def variety_seeds(seed: int, index: int, images: int) -> list[int]:
    """The seeds of a prompt: such as follow one another, as those of `generate` do.

    Args:
        seed: Of all prompts' seeds.
        index: Of the prompt among all.
        images: How many seeds.
    """
    first = stateless_seed(seed, index, stream="variety")
    return [first + copy for copy in range(images)]


def spread_over_categories(prompts: Sequence[PromptMetadata], count: int) -> list[int]:
    """Indices of so many prompts, in their order: the first ones of each category.

    Args:
        prompts: With their category as `tag`.
        count: How many, divided evenly over the categories; all if there are fewer.
    """
    ranks: dict[str, int] = {}
    ranked = []
    for index, entry in enumerate(prompts):
        category = str(entry["tag"])
        ranks[category] = ranks.get(category, 0) + 1
        ranked.append((ranks[category], index))
    return sorted(index for _, index in sorted(ranked)[:count])
