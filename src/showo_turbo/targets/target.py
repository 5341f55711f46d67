"""What a consistency target is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

from lightning.pytorch import Trainer
from torch import Tensor, device, nn

from ..errors import check_kind
from ..models.protocols import ImageModel


class Distilled(Protocol):
    """What a target sees of the module that is trained: `ShowoTurbo`.

    Attributes:
        student: The network that is trained.
        teacher: The one that made the trajectories; asking for it brings it beside the student.
        trainer: The trainer.
        device: Where the student is.
    """

    student: ImageModel

    @property
    def teacher(self) -> ImageModel:
        """The network that made the trajectories."""

    @property
    def trainer(self) -> Trainer:
        """The trainer."""

    @property
    def device(self) -> device:
        """Where the student is."""


class ConsistencyTarget(ABC):
    """Whose prediction the consistency terms pull toward.

    A target of your own is a subclass with `network`, named in the YAML; one that is made of
    several predictions overrides `predict` as well.

    Attributes:
        rides_along: Whether the target is the student as it is, whose prediction then comes with
            its own forward pass.
        needs_teacher: Whether the teacher is to be beside the student while it trains. A target
            that never asks for it says `False`, and saves a copy of the weights on the device.
    """

    rides_along: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = True

    @abstractmethod
    def network(self, module: Distilled) -> ImageModel:
        """The network that predicts."""

    def predict(self, module: Distilled, forward: Callable[[ImageModel], Tensor]) -> Tensor:
        """Return the target's logits; called without gradients.

        Args:
            module: Has `student`, `teacher` and `trainer`.
            forward: Gives a network's logits at the segments' ends.

        Raises:
            UserError: If `network` returns something else than a network.
        """
        network = self.network(module)
        check_kind(network, nn.Module, f"what {type(self).__name__}.network returns")
        return forward(network)

    def setup(self, module: Distilled) -> None:  # noqa: B027
        """Look for what the target needs, before anything is collected."""

    def on_train_start(self, module: Distilled) -> None:  # noqa: B027
        """Bring to the device what the target needs."""
