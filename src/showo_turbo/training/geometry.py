"""Whether the networks of a run, and its data, belong together."""

from lightning.pytorch import LightningModule

from ..errors import UserError
from ..inference.loading import check_fit, image_side
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..models.vision_encoders import CLIPFeatures
from ..text_tokenizer import TextTokenizer
from ..utils.lightning_internals import trainer_of


def check_geometry(
    module: LightningModule,
    network: ImageModel,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer | None,
    vision_encoder: CLIPFeatures | None = None,
) -> None:
    """Raise on networks that do not belong together, and images of another size than theirs.

    Args:
        module: Whose networks they are; its trainer, if it has one, knows the data.
        network: The network.
        image_tokenizer: Its image tokenizer.
        text_tokenizer: Its text tokenizer, if it has one.
        vision_encoder: Its vision encoder, if the data's images are read through one.

    Raises:
        UserError: Naming what differs.
    """
    check_fit(network, image_tokenizer, text_tokenizer)
    resolution = data_resolution(module)
    if vision_encoder is not None:
        check_asked_images("resolution", resolution, vision_encoder)
        return
    side = image_side(network, image_tokenizer)
    if resolution is not None and resolution != side:
        raise UserError(
            f"the data has resolution {resolution}, but the model's {network.config.image_tokens} "
            f"image tokens are images of {side} x {side} pixels; set resolution to {side}"
        )


def check_asked_images(option: str, resolution: int | None, vision_encoder: CLIPFeatures) -> None:
    """Raise on images of another size than a vision encoder takes.

    Args:
        option: What the data calls the resolution.
        resolution: Side length in pixels of the images that the model is asked about, if known.
        vision_encoder: Its vision encoder.

    Raises:
        UserError: Naming both.
    """
    if resolution is not None and resolution != vision_encoder.resolution:
        raise UserError(
            f"the data has {option} {resolution}, but the model's vision encoder takes images of "
            f"{vision_encoder.resolution} pixels a side; set {option} to "
            f"{vision_encoder.resolution}"
        )


def data_resolution(module: LightningModule) -> int | None:
    """Side length in pixels of the images that a module is trained on; None if not known."""
    data = getattr(trainer_of(module), "datamodule", None)
    resolution: int | None = getattr(data, "resolution", None)
    return resolution
