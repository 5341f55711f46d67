"""Images that are edited without a mask."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.images import to_images
from ..errors import check_kind
from ..sampling.editing import ImageEditing, edit_codes
from ..sampling.image_sampling import ImageSampling
from .drawing import Checked, Prompts, forwards_of
from .image_sources import ImageSource, check_images
from .loaded_model import LoadedModel
from .results import EditedImages, Statistics


@dataclass(frozen=True)
class Editing:
    """Images of which random tokens are regenerated, round after round, with another prompt.

    Args:
        images: Files or Pillow images.
        prompts: One an image: what it is to show in the end.
        options: How many rounds, and how many tokens they mask.
    """

    images: Sequence[ImageSource]
    prompts: Prompts
    options: ImageEditing

    def __len__(self) -> int:
        return len(self.images)

    def prepare(self, model: LoadedModel, sampling: ImageSampling) -> Checked[EditedImages]:
        """Check options, prompts and images, which are read; see `DrawingTask`."""
        check_kind(self.options, ImageEditing, "editing")
        self.options.check()
        ids = self.prompts.encode(model, sampling)
        check_images(self.images, model.background)
        rounds = range(1, self.options.rounds + 1)
        image_tokens = model.network.config.image_tokens
        remasked = sum(self.options.tokens_remasked(number, image_tokens) for number in rounds)

        def draw(indices: Sequence[int], seeds: Sequence[int]) -> EditedImages:
            own, images = ids.of(indices), len(indices)
            before = model.encode_images([self.images[i] for i in indices])
            codes, seconds = model.timed(
                lambda: edit_codes(
                    model.network, own.ids, before, sampling, self.options, seeds, own.negative
                )
            )
            return EditedImages(
                images=to_images(model.decode_images(model.as_grids(codes))),
                codes=codes.cpu(),
                unchanged=(codes == before).double().mean(dim=1).tolist(),
                seeds=list(seeds),
                statistics=Statistics(
                    images, images * remasked, images * forwards_of(sampling, len(rounds)), seconds
                ),
            )

        return Checked(ids.longest, draw)
