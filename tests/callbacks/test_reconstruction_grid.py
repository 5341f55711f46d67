import json
import math

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from showo_turbo.callbacks import ReconstructionGrid
from showo_turbo.errors import UserError
from showo_turbo.losses.image_tokenizer import signal_to_noise
from showo_turbo.training import PretrainMAGVITv2
from showo_turbo.viz.pictures import FRAME_PIXELS, GAP_PIXELS

from ..tiny import tiny_magvitv2
from .runs import Bystander, make_trainer


def test_a_ratio_by_hand():
    pixels = torch.zeros(2, 3, 4, 4)
    reconstructed = pixels.clone()
    reconstructed[0] += 0.2  # a tenth of the range
    reconstructed[1, :, :2] -= 0.02
    expected = [20.0, 10 * math.log10(4 / (0.02**2 / 2))]
    assert signal_to_noise(reconstructed, pixels).tolist() == pytest.approx(expected, rel=1e-5)
    assert signal_to_noise(pixels, pixels).isfinite().all()


def test_images_beside_their_reconstructions(tmp_path):
    images = [{"pixels": torch.full((3, 16, 16), value)} for value in (-1.0, 0.0, 1.0)]
    logger = TensorBoardLogger(tmp_path, name="logs")
    options = {"limit_val_batches": 1.0, "num_sanity_val_steps": 1}
    trainer = make_trainer(tmp_path, ReconstructionGrid(images=2), logger=logger, **options)
    module = PretrainMAGVITv2(tiny_magvitv2().config)
    trainer.fit(module, DataLoader(images), DataLoader(images, batch_size=3))
    (path,) = (tmp_path / "reconstructions").glob("*.png")
    assert path.name == "step-000003.png"
    with Image.open(path) as picture:
        assert (np.asarray(picture.convert("RGB")) == 0).all(axis=-1).sum() > 96**2 / 2, "the first"
    scores = json.loads((tmp_path / "reconstructions/scores.json").read_text())
    pixels = torch.stack([image["pixels"] for image in images])
    module.eval()
    decoded = module.model.decode(module.model.encode(pixels))
    assert scores["step"] == 3
    assert scores["psnr"] == pytest.approx(float(signal_to_noise(decoded, pixels).mean()), rel=1e-4)
    assert scores["reconstruction_error"] > 0 and scores["codebook_usage"] > 0
    events = EventAccumulator(logger.log_dir).Reload()
    (event,) = events.Images("reconstructions")
    side = 96 + 2 * FRAME_PIXELS + GAP_PIXELS
    assert (event.width, event.height) == (3 * side, 2 * side)


@pytest.mark.bad_input
def test_what_it_cannot_show(tmp_path):
    with pytest.raises(UserError, match="images of ReconstructionGrid is 0"):
        ReconstructionGrid(images=0)
    with pytest.raises(UserError, match="Bystander trains none"):
        make_trainer(tmp_path, ReconstructionGrid()).fit(Bystander())
