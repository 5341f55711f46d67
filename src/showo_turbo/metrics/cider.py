"""CIDEr-D: how close a caption is to what people wrote, by n-grams that tell images apart."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .text_metric import TextMetric

LONGEST = 4
SIGMA = 6.0
SCALE = 10.0

_WORD = re.compile(r"[^\W_]+(?:['\-][^\W_]+)*")

_NGrams = Counter[tuple[str, ...]]


class CIDEr(TextMetric):
    """CIDEr-D of captions against their references.

    Unit: 10 for a caption that equals its references, 0 for one that shares nothing with them;
    published tables often show ten times this. N-grams are weighted by how few images have them in
    their references, so the value depends on the whole set.

    Words are taken in lower case and without punctuation; the reference implementation cuts
    contractions in two, which ours keeps whole.

    Source: CIDEr (arXiv 1411.5726), section 5, "CIDEr-D".
    """

    higher_is_better = True

    def update(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Add captions.

        Args:
            texts: One an image.
            references: Of each image one or several.
        """
        self.keep([[text, list(own)] for text, own in zip(texts, references, strict=True)])

    def compute(self) -> Tensor:
        """Mean over the images; NaN without any."""
        samples = self.samples()
        scores = cider_d([text for text, _ in samples], [own for _, own in samples])
        return torch.tensor(sum(scores) / len(scores) if scores else math.nan)


def cider_d(texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each caption, see `CIDEr`.

    Args:
        texts: One an image.
        references: Of each image one or several.
    """
    cooked = [[_ngrams(reference) for reference in own] for own in references]
    documents: _NGrams = Counter()
    for own in cooked:
        documents.update({ngram for reference in own for ngram in reference})
    # With one image every weight would vanish, as in the reference implementation.
    log_images = math.log(max(1, len(cooked)))

    def weigh(counts: _NGrams) -> dict[tuple[str, ...], float]:
        return {
            ngram: count * (log_images - math.log(max(1, documents[ngram])))
            for ngram, count in counts.items()
        }

    scores = []
    for text, own in zip(texts, cooked, strict=True):
        counts = _ngrams(text)
        weights, length = weigh(counts), _length(counts)
        similarities = [
            _similarity(weights, weigh(reference), length - _length(reference)) for reference in own
        ]
        scores.append(SCALE * sum(similarities) / len(similarities))
    return scores


def _ngrams(text: str) -> _NGrams:
    words = _WORD.findall(text.lower())
    return Counter(
        tuple(words[start : start + n])
        for n in range(1, LONGEST + 1)
        for start in range(len(words) - n + 1)
    )


def _length(counts: _NGrams) -> int:
    """The length that is compared: in the reference implementation, the number of bigrams."""
    return sum(count for ngram, count in counts.items() if len(ngram) == 2)


def _similarity(
    text: dict[tuple[str, ...], float], reference: dict[tuple[str, ...], float], difference: int
) -> float:
    """Cosine with clipped counts and a penalty on the length, averaged over n."""
    total = 0.0
    for n in range(1, LONGEST + 1):
        own = {ngram: weight for ngram, weight in text.items() if len(ngram) == n}
        other = {ngram: weight for ngram, weight in reference.items() if len(ngram) == n}
        product = sum(min(w, other.get(g, 0.0)) * other.get(g, 0.0) for g, w in own.items())
        norms = _norm(own) * _norm(other)
        if norms:
            total += product / norms * math.exp(-(difference**2) / (2 * SIGMA**2))
    return total / LONGEST


def _norm(weights: dict[Any, float]) -> float:
    return math.sqrt(sum(weight**2 for weight in weights.values()))
