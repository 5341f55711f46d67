"""Texts as the state of a metric, so that several processes can bring theirs together."""

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class TextMetric(Metric):
    """Base of metrics that need all samples at once; each sample is kept as JSON in bytes."""

    full_state_update = False

    content: list[Tensor]
    lengths: list[Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("content", [], dist_reduce_fx="cat")
        self.add_state("lengths", [], dist_reduce_fx="cat")

    def keep(self, samples: Sequence[Any]) -> None:
        """Add samples, any JSON values."""
        encoded = [json.dumps(sample).encode() for sample in samples]
        if encoded:
            joined = bytearray(b"".join(encoded))
            self.content.append(torch.frombuffer(joined, dtype=torch.uint8).to(self.device))
            self.lengths.append(torch.tensor([len(part) for part in encoded], device=self.device))

    def samples(self) -> list[Any]:
        """All samples, of every process once they are synchronized."""
        content, lengths = _joined(self.content), _joined(self.lengths)
        found, start = [], 0
        for length in lengths.tolist():
            found.append(json.loads(bytes(content[start : start + length].tolist())))
            start += length
        return found


def _joined(parts: list[Tensor] | Tensor) -> Tensor:
    """A list state, which is one tensor after synchronization."""
    if isinstance(parts, Tensor):
        return parts.cpu()
    return torch.cat(parts).cpu() if parts else torch.zeros(0, dtype=torch.uint8)
