"""Validation, test and prediction of a student, apart from how it is trained."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule

from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding
from ..text_tokenizer import TextTokenizer
from .evaluation import EvaluationGrid, Evaluator, is_last_batch
from .prediction import predict


class MeasuredStudent(LightningModule):
    """A student with its tokenizers that is scored on prompts and questions.

    Args:
        sampling: How the student is sampled.
        teacher_sampling: How its teacher is.
        decoding: How texts are decoded.
        evaluation: What is measured; where it does not say how to sample and decode, in these ways.

    Attributes:
        evaluation_rows: The scores of the last validation or test, see `Evaluator`.
    """

    student: ImageModel
    image_tokenizer: MAGVITv2
    text_tokenizer: TextTokenizer | None

    def __init__(
        self,
        sampling: ImageSampling,
        teacher_sampling: ImageSampling,
        decoding: TextDecoding,
        evaluation: EvaluationGrid,
    ) -> None:
        super().__init__()
        decoding.check()
        self.sampling = sampling
        self.teacher_sampling = teacher_sampling
        self.decoding = decoding
        self.evaluation = evaluation.filled_in(sampling, teacher_sampling, decoding)
        self.evaluation_rows: dict[str, list[Any]] = {}
        self._evaluator: Evaluator | None = None

    def on_validation_epoch_start(self) -> None:
        """Begin a new table.

        Raises:
            UserError: If the student cannot draw as it is asked to.
        """
        self.evaluation_rows = {}
        self.evaluation.check(self.student)
        networks = (self.student, self.image_tokenizer, self.text_tokenizer)
        fitting = self.trainer.state.fn == "fit"
        self._evaluator = Evaluator(*networks, self.evaluation, within_fit=fitting)

    def validation_step(
        self, batch: Mapping[str, Any], batch_index: int, dataloader_idx: int = 0
    ) -> None:
        """Gather prompts and questions; with the last of them draw, answer and score."""
        assert self._evaluator is not None
        self._evaluator.update(batch)
        # Not when the epoch ends: by then weight averaging has taken the average away again.
        if is_last_batch(self.trainer, batch_index, dataloader_idx):
            self.evaluation_rows = self._evaluator.compute()

    def on_validation_epoch_end(self) -> None:
        """Log the scores; callbacks find the table in `evaluation_rows`."""
        assert self._evaluator is not None
        self.log_dict(self._evaluator.scalars("val"), sync_dist=True)

    def predict_step(
        self, batch: Mapping[str, Any], batch_index: int, dataloader_idx: int = 0
    ) -> list[dict[str, Any]]:
        """Draw the prompts, or answer the questions, as the student is meant to; see `predict`."""
        networks = (self.student, self.image_tokenizer, self.text_tokenizer)
        return predict(*networks, batch, self.sampling, self.decoding, self.evaluation.seed)

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end
