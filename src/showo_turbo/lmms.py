"""Show-o as a model of lmms-eval, which runs POPE, MME, MMMU, Flickr30k, NoCaps and many more.

`lmms-eval --model showo_turbo --model_args pretrained=<folder> --tasks pope` finds it
through the entry point `lmms_eval.models`.
"""

from collections.abc import Sequence
from typing import Any, Literal

from accelerate import Accelerator
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from PIL import Image

from .data.transparency import BACKGROUND
from .errors import UserError, shown
from .inference import Answers, ShowoPipeline
from .inference.batching import LARGEST_BATCH
from .inference.request_settings import decoding_of
from .sampling.text_decoding import DecodingChanges, TextDecoding
from .utils.progress import progress_bar

NAME = "showo_turbo"


def manifest() -> ModelManifest:
    """What lmms-eval registers."""
    return ModelManifest(model_id=NAME, simple_class_path=f"{__name__}.ShowoTurboModel")


class ShowoTurboModel(lmms):  # type: ignore[misc]
    """Answers questions about one image each; of several images the first is looked at.

    Args:
        pretrained: `shapes`, a folder or a hub id.
        image_tokenizer: Likewise; what the model names by default.
        text_tokenizer: Likewise.
        device: Where it runs; by default where lmms-eval's process does.
        dtype: Floating-point type of the transformer.
        batch_size: Questions answered at once; `auto` for as many as fit.
        family: Class of the model, where it is of a family of your own: its import path.
        background: Color that shows through transparent parts of images.
        **options: Options of `TextDecoding` that are to be otherwise than the model does best, such
            as `method=autoregressive`. What a task says for itself (`max_new_tokens`, `do_sample`,
            `temperature`, `top_k`, `top_p` and `until`) comes first, request by request; beams are
            not searched.

    Raises:
        UserError: If an option is unknown or the model cannot be loaded.
    """

    def __init__(
        self,
        pretrained: str = "showlab/show-o-512x512",
        image_tokenizer: str | None = None,
        text_tokenizer: str | None = None,
        device: str | None = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        batch_size: int | str = 1,
        family: str | None = None,
        background: str = BACKGROUND,
        **options: Any,
    ) -> None:
        super().__init__()
        # lmms-eval itself adds some that it has no value for.
        given = {name: value for name, value in options.items() if value is not None}
        changes = DecodingChanges.of(given)
        self.accelerator = Accelerator()
        self._rank = self.accelerator.process_index
        self._world_size = self.accelerator.num_processes
        where = device or str(self.accelerator.device)
        self.pipeline = ShowoPipeline.from_pretrained(
            pretrained,
            image_tokenizer,
            text_tokenizer,
            where,
            dtype,
            family=family,
            background=background,
        )
        self.decoding = changes.over(self.pipeline.decoding)
        self.decoding.check()
        self.batch_size = batch_size_of(batch_size)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer requests, in their order; those with other settings are not in one batch.

        Args:
            requests: lmms-eval's instances.

        Raises:
            UserError: If one has no image, is too long, or its settings mean nothing.
        """
        groups: dict[TextDecoding, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(decoding_of(request.args[1], self.decoding), []).append(index)
        found = [""] * len(requests)
        size = self.batch_size or LARGEST_BATCH
        with progress_bar("answers", len(requests), show=self._rank == 0) as advance:
            for decoding, indices in groups.items():
                for start in range(0, len(indices), size):
                    chosen = indices[start : start + size]
                    answers = self._answer([requests[index].args for index in chosen], decoding)
                    for index, answer in zip(chosen, answers, strict=True):
                        found[index] = answer
                    advance(len(chosen))
        return found

    def _answer(self, batch: Sequence[tuple[Any, ...]], decoding: TextDecoding) -> list[str]:
        images, questions, seeds = [], [], []
        for question, _, look, number, task, split in batch:
            seen = look(self.task_dict[task][split][number])
            if not seen or not isinstance(seen[0], Image.Image):
                raise UserError(f"{task}: a question without an image; choose tasks about images")
            images.append(seen[0])
            questions.append(question)
            seeds.append(number)
        answers = Answers.joined(
            self.pipeline.answer_batches(images, questions, decoding, seeds, self.batch_size)
        )
        pairs = zip(answers.texts, (settings for _, settings, *_ in batch), strict=True)
        return [cut_at(text, settings.get("until") or ()) for text, settings in pairs]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Raise: the model answers one question at a time."""
        raise UserError(f"{NAME} has no conversations of several rounds; choose another task")

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Raise: answers are generated."""
        raise UserError(f"{NAME} generates answers; choose a task of type generate_until")


def batch_size_of(value: int | str) -> int | None:
    """The batch size of a command line; None to find one.

    Raises:
        UserError: If it is neither a whole number from 1 nor `auto`.
    """
    if str(value).partition(":")[0] == "auto":  # lmms-eval takes auto:N too
        return None
    try:
        size = int(value)
    except ValueError:
        size = 0
    if size < 1:
        raise UserError(f"batch_size is {shown(value)}; expected 1 or more, or auto")
    return size


def cut_at(text: str, until: str | Sequence[str]) -> str:
    """The text before the first of some marks."""
    for mark in [until] if isinstance(until, str) else until:
        if mark:
            text = text.partition(mark)[0]
    return text.strip()
