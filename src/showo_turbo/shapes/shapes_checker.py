"""The judge of the shapes world, where a program can tell whether an image satisfies its prompt."""

from collections.abc import Sequence

from torch import Tensor

from ..errors import UserError
from ..evaluation.abilities import Ability, AbilityCase, AbilityChecker
from ..trajectories.checker import PromptMetadata
from ..utils.images import to_bytes
from .abilities import cases_satisfied, rest_unchanged
from .ability_cases import make_cases
from .checker import check_images, read_images
from .prompts import Prompt
from .scene import IMAGE_SIZE, Scene
from .splits import all_wordings
from .story_scores import judge_told


class ShapesChecker(AbilityChecker):
    """The exact checker of the shapes world."""

    def can_judge(self, prompt: PromptMetadata) -> bool:
        """Whether a prompt asks for what the world has."""
        try:
            _meaning(prompt)
        except (UserError, KeyError, TypeError):
            return False
        return True

    def judge(self, pixels: Tensor, prompts: Sequence[PromptMetadata]) -> list[bool]:
        """Whether each image satisfies its prompt.

        Args:
            pixels: `(batch, 3, 24, 24)` in [-1, 1].
            prompts: One entry an image, a line of GenEval's metadata; or `prompt`, a text of the
                world's, alone.

        Raises:
            UserError: If a prompt asks for something that the world does not have, or the images
                have another size.
        """
        height, width = pixels.shape[-2:]
        if (height, width) != (IMAGE_SIZE, IMAGE_SIZE):
            raise UserError(
                f"images of {width} x {height} pixels cannot be checked; expected {IMAGE_SIZE} x "
                f"{IMAGE_SIZE}, train at that resolution or set evaluation.checker to null"
            )
        wanted = [_meaning(entry) for entry in prompts]
        return [result.satisfied for result in check_images(to_bytes(pixels), wanted)]

    def describe(self, pixels: Tensor) -> list[Scene | None]:
        """The scene of each image: its objects with shape, color and cell, and its background.

        Args:
            pixels: See `judge`.

        Returns:
            None for images that cannot be read.
        """
        return [reading.scene for reading in read_images(to_bytes(pixels))]

    def judge_story(
        self, texts: Sequence[str], pixels: Tensor, told: Sequence[str], keyframes: Tensor
    ) -> list[bool] | None:
        """Whether each step of a story was told right, see `judge_told`."""
        return judge_told(texts, pixels, told, keyframes)

    def ability_cases(self, ability: Ability, count: int, split: str = "test") -> list[AbilityCase]:
        """Cases of an ability, see `make_cases`."""
        return make_cases(ability, count, split)

    def satisfied(self, cases: Sequence[AbilityCase], pixels: Tensor) -> list[bool]:
        """Whether each image has become what its prompts say, see `cases_satisfied`."""
        return cases_satisfied(cases, pixels)

    def rest_unchanged(self, cases: Sequence[AbilityCase], pixels: Tensor) -> list[bool]:
        """Whether each edited image is otherwise as it was, see `rest_unchanged`."""
        return rest_unchanged(cases, pixels)


def _meaning(prompt: PromptMetadata) -> Prompt:
    """What a prompt asks for, by its metadata or else by its text.

    Raises:
        UserError: If that is nothing of this world.
        KeyError: If the world has no such text.
    """
    if "include" in prompt:
        return Prompt.from_metadata(dict(prompt))
    return all_wordings()[prompt["prompt"]]
