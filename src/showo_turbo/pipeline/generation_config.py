"""How a model draws best: the `generation_config.json` in its folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser

from ..errors import UserError, printable
from ..files import read_json, write_json
from ..models.checkpoints import resolve_folder
from ..sampling.mask_schedules import MaskSchedule
from ..sampling.parallel import ImageSampling

FILE_NAME = "generation_config.json"
IMAGES_KEY = "images"
"""Where the file holds fields of `ImageSampling`."""

_REFINED_BY = {
    "guidance_scale": "guidance_end",
    "confidence_temperature": "shared_noise_seed",
    "token_temperature": "top_k",
}


@dataclass(frozen=True)
class SamplingChanges:
    """How images are sampled; by default as the model's own `generation_config.json` says.

    What only refines another option goes with it: who gives `guidance_scale` gives up the model's
    `guidance_end`, `confidence_temperature` its `shared_noise_seed`, and `token_temperature` its
    `top_k`.

    Args:
        steps: Denoising steps, 1 .. image tokens; 16 if the model says nothing.
        guidance_scale: w of classifier-free guidance, `(1 + w) cond - w uncond`; 0 turns it off
            and halves the work.
        mask_schedule: How many tokens stay masked after each step.
        token_temperature: Temperature of the drawn tokens; 0 takes the likeliest.
        confidence_temperature: Scale of the Gumbel noise on the reveal order, annealed to 0 over
            the steps; 0 reveals the surest tokens.
        top_k: Draw only among the k likeliest codes.
        guidance_end: w of the last step, reached from `guidance_scale` in even steps.
        shared_noise_seed: Draws the noise on the reveal order once, for all images and all steps.
    """

    steps: int | None = None
    guidance_scale: float | None = None
    mask_schedule: MaskSchedule | None = None
    token_temperature: float | None = None
    confidence_temperature: float | None = None
    top_k: int | None = None
    guidance_end: float | None = None
    shared_noise_seed: int | None = None

    def over(self, sampling: ImageSampling) -> ImageSampling:
        """Return a model's own way of sampling with these changes."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        refined = {_REFINED_BY[name]: None for name in given if name in _REFINED_BY}
        return replace(sampling, **(refined | given))


def load_generation_config(model: str | Path) -> ImageSampling:
    """Read how a model draws best.

    Args:
        model: `shapes`, a folder or a hub id.

    Returns:
        What its folder's `generation_config.json` holds under `images`; the defaults of
        `ImageSampling` where it has no such file, as the released models, or names no value.

    Raises:
        UserError: If the file does not hold fields of `ImageSampling`.
    """
    path = resolve_folder(model, "showo") / FILE_NAME
    if not path.exists():
        return ImageSampling()
    content = read_json(path)
    values = content.get(IMAGES_KEY, {}) if isinstance(content, Mapping) else None
    if not isinstance(values, Mapping):
        raise UserError(
            f"{path} holds no JSON object under {IMAGES_KEY!r}; expected options of sampling, "
            "such as steps, correct or remove the file"
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageSampling)
    try:
        return ImageSampling(**parser.parse_object(dict(values)).as_dict())
    except (ArgumentError, TypeError) as error:
        raise UserError(
            f"{path} does not hold options of sampling ({printable(str(error))}); "
            "correct or remove the file"
        ) from None


def save_generation_config(folder: Path, sampling: ImageSampling) -> None:
    """Write into a model's folder, atomically, how it draws best."""
    write_json(folder / FILE_NAME, {IMAGES_KEY: asdict(sampling)})
