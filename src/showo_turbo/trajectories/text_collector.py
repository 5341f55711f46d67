"""Collecting the teacher's Jacobi trajectories of texts."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UserError
from ..models.image_input import ImageInput
from ..models.protocols import ImageModel
from ..sampling.autoregressive import TextResult
from ..sampling.jacobi import JacobiResult
from ..sampling.options import check_seed
from ..sampling.text_decoding import DecodingChanges, TextDecoding
from ..utils.hashing import fingerprint_tensors
from ..utils.random import stateless_seed
from .collection import (
    ALONE,
    Processes,
    ShardContent,
    check_items,
    check_positive,
    collect,
    store_identity,
)
from .manifest import StoreIdentity
from .model_identity import ModelIdentity
from .record import TextTrajectory, settled_iterates
from .repetition import is_repetitive
from .shards import pack_texts
from .store import TrajectoryStore


class TextRequest(NamedTuple):
    """A question about an image, to collect the answer's trajectory for.

    Attributes:
        key: Its name in its data set.
        image: The image, as the teacher's `image_input` says: codes `(image tokens,)`, or features
            `(image tokens, width)`, in float16 so that what is recorded is what the teacher sees.
        ids: The text ids before the answer, as `encode_question` gives them.
        text: What they say.
    """

    key: str
    image: Tensor
    ids: Sequence[int]
    text: str


@dataclass(frozen=True)
class TextCollection:
    """How text trajectories are collected.

    Args:
        decoding: How the teacher decodes: its longest answer (those that do not end within it are
            filtered out) and the block's size. What is recorded is always greedy Jacobi decoding,
            block after block.
        seed: Of the random tokens that blocks start from.
        longest_ngram: Repetitions of 1 to this many tokens are looked for.
        max_repeats: How often in a row an n-gram is accepted; texts that repeat one more often are
            filtered out.
        batch_size: Requests decoded at once; as some are done, others of the shard take their
            places. It changes no more than the rounding of
            floating-point numbers, and is not part of a store's identity.
        shard_size: Requests that go into a shard: what an interruption costs at most.

    Raises:
        UserError: If a value is out of range.
    """

    decoding: TextDecoding = field(default_factory=TextDecoding)
    seed: int = 0
    longest_ngram: int = 8
    max_repeats: int = 4
    batch_size: int = 32
    shard_size: int = 256

    def __post_init__(self) -> None:
        check_positive(self, "longest_ngram", "max_repeats", "batch_size", "shard_size")
        check_seed(self.seed)
        self.decoding.check()
        if self.decoding.temperature > 0:
            raise UserError(
                f"temperature is {self.decoding.temperature:g}, but text trajectories are those of "
                "greedy decoding; choose temperature 0"
            )

    @property
    def recorded(self) -> TextDecoding:
        """The decoding whose iterates are recorded; every greedy one gives the same answers."""
        changes = DecodingChanges(method="jacobi", driver="block")
        return changes.over(self.decoding)


def text_identity(
    teacher: str,
    requests: Sequence[TextRequest],
    settings: TextCollection,
    model: ModelIdentity = ModelIdentity(),
) -> StoreIdentity:
    """Return what determines a store of text trajectories.

    Args:
        teacher: The teacher's `fingerprint_module`.
        requests: All requests of the collection, in order.
        settings: How they are collected.
        model: What the teacher is, apart from its weights.
    """
    rows = ([r.key, r.text, list(r.ids), _image_fingerprint(r.image)] for r in requests)
    recorded = asdict(settings) | {"decoding": asdict(settings.recorded)}
    return store_identity("texts", teacher, rows, len(requests), recorded, model)


def collect_texts(
    teacher: ImageModel,
    requests: Sequence[TextRequest],
    settings: TextCollection,
    store: TrajectoryStore,
    processes: Processes = ALONE,
    progress: bool = True,
    device: torch.device | None = None,
) -> TrajectoryStore:
    """Answer by greedy Jacobi decoding and record the iterates; continue what a run began.

    Answers that do not end, or that repeat themselves, are left out and counted.

    Args:
        teacher: The network to record.
        requests: All requests, the same in every process.
        settings: How to collect.
        store: Begun with the `text_identity` of these arguments.
        processes: Who shares the work.
        progress: Whether to show a progress bar.
        device: Where the teacher decodes; it is brought there if anything is left to collect. By
            default it stays where it is.

    Returns:
        The finished store.

    Raises:
        UserError: If there are no requests, an image is not as the teacher reads it or its codes
            are of another number than the others', or the store is another's.
    """
    check_items(store, "texts", requests, settings.shard_size)
    _check_images(requests, teacher.image_input)

    def make_shard(indices: range, advance: Callable[[int], None]) -> ShardContent:
        records: list[TextTrajectory] = []
        filtered: Counter[str] = Counter()
        for outcome in record_texts(teacher, requests, indices, settings, advance):
            if isinstance(outcome, str):
                filtered[outcome] += 1
            else:
                records.append(outcome)
        blocks = [block for record in records for block in record.blocks]
        totals = {
            "answer_tokens": sum(len(record.answer_ids) for record in records),
            "blocks": len(blocks),
            "iterations": sum(len(block) - 1 for block in blocks),
        }
        return ShardContent(
            pack_texts(records, settings.decoding.block_size), len(records), filtered, totals
        )

    return collect(teacher, store, make_shard, processes, progress, device)


@torch.no_grad()
def record_texts(
    teacher: ImageModel,
    requests: Sequence[TextRequest],
    indices: range,
    settings: TextCollection,
    done: Callable[[int], None] | None = None,
) -> list[TextTrajectory | str]:
    """Answer some of the requests, `settings.batch_size` at once.

    Each block's random start depends on the seed and on the request's index alone.

    Args:
        teacher: The network to record.
        requests: All requests.
        indices: Which of them.
        settings: How to collect.
        done: Told how many answers have just come to their end.

    Returns:
        For each the trajectory, or the reason for which it is left out: `unfinished` or
        `repetitive`.
    """
    batch = [requests[index] for index in indices]
    results = settings.recorded.decode(
        teacher,
        torch.stack([_given(request.image) for request in batch]),
        [request.ids for request in batch],
        [stateless_seed(settings.seed, index, stream="jacobi") for index in indices],
        at_once=settings.batch_size,
        done=done,
    )
    image_type = torch.int16 if teacher.mask_code <= 2**15 else torch.int32
    if teacher.image_input.continuous:
        image_type = torch.float16
    return [
        _outcome(request, result, settings, image_type)
        for request, result in zip(batch, results, strict=True)
    ]


def _outcome(
    request: TextRequest, result: TextResult, settings: TextCollection, image_type: torch.dtype
) -> TextTrajectory | str:
    if not result.finished:
        return "unfinished"
    if is_repetitive(result.tokens, settings.longest_ngram, settings.max_repeats):
        return "repetitive"
    assert isinstance(result, JacobiResult)  # as `TextCollection.recorded` says
    size = settings.decoding.block_size
    valid = [min(size, len(result.tokens) - start) for start in range(0, len(result.tokens), size)]
    return TextTrajectory(
        key=request.key,
        text=request.text,
        prompt_ids=torch.tensor(list(request.ids), dtype=torch.int32),
        image=request.image.to("cpu", image_type),
        answer_ids=torch.tensor(result.tokens, dtype=torch.int32),
        blocks=[
            settled_iterates(block.cpu().int(), length)
            for block, length in zip(result.blocks, valid, strict=True)
        ],
    )


def _given(image: Tensor) -> Tensor:
    """An image as it is given to the teacher, in the precision in which it is recorded."""
    return image.half() if image.is_floating_point() else image.long()


def _image_fingerprint(image: Tensor) -> str:
    name = "features" if image.is_floating_point() else "codes"
    return fingerprint_tensors({name: _given(image)})


def _check_images(requests: Sequence[TextRequest], image_input: ImageInput) -> None:
    count, codebook_size = requests[0].image.numel(), image_input.codebook_size
    for request in requests:
        codes = request.image
        if fault := image_input.misfit(codes):
            raise UserError(
                f"image of request {request.key!r} is given as {fault}; encode it with the "
                "teacher's encoder"
            )
        if image_input.continuous:
            continue
        if codes.shape != (count,):
            raise UserError(
                f"image of request {request.key!r} has codes of shape {tuple(codes.shape)}; "
                f"expected ({count},) like the first; encode all images at one size"
            )
        if count and not 0 <= int(codes.min()) <= int(codes.max()) < codebook_size:
            raise UserError(
                f"image of request {request.key!r} has codes from {int(codes.min())} to "
                f"{int(codes.max())}; expected 0 to {codebook_size - 1}; encode it with the image "
                "tokenizer of this model"
            )
