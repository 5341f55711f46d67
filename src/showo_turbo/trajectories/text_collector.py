"""Collecting the teacher's trajectories of texts."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
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
from .denoised import RecordedAnswer, record_blocks
from .manifest import StoreIdentity
from .model_identity import ModelIdentity
from .record import DenoisedText, TextTrajectory, settled_iterates
from .recorder import id_type
from .repetition import is_repetitive
from .segments import check_segments
from .shards import pack_denoised, pack_texts
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
            filtered out) and the block's size. What is recorded is always greedy: Jacobi decoding,
            block after block, or block diffusion, with its steps, its guidance and its order.
        seed: Of the random tokens that blocks start from, or of a random order.
        segments: Of block diffusion, equal segments of a block's steps at whose ends the teacher's
            distributions are recorded; see `ImageCollection`.
        topk_targets: Of block diffusion, how many of the likeliest ids of a distribution are
            recorded.
        longest_ngram: Repetitions of 1 to this many tokens are looked for.
        max_repeats: How often in a row an n-gram is accepted; texts that repeat one more often are
            filtered out.
        batch_size: Requests decoded at once; of Jacobi decoding, others of the shard take the
            places of those that are done. It changes no more than the rounding of floating-point
            numbers, and is not part of a store's identity.
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
    segments: int = 4
    topk_targets: int = 16

    def __post_init__(self) -> None:
        sizes = ("longest_ngram", "max_repeats", "batch_size", "shard_size", "topk_targets")
        check_positive(self, *sizes)
        check_seed(self.seed)
        self.decoding.check()
        if self.denoised:
            check_segments(self.decoding.denoising.steps_per_block, self.segments)
        if self.decoding.temperature > 0:
            raise UserError(
                f"temperature is {self.decoding.temperature:g}, but text trajectories are those of "
                "greedy decoding; choose temperature 0"
            )

    @property
    def denoised(self) -> bool:
        """Whether the teacher's texts are denoised."""
        return self.decoding.method == "block_diffusion"

    @property
    def recorded(self) -> TextDecoding:
        """The decoding that is recorded; left to right, every greedy one gives the same answers."""
        if self.denoised:
            return self.decoding
        changes = DecodingChanges(method="jacobi", driver="block")
        return replace(changes.over(self.decoding), forward_tokens=None)


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
    if not settings.denoised:
        for name in ("segments", "topk_targets"):
            del recorded[name]
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
    """Answer as the settings say and record how; continue what an earlier run began.

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
        UserError: If there are no requests, the teacher does not write as the settings say, an
            image is not as it reads it or its codes are of another number than the others', or the
            store is another's.
    """
    settings.recorded.check_for(teacher)
    check_items(store, "texts", requests, settings.shard_size)
    _check_images(requests, teacher.image_input)

    def make_shard(indices: range, advance: Callable[[int], None]) -> ShardContent:
        records: list[TextTrajectory] = []
        denoised: list[DenoisedText] = []
        filtered: Counter[str] = Counter()
        for outcome in record_texts(teacher, requests, indices, settings, advance):
            if isinstance(outcome, str):
                filtered[outcome] += 1
            elif isinstance(outcome, DenoisedText):
                denoised.append(outcome)
            else:
                records.append(outcome)
        size = settings.decoding.block_size
        if settings.denoised:
            with torch.autocast("cpu", enabled=False):  # under it float16 cannot be stacked
                tensors = pack_denoised(denoised, size)
            return ShardContent(tensors, len(denoised), filtered, _denoised_totals(denoised))
        blocks = [block for record in records for block in record.blocks]
        totals = {
            "answer_tokens": sum(len(record.answer_ids) for record in records),
            "blocks": len(blocks),
            "iterations": sum(len(block) - 1 for block in blocks),
        }
        return ShardContent(pack_texts(records, size), len(records), filtered, totals)

    return collect(teacher, store, make_shard, processes, progress, device)


def _denoised_totals(records: Sequence[DenoisedText]) -> dict[str, float]:
    """Sums of statistics over denoised answers."""
    blocks = [block for record in records for block in record.blocks]
    mass = torch.cat([torch.zeros(0), *(block.kept_mass for block in blocks)]).double()
    return {
        "answer_tokens": sum(record.answer_length for record in records),
        "blocks": len(blocks),
        "positions": mass.numel(),
        "kept_mass": round(float(mass.sum()), 3),
    }


@torch.no_grad()
def record_texts(
    teacher: ImageModel,
    requests: Sequence[TextRequest],
    indices: range,
    settings: TextCollection,
    done: Callable[[int], None] | None = None,
) -> list[TextTrajectory | DenoisedText | str]:
    """Answer some of the requests, `settings.batch_size` at once, short questions first.

    What is drawn for an answer, such as each block's random start, depends on the seed and on the
    request's index alone.

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
    order = sorted(indices, key=lambda index: len(requests[index].ids))
    batch = [requests[index] for index in order]
    images = torch.stack([_given(request.image) for request in batch])
    prompts = [request.ids for request in batch]
    seeds = [stateless_seed(settings.seed, index, stream="jacobi") for index in order]
    image_type = id_type(teacher.mask_code - 1)
    if teacher.image_input.continuous:
        image_type = torch.float16
    results: list[TextResult | RecordedAnswer] = []
    if settings.denoised:
        for begin in range(0, len(batch), settings.batch_size):
            places = slice(begin, begin + settings.batch_size)
            results += record_blocks(
                teacher,
                images[places],
                prompts[places],
                settings.decoding.denoising,
                seeds[places],
                segments=settings.segments,
                topk_targets=settings.topk_targets,
            )
            if done is not None:
                done(len(batch[places]))
    else:
        results += settings.recorded.decode(
            teacher, images, prompts, seeds, at_once=settings.batch_size, done=done
        )
    outcomes = {
        index: _outcome(requests[index], result, settings, image_type)
        for index, result in zip(order, results, strict=True)
    }
    return [outcomes[index] for index in indices]


def _outcome(
    request: TextRequest,
    result: TextResult | RecordedAnswer,
    settings: TextCollection,
    image_type: torch.dtype,
) -> TextTrajectory | DenoisedText | str:
    if not result.finished:
        return "unfinished"
    if is_repetitive(result.tokens, settings.longest_ngram, settings.max_repeats):
        return "repetitive"
    prompt_ids = torch.tensor(list(request.ids), dtype=torch.int32)
    image = request.image.to("cpu", image_type)
    if isinstance(result, RecordedAnswer):
        return DenoisedText(
            key=request.key,
            text=request.text,
            prompt_ids=prompt_ids,
            image=image,
            length=settings.decoding.max_new_tokens,
            answer_length=len(result.tokens),
            blocks=result.blocks,
        )
    assert isinstance(result, JacobiResult)  # as `TextCollection.recorded` says
    size = settings.decoding.block_size
    valid = [min(size, len(result.tokens) - start) for start in range(0, len(result.tokens), size)]
    return TextTrajectory(
        key=request.key,
        text=request.text,
        prompt_ids=prompt_ids,
        image=image,
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
