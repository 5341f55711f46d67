"""Images that the student begins and another network completes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel
from ..sampling.image_sampling import ImageSampling, SamplingChanges
from ..sampling.mask_schedules import tokens_left_masked
from ..sampling.parallel import denoise_images
from ..utils.random import stateless_seed
from .image_collector import ImageCollection, ImagePrompt, record_images
from .record import ImageTrajectory
from .source import Collecting, ImageSource, Network
from .sources import changed_settings


@dataclass(frozen=True)
class OnPolicy(ImageSource):
    """Images that are begun by the student and completed by another network.

    The round's teacher, which is the student as it was when the round began, samples with a random
    number of steps up to a random one of them; the states that it reaches itself are those it will
    be in when it is used. From there the completing network goes on with the steps that it has
    left, and what it makes is the trajectory's end.

    Args:
        steps: Numbers of sampling steps of the student, one chosen at random for each prompt.
        sampling: How the student samples: what changes of how the stage samples.
        completion: How the completing network samples: what changes of how the stage samples.
        network: Which network completes, see `Sampled`.

    Raises:
        UserError: If `steps` is empty.
    """

    steps: list[int] = field(default_factory=lambda: [1, 2, 4])
    sampling: SamplingChanges = field(default_factory=SamplingChanges)
    completion: SamplingChanges = field(default_factory=SamplingChanges)
    network: Network = "base"

    def __post_init__(self) -> None:
        if not self.steps or min(self.steps) < 1:
            raise UserError(
                f"steps is {self.steps}; expected numbers of sampling steps, such as [1, 2, 4]"
            )

    @property
    def needs_base(self) -> bool:
        """Whether it generates with the model that the run started from."""
        return self.network == "base"

    def check(
        self, settings: ImageCollection, model: ImageModel, captions: Sequence[str] = ()
    ) -> None:
        """Look for what cannot be generated; see `ImageSource.check`."""
        if settings.segments != 1:
            raise UserError(
                f"OnPolicy gives no targets at the ends of {settings.segments} segments; set "
                "image_segments to 1"
            )
        for steps in self.steps:
            self._rollout(settings, steps).check(model.config)
        changed_settings(settings, self.completion).sampling.check(model.config)

    def draw(
        self, collecting: Collecting, prompts: Sequence[ImagePrompt], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt; see `ImageSource.draw`."""
        begun = [self._begun(seed) for seed in seeds]
        results: list[ImageTrajectory | None] = [None] * len(prompts)
        for steps, done in sorted(set(begun)):
            places = [place for place, entry in enumerate(begun) if entry == (steps, done)]
            records = self._complete(
                collecting,
                [prompts[place] for place in places],
                [seeds[place] for place in places],
                steps,
                done,
            )
            for place, record in zip(places, records, strict=True):
                results[place] = record
        return results

    def _begun(self, seed: int) -> tuple[int, int]:
        """How many steps the student samples with, and how many of them it takes."""
        steps = self.steps[stateless_seed(seed, stream="steps") % len(self.steps)]
        return steps, stateless_seed(seed, stream="done") % steps

    def _complete(
        self,
        collecting: Collecting,
        prompts: Sequence[ImagePrompt],
        seeds: Sequence[int],
        steps: int,
        done: int,
    ) -> list[ImageTrajectory]:
        """Begin images with some of the student's steps, and complete them."""
        known = None
        if done:
            student = collecting.networks["teacher"]
            rollout = self._rollout(collecting.settings, steps)
            states = denoise_images(student, [p.ids for p in prompts], rollout, seeds)
            known = next(islice(states, done - 1, None)).codes
        settings = changed_settings(collecting.settings, self.completion)
        network = collecting.networks[self.network]
        own = [stateless_seed(seed, stream="completion") for seed in seeds]
        reached = 0 if known is None else _nearest_step(known, network, settings.sampling)
        return record_images(network, prompts, settings, own, known, reached)

    def _rollout(self, settings: ImageCollection, steps: int) -> ImageSampling:
        return replace(self.sampling.over(settings.sampling), sampling_steps=steps)


def _nearest_step(known: Tensor, network: ImageModel, sampling: ImageSampling) -> int:
    """The step, not the first nor the last, after which about as many tokens are masked."""
    masked = int((known[0] == network.mask_code).sum())
    left, nearest = network.config.image_tokens, (network.config.image_tokens, 1)
    for step in range(1, sampling.sampling_steps):
        left = tokens_left_masked(
            step, sampling.sampling_steps, known.shape[1], left, sampling.mask_schedule
        )
        nearest = min(nearest, (abs(left - masked), step))
    return nearest[1]
