"""How images are sampled: one class of options, and changes over it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .changes import Changes, changes_class
from .mask_schedules import MaskSchedule, check_mask_schedule
from .options import check_not_negative, check_seed, check_temperature, check_top_k, check_whole


@dataclass(frozen=True)
class ImageSampling:
    """How images are sampled.

    Args:
        sampling_steps: Denoising steps, 1 .. image tokens.
        guidance_scale: w of classifier-free guidance, `(1 + w) cond - w uncond`; 0 turns it off
            and halves the work.
        mask_schedule: `cosine`, `linear`, `pow` or `sigmoid`.
        token_temperature: Temperature of the drawn tokens; 0 takes the likeliest.
        confidence_temperature: Scale of the Gumbel noise on the reveal order, annealed to 0 over
            the steps; 0 reveals the surest tokens.
        top_k: Draw only among the k likeliest codes.
        guidance_end: w of the last step, reached from `guidance_scale` in even steps; by default w
            stays the same.
        shared_noise_seed: Draws the noise on the reveal order once, for all images and all steps;
            by default every image draws its own at every step. Fewer steps then reveal in the order
            of more steps, which is what a student learns from trajectories of one order.
    """

    sampling_steps: int = 16
    guidance_scale: float = 0.0
    mask_schedule: MaskSchedule = "cosine"
    token_temperature: float = 0.0
    confidence_temperature: float = 0.0
    top_k: int | None = None
    guidance_end: float | None = None
    shared_noise_seed: int | None = None

    @property
    def guided(self) -> bool:
        """Whether any step needs the unconditional half."""
        return self.guidance_scale > 0 or bool(self.guidance_end)

    @property
    def one_image_a_prompt(self) -> bool:
        """Whether images of a prompt are the same whatever their seeds."""
        ordered = self.confidence_temperature == 0 or self.shared_noise_seed is not None
        return ordered and self.token_temperature == 0

    def with_guidance(self, scale: float) -> "ImageSampling":
        """The same with another guidance scale; with 0 there is no guidance at any step."""
        end = self.guidance_end if scale > 0 else None
        return replace(self, guidance_scale=scale, guidance_end=end)

    def guidance_at(self, step: int) -> float:
        """Guidance scale of a step, 1 .. steps."""
        if self.guidance_end is None or self.sampling_steps == 1:
            return self.guidance_scale
        progress = (step - 1) / (self.sampling_steps - 1)
        return self.guidance_scale + progress * (self.guidance_end - self.guidance_scale)

    def check(self, image_tokens: int, codebook_size: int) -> None:
        """Raise on what the model cannot do.

        Raises:
            UserError: Naming the value and its range.
        """
        check_whole(sampling_steps=self.sampling_steps)
        if not 1 <= self.sampling_steps <= image_tokens:
            raise UserError(
                f"sampling_steps is {self.sampling_steps}; choose 1 to {image_tokens} (the image "
                "tokens)"
            )
        check_mask_schedule(self.mask_schedule)
        check_not_negative(
            guidance_scale=self.guidance_scale,
            guidance_end=self.guidance_end or 0.0,
            confidence_temperature=self.confidence_temperature,
        )
        check_temperature(token_temperature=self.token_temperature)
        if self.shared_noise_seed is not None:
            check_seed(self.shared_noise_seed, "shared_noise_seed")
        check_top_k(self.top_k, codebook_size, "codebook")


REFINED_BY = {
    "guidance_scale": ("guidance_end",),
    "confidence_temperature": ("shared_noise_seed",),
    "token_temperature": ("top_k",),
}
"""For an option those that only refine it: who gives it gives them up."""

if TYPE_CHECKING:

    class SamplingChanges(Changes[ImageSampling]):
        """Changes over an `ImageSampling`, with the same fields."""

        def __init__(self, **changes: Any) -> None: ...

else:
    SamplingChanges = changes_class(
        ImageSampling, "SamplingChanges", __name__, refined_by=REFINED_BY
    )
