"""`showo-turbo inflate`: make a tokenizer of clips of an image tokenizer."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..models.magvitv2 import MAGVITv2
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(inflate, arguments, name="inflate")


def inflate(
    image_tokenizer: str,
    output: Path,
    temporal_halvings: int = 2,
) -> None:
    """Convert an image tokenizer into a clip tokenizer.

    It encodes images, and single frames, as that does. Clips of 1 + 4n frames become 1 + n latent
    frames with two halvings: at first those of every fourth frame, which come four times when they
    are decoded. Train it on clips with PretrainMAGVITv2.

    Args:
        image_tokenizer: `shapes`, a folder or a hub id such as `showlab/magvitv2`.
        output: The folder to write, which is not to exist.
        temporal_halvings: How often time is halved.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists; expected a new folder, name another")
    if temporal_halvings < 1:
        raise UserError(f"temporal_halvings is {temporal_halvings}; it must be at least 1")
    clips = MAGVITv2.from_pretrained(image_tokenizer).inflated(temporal_halvings)
    clips.save_pretrained(output)
    print(f"written: {output}, of 1 + {clips.config.frames_per_latent}n frames")
