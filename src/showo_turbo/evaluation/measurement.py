"""One model's scores, through the cache and with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from rich.progress import Progress

from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding
from ..text_tokenizer import TextTokenizer
from ..utils.hashing import fingerprint_lines, fingerprint_tensors
from .cache import ScoreCache
from .image_scores import ImageScore
from .images import PromptMetadata, evaluate_images
from .speedup_settings import SpeedupSettings
from .targets import TEACHER
from .text import TextRecord, compared_decodings, evaluate_text
from .text_scores import TextScore


@dataclass(frozen=True)
class Measurement:
    """Measures one model.

    Attributes:
        name: Name of the model in the scores.
        model: The network.
        fingerprint: Of the network and its tokenizers, for the cache.
        image_tokenizer: Decodes its images.
        text_tokenizer: Encodes prompts, decodes answers.
        settings: What to measure.
        cache: Where finished scores are.
        bars: Where progress is shown and scores are printed.
    """

    name: str
    model: ImageModel
    fingerprint: str
    image_tokenizer: MAGVITv2
    text_tokenizer: TextTokenizer
    settings: SpeedupSettings
    cache: ScoreCache
    bars: Progress

    def images(
        self, split: str, prompts: Sequence[PromptMetadata], samplings: Sequence[ImageSampling]
    ) -> list[ImageScore]:
        """Score prompts in some settings; no prompts give no scores."""
        if not prompts:
            return []
        return [self._image_score(split, prompts, sampling) for sampling in samplings]

    def texts(self, records: Sequence[TextRecord]) -> list[TextScore]:
        """Score the answers, written token by token and by Jacobi decoding."""
        drivers = self.settings.drivers[: 1 if self.name == TEACHER else None]
        ways = compared_decodings(self.settings.decoding or TextDecoding(), drivers)
        return [self._text_score(records, decoding) for decoding in ways]

    def _image_score(
        self, split: str, prompts: Sequence[PromptMetadata], sampling: ImageSampling
    ) -> ImageScore:
        key = {
            "model": self.fingerprint,
            "split": split,
            "prompts": fingerprint_lines(dict(entry) for entry in prompts),
            "seed": self.settings.seed,
            **asdict(sampling),
        }

        def measure() -> ImageScore:
            with self._bar(title, len(prompts)) as advance:
                (score,) = evaluate_images(
                    self.model,
                    self.image_tokenizer,
                    self.text_tokenizer,
                    prompts,
                    [sampling],
                    seed=self.settings.seed,
                    batch_size=self.settings.batch_size,
                    name=self.name,
                    split=split,
                    progress=advance,
                )
            return score

        title = (
            f"{self.name}, {sampling.sampling_steps} steps, guidance {sampling.guidance_scale:g}"
        )
        score = self.cache.get(ImageScore, key, measure)
        self.bars.console.print(f"{title}: {score.score:.3f} ({split}, n = {score.n})")
        # The cache does not know names: two stages may hold the same weights.
        return replace(score, model=self.name)

    def _text_score(self, records: Sequence[TextRecord], decoding: TextDecoding) -> TextScore:
        settings = self.settings
        key = {
            "model": self.fingerprint,
            "records": fingerprint_lines(
                [fingerprint_tensors({"codes": record.image}), record.question, record.answer]
                for record in records
            ),
            "seed": settings.seed,
            "batch_size": settings.batch_size,
            "timed": settings.timed_texts,
            **asdict(decoding),
        }

        def measure() -> TextScore:
            with self._bar(title, len(records)) as advance:
                return evaluate_text(
                    self.model,
                    self.image_tokenizer,
                    self.text_tokenizer,
                    records,
                    decoding=decoding,
                    seed=settings.seed,
                    batch_size=settings.batch_size,
                    timed=settings.timed_texts,
                    name=self.name,
                    progress=advance,
                )

        way = "ar" if decoding.method == "autoregressive" else f"jacobi, {decoding.driver}"
        title = f"{self.name}, answers, {way}"
        score = self.cache.get(TextScore, key, measure)
        self.bars.console.print(
            f"{title}: {score.exact_match:.3f} exact, {score.tokens_per_forward:.2f} tokens per "
            f"forward pass (n = {score.n})"
        )
        return replace(score, model=self.name)

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar for one score, which is gone when the score is there."""
        task = self.bars.add_task(title, total=total)
        try:
            yield lambda done: self.bars.advance(task, done)
        finally:
            self.bars.remove_task(task)
