"""Bytes of the tensors that are alive, counted as they come and go."""

import weakref
from collections.abc import Callable, Collection, Iterable
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts what is alive of the tensors that are made within it, real or fake ones.

    Gradients are counted apart and dropped: they stay until the step's end anyway, and where they
    are sharded, one of several devices keeps its share only.

    Args:
        there: Tensors that exist already, and are not counted.
        classes: Sizes of vocabularies; a tensor whose last dimension is one of them is logits.
        shards: Devices that gradients are shared by.

    Attributes:
        peak: Bytes of `logits`, `activations` and `gradients` when they were the most together.
    """

    def __init__(
        self, there: Iterable[Tensor] = (), classes: Collection[int] = (), shards: int = 1
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.classes = frozenset(classes)
        self.shards = shards
        self.live = {"logits": 0, "activations": 0, "gradients": 0}
        self.peak = dict(self.live)
        self._known = {tensor.untyped_storage()._cdata for tensor in there}
        self._with_gradient: set[nn.Parameter] = set()

    def watch(self, parameters: Iterable[nn.Parameter]) -> None:
        """Count the gradients of parameters, once each, as soon as they have come together."""
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._take)

    def _take(self, parameter: Tensor) -> None:
        assert isinstance(parameter, nn.Parameter)
        if parameter not in self._with_gradient:
            self._with_gradient.add(parameter)
            size = parameter.numel() * parameter.element_size()
            self.live["gradients"] += size // self.shards
        parameter.grad = None
        self._note()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count what it makes."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        is_logits = tensor.ndim > 1 and tensor.shape[-1] in self.classes
        kind, size = "logits" if is_logits else "activations", storage.nbytes()
        self.live[kind] += size
        weakref.finalize(storage, self._forget, key, kind, size).atexit = False
        self._note()

    def _forget(self, key: int, kind: str, size: int) -> None:
        self._known.discard(key)
        self.live[kind] -= size

    def _note(self) -> None:
        if sum(self.live.values()) > sum(self.peak.values()):
            self.peak = dict(self.live)
