"""Objects in images, found by Mask2Former."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from ...errors import UserError
from ..weights import MASK2FORMER, required_file
from .object_names import OBJECT_NAMES
from .rules import CONFIDENCE, FoundObject


class ObjectFinder(nn.Module):
    """Finds objects of the classes of COCO.

    The benchmark's own detector needs mmdet; this is the same architecture in transformers. Classes
    are named by their number, not by the folder's labels, some of which are of another data set.

    Args:
        folder: A folder of `Mask2FormerForUniversalSegmentation` for instances, such as
            `facebook/mask2former-swin-small-coco-instance`, with its `preprocessor_config.json`.
        confidence: Objects that the network is less sure of are left out.

    Raises:
        UserError: If the folder is missing, or holds another model or other classes.
    """

    def __init__(self, folder: Path, confidence: float = CONFIDENCE) -> None:
        super().__init__()
        from transformers import AutoImageProcessor, Mask2FormerForUniversalSegmentation

        required_file(folder, MASK2FORMER, "GenEval")
        try:
            self.processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            network: Any = Mask2FormerForUniversalSegmentation.from_pretrained(
                folder, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{folder} holds no Mask2Former ({reason}); name its folder") from None
        if (count := len(network.config.id2label)) != len(OBJECT_NAMES):
            raise UserError(
                f"{folder} knows {count} classes; expected the {len(OBJECT_NAMES)} of COCO, "
                "in the order of COCO: name a Mask2Former for COCO's instances"
            )
        self.network = network.requires_grad_(False).eval()
        self.confidence = confidence

    @torch.no_grad()
    def forward(self, images: Sequence[NDArray[np.uint8]]) -> list[list[FoundObject]]:
        """Find the objects of each image.

        Args:
            images: RGB `(height, width, 3)` each.
        """
        as_pillow = [Image.fromarray(image) for image in images]
        inputs = self.processor(images=as_pillow, return_tensors="pt").to(self.network.device)
        results = self.processor.post_process_instance_segmentation(
            self.network(**inputs),
            threshold=self.confidence,
            target_sizes=[image.shape[:2] for image in images],
            return_binary_maps=True,
        )
        return [self._objects(result) for result in results]

    def _objects(self, result: dict[str, Any]) -> list[FoundObject]:
        found = []
        for place, info in enumerate(result["segments_info"]):
            mask = result["segmentation"][place].cpu().numpy().astype(bool)
            if mask.any():
                name = OBJECT_NAMES[info["label_id"]]
                found.append(FoundObject(name, float(info["score"]), bounding_box(mask), mask))
        return found


def bounding_box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """`(left, top, right, bottom)` of a mask `(height, width)` that is somewhere true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
