"""GenEval as a metric."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from ...utils.images import to_bytes
from ..names import NamedMetric
from .colors import ColorNamer
from .detector import ObjectFinder
from .rules import CATEGORIES, judge


class GenEval(NamedMetric):
    """Share of images that satisfy their prompts, GenEval's six categories weighing the same.

    Unit: a share in [0, 1]. The rules are the benchmark's; its detector is replaced by Mask2Former
    of transformers, and its CLIP by the one of `CLIPScore`, so values differ a little from
    published ones: compare within one pair of networks. The benchmark's own CLIP is OpenAI's, whose
    architecture is called `ViT-L-14-quickgelu` in open_clip.

    Source: GenEval (arXiv 2310.11513); prompts: its `evaluation_metadata.jsonl`.

    Args:
        detector: Folder of the Mask2Former.
        clip: File of the open_clip network that names colors; by default that of `CLIPScore`.
        architecture: Of that network.
        options: `name`, what tables call it; others are those of torchmetrics.

    Raises:
        UserError: If one is missing, naming the download.
    """

    higher_is_better = True
    full_state_update = False

    satisfied: Tensor
    total: Tensor

    def __init__(
        self,
        detector: Path = Path("weights/mask2former-swin-small-coco-instance"),
        clip: Path = Path("weights/open_clip_pytorch_model.bin"),
        architecture: str = "ViT-H-14",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.add_state("satisfied", torch.zeros(len(CATEGORIES)), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(len(CATEGORIES)), dist_reduce_fx="sum")
        self.find_objects = ObjectFinder(detector)
        self.name_colors = ColorNamer(clip, architecture)

    def judge(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Whether each image satisfies its prompt.

        Args:
            pixels: `(batch, 3, height, width)` in [-1, 1].
            metadata: GenEval's line of each prompt.

        Raises:
            UserError: If a prompt is of no category of GenEval.
        """
        for entry in metadata:
            if entry.get("tag") not in CATEGORIES:
                raise UserError(
                    f"the prompt {entry.get('prompt')!r} is of the category {entry.get('tag')!r}; "
                    f"GenEval has {', '.join(CATEGORIES)}"
                )
        images = to_bytes(pixels)
        found = self.find_objects(list(images))
        return [
            judge(objects, entry, partial(self.name_colors, image))
            for image, objects, entry in zip(images, found, metadata, strict=True)
        ]

    def update(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> None:
        """Judge images, see `judge`."""
        for entry, satisfied in zip(metadata, self.judge(pixels, metadata), strict=True):
            place = CATEGORIES.index(entry["tag"])
            self.satisfied[place] += satisfied
            self.total[place] += 1

    def compute(self) -> Tensor:
        """Mean over the categories that were seen; NaN when none was."""
        seen = self.total > 0
        return (self.satisfied[seen] / self.total[seen]).mean()
