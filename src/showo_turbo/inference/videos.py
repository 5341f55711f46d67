"""Clips of prompts, and of images that are set in motion."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.images import to_images
from ..sampling.image_sampling import ImageSampling
from ..sampling.videos import check_clip_sampling, decode_clip_codes
from .drawing import Checked, Prompts, forwards_of
from .image_sources import ImageSource, check_images
from .loaded_model import LoadedModel
from .results import GeneratedVideos, Statistics


@dataclass(frozen=True)
class VideoGeneration:
    """New clips.

    Args:
        prompts: One a clip.
        images: The first frame of each clip, files or Pillow images, if they are given.
        by_frame: Whether the latent frames are generated one by one; see `decode_clip_codes`.
    """

    prompts: Prompts
    images: Sequence[ImageSource] | None = None
    by_frame: bool = False

    def __len__(self) -> int:
        return len(self.prompts)

    def prepare(self, model: LoadedModel, sampling: ImageSampling) -> Checked[GeneratedVideos]:
        """Check the prompts, and read the images; see `DrawingTask`."""
        check_clip_sampling(model.network.config, sampling, self.by_frame)
        ids = self.prompts.encode(model, sampling)
        check_images(self.images or (), model.background)
        frames, size = model.grid[0], model.grid[1] * model.grid[2]

        def draw(indices: Sequence[int], seeds: Sequence[int]) -> GeneratedVideos:
            own, known = ids.of(indices), None
            if self.images is not None:
                known = self._first_frames(model, [self.images[i] for i in indices])
            codes, seconds = model.timed(
                lambda: decode_clip_codes(
                    model.network,
                    own.ids,
                    sampling,
                    seeds,
                    known,
                    own.negative,
                    by_frame=self.by_frame,
                )
            )
            pixels = model.decode_images(model.as_grids(codes))
            videos = [to_images(clip.transpose(0, 1)) for clip in pixels]
            drawn = frames - (self.images is not None)
            rounds = drawn if self.by_frame else 1
            tokens = len(indices) * size * drawn
            forwards = len(indices) * forwards_of(sampling, rounds)
            return GeneratedVideos(
                images=[video[0] for video in videos],
                videos=videos,
                codes=codes.cpu(),
                seeds=list(seeds),
                statistics=Statistics(len(indices), tokens, forwards, seconds),
            )

        return Checked(ids.longest, draw)

    def _first_frames(self, model: LoadedModel, images: Sequence[ImageSource]) -> Tensor:
        """Codes `(images, image_tokens)` of which the first latent frame is known."""
        pixels = [model.square_image(image, model.resolution) for image in images]
        first = model.image_tokenizer.encode(torch.stack(pixels).to(model.device))
        rest = model.network.config.image_tokens - first.shape[1]
        return F.pad(first, (0, rest), value=model.network.mask_code)
