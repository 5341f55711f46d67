"""Validation, test and prediction of a model, apart from how it is trained."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from ..evaluation.data import EvaluationData, GatheredBatches
from ..evaluation.plan import STUDENT, TEACHER, EvaluationPlan
from ..evaluation.report import Report
from ..evaluation.runner import run
from ..inference.loaded_model import LoadedModel
from ..inference.loading import image_encoder_of
from ..models.image_input import ImageEncoder
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..models.registry import load_model
from ..models.vision_encoders import CLIPFeatures
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding
from ..text_tokenizer import TextTokenizer
from ..utils.lightning_internals import trainer_of
from ..utils.share import Share
from .prediction import predict
from .ranks import is_sharded
from .sharding import family_of


class MeasuredModule(LightningModule, ABC):
    """A model with its tokenizers that is scored on prompts and questions.

    Reports and logs call it the student, whether or not there is a teacher.

    Args:
        sampling: How the model is sampled.
        teacher_sampling: How its teacher is.
        decoding: How texts are decoded.
        teacher_decoding: How its teacher decodes them, where that is another way.
        evaluation: What is measured; where it does not say how to sample and decode, in these ways.

    Attributes:
        evaluation_report: The scores of the last validation or test.
    """

    image_tokenizer: MAGVITv2 | None
    text_tokenizer: TextTokenizer | None
    vision_encoder: CLIPFeatures | None

    def __init__(
        self,
        sampling: ImageSampling,
        teacher_sampling: ImageSampling,
        decoding: TextDecoding,
        evaluation: EvaluationPlan,
        teacher_decoding: TextDecoding | None = None,
    ) -> None:
        super().__init__()
        decoding.check()
        if teacher_decoding is not None:
            teacher_decoding.check()
        self.sampling = sampling
        self.teacher_sampling = teacher_sampling
        self.decoding = decoding
        own = EvaluationPlan(
            sampling=sampling,
            teacher_samplings=(teacher_sampling,),
            decoding=decoding,
            teacher_decoding=teacher_decoding,
        )
        self.evaluation = evaluation.filled_in(own)
        self.evaluation_report = Report()
        self._batches: GatheredBatches | None = None

    @property
    @abstractmethod
    def measured_network(self) -> ImageModel:
        """The network that is scored."""

    def bundle(self, network: ImageModel | None = None) -> LoadedModel:
        """The model, or another network, with the tokenizers and the ways of the model."""
        assert self.image_tokenizer is not None  # from configure_model on
        networks = (network or self.measured_network, self.image_tokenizer, self.text_tokenizer)
        return LoadedModel(
            *networks, self.sampling, self.decoding, vision_encoder=self.vision_encoder
        )

    @property
    def image_encoder(self) -> ImageEncoder:
        """What encodes the images that the model is asked about."""
        assert self.image_tokenizer is not None  # from configure_model on
        return image_encoder_of(self.measured_network, self.image_tokenizer, self.vision_encoder)

    def check_answers(self, model: ImageModel) -> None:
        """Raise on ways of answering that the model does not have, if there are questions.

        Raises:
            UserError: Naming the option.
        """
        data = getattr(trainer_of(self), "datamodule", None)
        streams = getattr(data, "batch_sizes", {})
        if "text" in streams or getattr(data, "val_instructions", None) is not None:
            plan = self.evaluation
            for decoding in (self.decoding, plan.answering, plan.teacher_answering):
                decoding.check_for(model)

    def plan_of_fit(self) -> EvaluationPlan:
        """What the validations within `fit` measure."""
        return self.evaluation.during_fit()

    def asked(self, data: EvaluationData) -> EvaluationData:
        """What of the data the model is asked: all of it."""
        return data

    def on_validation_epoch_start(self) -> None:
        """Begin a new report.

        Raises:
            UserError: If the model cannot sample as it is asked to.
        """
        self.evaluation_report = Report()
        config = self.measured_network.config
        self.evaluation.check(config)
        # Processes that share the weights must stay in step, and answers differ in length.
        share = Share() if is_sharded(self.trainer) else Share.of_this_process()
        self._batches = GatheredBatches(self.image_encoder, share)

    def validation_step(
        self, batch: Mapping[str, Any], batch_index: int, dataloader_idx: int = 0
    ) -> None:
        """Gather prompts and questions; with the last of them generate, answer and score."""
        assert self._batches is not None
        self._batches.add(batch)
        # Not when the epoch ends: by then weight averaging has taken the average away again.
        if is_last_batch(self.trainer, batch_index, dataloader_idx):
            self.evaluation_report = self._measure(self._batches)

    def _measure(self, batches: GatheredBatches) -> Report:
        data, plan = self.asked(batches.data()), self.evaluation
        fitting = self.trainer.state.fn == "fit"
        if fitting:
            plan = self.plan_of_fit()
            data = data.judged(plan)
        models: dict[str, Callable[[], LoadedModel]] = {STUDENT: self.bundle}
        if plan.teacher is not None:
            network = load_model(plan.teacher, family_of(self.measured_network)).to(self.device)
            models[TEACHER] = partial(self.bundle, network)
        shown = not fitting and self.trainer.progress_bar_callback is not None
        return run(models, data, plan, share=batches.share, progress=shown)

    def on_validation_epoch_end(self) -> None:
        """Log the scores; callbacks find them in `evaluation_report`."""
        self.log_dict(self.evaluation_report.scalars("val"), sync_dist=True)

    def predict_step(
        self, batch: Mapping[str, Any], batch_index: int, dataloader_idx: int = 0
    ) -> list[dict[str, Any]]:
        """Generate from the prompts, or answer the questions, as configured; see `predict`."""
        return predict(self.bundle(), batch, self.evaluation.seed)

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end


def is_last_batch(trainer: Trainer, batch_index: int, dataloader_index: int) -> bool:
    """Whether a batch of a validation or a test is the last of the last loader."""
    counts = trainer.num_val_batches
    if trainer.testing:
        counts = trainer.num_test_batches
    elif trainer.sanity_checking:
        counts = trainer.num_sanity_val_batches
    last = max(index for index, count in enumerate(counts) if count)
    return (dataloader_index, batch_index + 1) == (last, counts[last])
