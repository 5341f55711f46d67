"""How images are sampled: one class of options, and changes over it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError, shown
from ..models.model_config import ModelConfig
from .changes import Changes, changes_class
from .halton import square_side
from .mask_schedules import MaskSchedule, check_mask_schedule
from .options import (
    check_choice,
    check_not_negative,
    check_seed,
    check_temperature,
    check_top_k,
    check_whole,
)

ConfidenceAnnealing = Literal["linear", "compounding"]
RevealOrder = Literal["confidence", "halton", "oriented_halton"]
ScheduleBase = Literal["image", "unknown"]


@dataclass(frozen=True)
class ImageSampling:
    """How images are sampled.

    Args:
        sampling_steps: Denoising steps, 1 .. image tokens.
        guidance_scale: w of classifier-free guidance, `(1 + w) cond - w uncond`; 0 turns it off
            and halves the work.
        mask_schedule: `cosine`, `linear`, `pow` or `sigmoid`.
        token_temperature: Temperature of the sampled tokens; 0 takes the likeliest.
        confidence_temperature: Scale of the Gumbel noise on the reveal order, annealed to 0 over
            the steps; 0 reveals the surest tokens.
        top_k: Sample only from the k likeliest codes. Either k, or k by the number of sampling
            steps, such as `{2: 200, 4: 500}`: with other numbers of steps all codes are sampled
            from.
        guidance_end: w of the last step, reached from `guidance_scale` in even steps; by default w
            stays the same.
        shared_noise_seed: Draws the noise on the reveal order once, for all images and all steps;
            by default every image draws its own at every step. Fewer steps then reveal in the order
            of more steps, which is what a student learns from trajectories of one order.
        confidence_annealing: How `confidence_temperature` falls: at step s of K `linear` multiplies
            it by 1 - s/K, and `compounding` by (1 - 1/K) (1 - 2/K) ... (1 - s/K), as in the sampler
            that was released with Show-o Turbo.
        reveal_order: With `confidence` the surest tokens are revealed first; with `halton` those
            of all images in the order of a Halton sequence, which spreads each step's evenly; with
            `oriented_halton` in one of its eight rotations and reflections, which the image's seed
            chooses (its remainder by 8), so that images of a prompt differ although all their
            tokens are the likeliest. A student that reads noise reads which one, see `noise_of`.
            Both reveal clips one latent frame after the other, each in this order.
        schedule_base: What the shares of the mask schedule are shares of where some tokens are
            known from the beginning: with `image` of all tokens, as published, so that most of the
            unknown ones are left for the last step; with `unknown` of those that are masked at the
            beginning, so that they are revealed as evenly as a whole image. No difference where all
            are masked.
        random_start: Share of the unknown tokens that the model reads as random codes, the same
            ones at all steps, in place of masks. `ShowoTurbo` trains a student with that of its
            `sampling`; its images of a prompt then differ by their seeds.
        revise_below: Tokens that were revealed and that the model finds less likely than this at a
            later step are masked again, and others revealed in their place: as many stay masked as
            without it. What is known from the beginning is kept. For students that are trained to
            find their own mistakes, see `SelfCorrection`.
    """

    sampling_steps: int = 16
    guidance_scale: float = 0.0
    mask_schedule: MaskSchedule = "cosine"
    token_temperature: float = 0.0
    confidence_temperature: float = 0.0
    top_k: int | dict[int, int] | None = field(default=None, hash=False)
    guidance_end: float | None = None
    shared_noise_seed: int | None = None
    confidence_annealing: ConfidenceAnnealing = "linear"
    reveal_order: RevealOrder = "confidence"
    schedule_base: ScheduleBase = "image"
    random_start: float = 0.0
    revise_below: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.top_k, Mapping):
            given: Mapping[Any, int] = self.top_k  # from JSON, its keys are strings
            by_steps = {
                int(steps) if isinstance(steps, str) and steps.isdecimal() else steps: k
                for steps, k in given.items()
            }
            object.__setattr__(self, "top_k", by_steps)

    @property
    def guided(self) -> bool:
        """Whether any step needs the unconditional half."""
        return self.guidance_scale > 0 or bool(self.guidance_end)

    @property
    def one_image_a_prompt(self) -> bool:
        """Whether images of a prompt are the same whatever their seeds."""
        ordered = (
            self.reveal_order == "halton"
            or self.confidence_temperature == 0
            or self.shared_noise_seed is not None
        ) and self.reveal_order != "oriented_halton"
        return ordered and self.token_temperature == 0 and self.random_start == 0

    @property
    def k(self) -> int | None:
        """How many codes are sampled from with its number of steps; None for all."""
        if isinstance(self.top_k, Mapping):
            return self.top_k.get(self.sampling_steps)
        return self.top_k

    @property
    def resolved(self) -> "ImageSampling":
        """The same with `k` in place of a mapping: what is noted beside the results."""
        return replace(self, top_k=self.k)

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

    def confidence_temperature_at(self, step: int) -> float:
        """Scale of the noise on the reveal order at a step, 1 .. steps; 0 at the last."""
        first = 1 if self.confidence_annealing == "compounding" else step
        temperature = self.confidence_temperature
        for reached in range(first, step + 1):
            temperature *= 1 - reached / self.sampling_steps
        return temperature

    def check(self, config: ModelConfig) -> None:
        """Raise on what a model of these sizes cannot do.

        Raises:
            UserError: Naming the value and its range.
        """
        self.check_steps(config.image_tokens)
        check_mask_schedule(self.mask_schedule)
        check_not_negative(
            guidance_scale=self.guidance_scale,
            guidance_end=self.guidance_end or 0.0,
            confidence_temperature=self.confidence_temperature,
        )
        check_temperature(token_temperature=self.token_temperature)
        for name in ("random_start", "revise_below"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be 0 to 1")
        if self.shared_noise_seed is not None:
            check_seed(self.shared_noise_seed, "shared_noise_seed")
        check_choice(ConfidenceAnnealing, confidence_annealing=self.confidence_annealing)
        check_choice(RevealOrder, reveal_order=self.reveal_order)
        check_choice(ScheduleBase, schedule_base=self.schedule_base)
        if self.reveal_order != "confidence":
            square_side(config, self.reveal_order)
            if self.confidence_temperature > 0:
                raise UserError(
                    f"confidence_temperature is {self.confidence_temperature}, but reveal_order "
                    f"'{self.reveal_order}' takes no noise; leave one of them out"
                )
        self._check_top_k(config.image_tokens, config.codebook_size)

    def check_steps(self, tokens: int) -> None:
        """Raise unless each step reveals at least one of so many tokens.

        Raises:
            UserError: Naming the value and its range.
        """
        check_whole(sampling_steps=self.sampling_steps)
        if not 1 <= self.sampling_steps <= tokens:
            raise UserError(
                f"sampling_steps is {self.sampling_steps}; choose 1 to {tokens} (the image tokens)"
            )

    def _check_top_k(self, image_tokens: int, codebook_size: int) -> None:
        if not isinstance(self.top_k, Mapping):
            check_top_k(self.top_k, codebook_size, "codebook")
            return
        for steps in self.top_k:
            if type(steps) is not int or not 1 <= steps <= image_tokens:
                raise UserError(
                    f"top_k has the number of sampling steps {shown(steps)}; expected 1 to "
                    f"{image_tokens} (the image tokens), such as {{2: 200, 4: 500}}"
                )
        for steps, k in self.top_k.items():
            if k is None:
                raise UserError(f"top_k at {steps} sampling steps is null; leave {steps} out")
            check_top_k(k, codebook_size, "codebook")


REFINED_BY = {
    "guidance_scale": ("guidance_end",),
    "confidence_temperature": ("shared_noise_seed", "confidence_annealing"),
    "token_temperature": ("top_k",),
    "reveal_order": ("confidence_temperature", "shared_noise_seed", "confidence_annealing"),
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
