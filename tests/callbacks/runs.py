"""Small runs of the trainer: a module that only has what callbacks look at, and the real one."""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader

from showo_turbo.data import DistillationBatchSizes, DistillationDataModule
from showo_turbo.evaluation import EvaluationPlan
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesChecker, ShapesWorld
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.training.turbo import ShowoTurbo

from ..tiny import shapes_showo, tiny_magvitv2


class Bystander(LightningModule):
    """Trains next to nothing; has the networks that callbacks look for."""

    def __init__(self, name="student"):
        super().__init__()
        setattr(self, name, shapes_showo())
        self.image_tokenizer = tiny_magvitv2(bits=9).requires_grad_(False)
        self.text_tokenizer = TextTokenizer.from_pretrained("shapes")
        self.evaluation = EvaluationPlan(checker=ShapesChecker())

    def training_step(self, batch, batch_index):
        return sum(parameter.square().sum() for parameter in self.parameters())

    def validation_step(self, batch, batch_index):
        pass

    def test_step(self, batch, batch_index):
        pass

    def configure_optimizers(self):
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.SGD(trained, lr=1e-6)

    def train_dataloader(self):
        return DataLoader(torch.zeros(2, 1))

    val_dataloader = test_dataloader = train_dataloader


class Notes(Logger):
    """Keeps what loggers are given: values and pictures by their names, with the step."""

    name = version = "notes"
    experiment = None

    def __init__(self):
        super().__init__()
        self.values, self.pictures = {}, {}

    def log_metrics(self, metrics, step=None):
        self.values |= {name: (value, step) for name, value in metrics.items()}

    def log_hyperparams(self, params, *_):
        pass

    def log_image(self, key, images, step):
        (self.pictures[key],) = ((image, step) for image in images)


def make_trainer(folder, *callbacks, **options):
    defaults = {
        "default_root_dir": folder,
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
    }
    return Trainer(callbacks=list(callbacks), **(defaults | options))


def turbo_module(folder):
    """`ShowoTurbo` over tiny models that fit the shapes world."""
    if not (folder / "models").exists():
        shapes_showo().save_pretrained(folder / "models" / "showo")
        tiny_magvitv2(bits=9).save_pretrained(folder / "models" / "magvitv2")
    return ShowoTurbo(
        student=str(folder / "models" / "showo"),
        image_tokenizer=str(folder / "models" / "magvitv2"),
        text_tokenizer="shapes",
        max_language_length=16,
        evaluation=EvaluationPlan(
            sampling_steps=(2, 1), guidance_scales=(0.0,), checker=ShapesChecker()
        ),
        decoding=TextDecoding(max_new_tokens=6),
    )


def turbo_data(folder):
    """A tiny shapes world; no text is trained on, since random models hardly end an answer."""
    return DistillationDataModule(
        resolution=24,
        shapes=ShapesWorld(folder / "world", images=12, documents=4, validation_images=4),
        batch_sizes=DistillationBatchSizes(image=4, text=0, language=1),
        prompts_per_category=1,
        val_batch_size=8,
    )
