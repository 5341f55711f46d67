"""Images without their prompts, so that a student knows what images look like whatever is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import UserError
from ..utils.random import uniform
from .image_collector import ImagePrompt
from .record import ImageTrajectory
from .source import Collecting
from .sources import Wrapping


@dataclass(frozen=True)
class PromptDropout(Wrapping):
    """Images of a source, a share of them with the empty prompt in place of the one they are of.

    A student that learns from them can be guided, and finds out what of an image contradicts a
    prompt, as `showo-turbo edit` does.

    Args:
        source: The images.
        share: Of those that lose their prompts.

    Raises:
        UserError: If it is not a share.

    Source: classifier-free guidance (arXiv 2207.12598); Show-o drops a tenth of its prompts.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.share <= 1:
            raise UserError(
                f"share of PromptDropout is {self.share}; expected a share, set it to 0..1"
            )

    def draw(
        self, collecting: Collecting, prompts: Sequence[ImagePrompt], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt; see `ImageSource.draw`."""
        drawn = self.source.draw(collecting, prompts, seeds)
        network = collecting.networks["teacher"]
        results: list[ImageTrajectory | None] = []
        for record, asked, seed in zip(drawn, prompts, seeds, strict=True):
            if record is not None and uniform(seed, stream="prompt dropout") < self.share:
                empty = torch.tensor(list(network.null_prompt_of(asked.ids)), dtype=torch.int32)
                record = replace(record, prompt="", prompt_ids=empty)
            results.append(record)
        return results
