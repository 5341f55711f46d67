"""What the DataModules share: joined streams in training, single ones in evaluation."""

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info

from ..errors import UserError
from .bad_samples import BadSamples
from .corpus import Corpus
from .loader import EvaluationLoader, LoaderOptions, ResumableLoader
from .sampler import JoinedBatchSampler
from .sources import Source, check_source
from .streams import JoinedDataset, SingleStream, SpreadStream, Stream

FIT_LIMIT = 256
"""Samples of a stream that a validation within `fit` takes at most by default."""


class StreamsDataModule(LightningDataModule):
    """Joins named streams into training batches; the position in them is part of checkpoints.

    A training batch is a dict: stream name -> what the stream's `collate` makes. Evaluation goes
    through one stream after the other; its batches have the one key.

    Args:
        batch_sizes: Samples of each stream in the batch of one device. A stream with 0 is left out;
            the first of the others decides how long an epoch is.
        val_batch_size: Samples in an evaluation batch.
        seed: Chooses the order of the samples, what is drawn for each of them, and the captions and
            questions that trajectories are collected for.
        samples_per_epoch: Samples of the first stream in an epoch, over all devices; all of them if
            missing.
        even_batches: Batches over which tokens are evened out, such as 32, so that every step costs
            about the same: long samples come in smaller batches, and short ones in larger ones, of
            the batch size on average. For streams whose samples differ in length and are counted:
            text trajectories. 1 takes the samples as they come.
        loader: How samples are loaded.
        shapes: A corpus for all files that are not named, such as a generated `ShapesWorld`; made
            if it is not there.
        max_bad_samples: Bad samples (damaged images, malformed records) that are left out, and
            listed in `bad_samples.txt` in the run's folder, before the run ends.
        fit_limit: Samples of each stream (prompts of each file, questions, images) that the
            validations of `fit` take at most, spread evenly; null for all. `validate` and `test`
            take all.

    Raises:
        UserError: If a batch size is negative or all are 0.
    """

    def __init__(
        self,
        batch_sizes: Mapping[str, int],
        val_batch_size: int,
        seed: int = 0,
        samples_per_epoch: int | None = None,
        loader: LoaderOptions = LoaderOptions(),
        shapes: Corpus | None = None,
        max_bad_samples: int = 0,
        fit_limit: int | None = FIT_LIMIT,
        even_batches: int = 1,
    ) -> None:
        super().__init__()
        self.batch_sizes = {name: size for name, size in batch_sizes.items() if size != 0}
        sizes: Iterable[Any] = batch_sizes.values()  # an overlay's `text: null` gets past the type
        if not self.batch_sizes or any(size is None or size < 0 for size in sizes):
            raise UserError(
                f"batch sizes are {dict(batch_sizes)}; expected at least 1 for one of the streams, "
                "and 0 for those to leave out"
            )
        self.val_batch_size = val_batch_size
        self.seed = seed
        self.samples_per_epoch = samples_per_epoch
        if val_batch_size < 1:
            raise UserError(f"val_batch_size is {val_batch_size}; expected at least 1, set it so")
        if samples_per_epoch is not None and samples_per_epoch < 1:
            raise UserError(
                f"samples_per_epoch is {samples_per_epoch}; expected at least 1, set it so or "
                "leave it out"
            )
        if fit_limit is not None and fit_limit < 1:
            raise UserError(
                f"fit_limit is {fit_limit}; expected at least 1, or null for all samples"
            )
        if even_batches < 1:
            raise UserError(f"even_batches is {even_batches}; expected at least 1, set it so")
        self.fit_limit = fit_limit
        self.even_batches = even_batches
        self.loader = loader
        check_source(shapes, Corpus, "shapes")
        self.shapes = shapes
        self.max_bad_samples = max_bad_samples
        self.preparation_seconds = 0.0
        self._streams: dict[str, Stream] = {}
        self._evaluation_streams: dict[str, list[tuple[str, Stream]]] = {}
        self._train_loader: ResumableLoader | None = None
        self._position: dict[str, Any] = {}

    @cached_property
    def bad_samples(self) -> BadSamples:
        """The bad samples of the run, listed in its folder."""
        folder = self.trainer.default_root_dir if self.trainer else "."
        return BadSamples(self.max_bad_samples, Path(folder))

    def open_streams(self) -> dict[str, Stream]:
        """Open the training streams that have a batch size."""
        raise NotImplementedError

    def sources(self) -> Sequence[Source | None]:
        """Where the data comes from."""
        return ()

    def open_evaluation_streams(
        self, stage: Literal["validate", "test"]
    ) -> list[tuple[str, Stream]]:
        """Open the streams to evaluate on, with their names; a name may come more than once."""
        raise NotImplementedError

    def prepare_data(self) -> None:
        """Make the corpus if there is one, and what else is to be made."""
        began = time.perf_counter()
        if self.shapes is not None:
            self.shapes.write()
        for source in self.sources():
            if source is not None:
                source.prepare()
        self.preparation_seconds = time.perf_counter() - began

    def setup(self, stage: str) -> None:
        """Open the files that the stage needs."""
        if stage == "fit":
            self._streams = self.open_streams()
        if stage in ("fit", "validate"):
            streams = self.open_evaluation_streams("validate")
            if stage == "fit" and self.fit_limit is not None:
                streams = [(name, SpreadStream(part, self.fit_limit)) for name, part in streams]
            self._evaluation_streams["validate"] = streams
        if stage in ("test", "predict"):
            self._evaluation_streams[stage] = self.open_evaluation_streams("test")

    def teardown(self, stage: str) -> None:
        """Say how many samples were left out."""
        if self.bad_samples.reasons:
            rank_zero_info(
                f"left out {len(self.bad_samples.reasons)} bad samples, listed in "
                f"{self.bad_samples.file}"
            )

    def train_dataloader(self) -> ResumableLoader:
        """A loader of joined batches, at the position of the checkpoint that is being resumed.

        Raises:
            UserError: If a stream with a batch size has no data.
        """
        if missing := sorted(self.batch_sizes.keys() - self._streams.keys()):
            raise UserError(
                f"there is no data for {', '.join(missing)}, but a batch size; expected data, "
                "or the batch size 0"
            )
        streams = {name: self._streams[name] for name in self.batch_sizes}
        sampler = JoinedBatchSampler(
            {name: len(stream) for name, stream in streams.items()},
            self.batch_sizes,
            primary=next(iter(streams)),
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            samples_per_epoch=self.samples_per_epoch,
            parts=_having(streams, "parts"),
            lengths=_having(streams, "lengths") if self.even_batches > 1 else {},
            even_batches=self.even_batches,
        )
        if self._position:
            sampler.load_state_dict(self._position)
            self._position = {}
        self._train_loader = ResumableLoader(
            JoinedDataset(streams), sampler, self.loader, self.bad_samples.skip
        )
        return self._train_loader

    def val_dataloader(self) -> list[EvaluationLoader]:
        """One loader for each stream to validate on.

        Raises:
            UserError: If there is none, and `fit` is not what is run.
        """
        return self._evaluation_loaders("validate")

    def test_dataloader(self) -> list[EvaluationLoader]:
        """One loader for each stream to test on."""
        return self._evaluation_loaders("test")

    def predict_dataloader(self) -> list[EvaluationLoader]:
        """One loader for each stream to test on."""
        return self._evaluation_loaders("predict")

    def state_dict(self) -> dict[str, Any]:
        """The position in the training streams.

        Lightning keeps the loader's own state too, but restores it only after it has asked for the
        loader's length, which depends on it when the number of devices has changed.
        """
        return self._train_loader.state_dict() if self._train_loader else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have the next training loader start at a saved position."""
        self._position = state_dict

    def _evaluation_loaders(self, stage: str) -> list[EvaluationLoader]:
        fitting = self.trainer is None or self.trainer.state.fn == "fit"
        if not self._evaluation_streams[stage] and not fitting:
            raise UserError(
                f"there is nothing to {stage} on; name files, such as data.init_args.prompts, "
                "data.init_args.val_instructions or data.init_args.questions"
            )
        return [
            EvaluationLoader(
                SingleStream(name, stream),
                self.val_batch_size,
                self.loader,
                self.bad_samples.skip,
            )
            for name, stream in self._evaluation_streams[stage]
        ]


def _having(streams: Mapping[str, Stream], name: str) -> dict[str, Sequence[int]]:
    """What streams have under a name, of those that do."""
    return {key: getattr(stream, name) for key, stream in streams.items() if hasattr(stream, name)}
