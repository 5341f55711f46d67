"""Show-o as a model of lmms-eval, which runs POPE, MME, MMMU, Flickr30k, NoCaps and many more.

`lmms-eval --model showo_turbo --model_args pretrained=<folder> --tasks pope` finds it
through the entry point `lmms_eval.models`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from accelerate import Accelerator
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from PIL import Image

from .errors import UserError
from .inference import ShowoPipeline
from .sampling.text_decoding import DecodingChanges
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
        batch_size: Questions answered at once.
        family: Class of the model, where it is of a family of your own: its import path.
        **options: Options of `TextDecoding` that are to be otherwise than the model does best, such
            as `method=autoregressive`. The longest answer is the task's, where it says something.

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
            pretrained, image_tokenizer, text_tokenizer, where, dtype, family=family
        )
        self.decoding = changes.over(self.pipeline.decoding)
        self.decoding.check()
        self.batch_size = int(batch_size)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer requests, in their order.

        Args:
            requests: lmms-eval's instances.

        Raises:
            UserError: If one has no image, or is too long.
        """
        found: list[str] = []
        with progress_bar("answers", len(requests), show=self._rank == 0) as advance:
            for start in range(0, len(requests), self.batch_size):
                batch = [request.args for request in requests[start : start + self.batch_size]]
                found += self._answer(batch)
                advance(len(batch))
        return found

    def _answer(self, batch: Sequence[tuple[Any, ...]]) -> list[str]:
        images, questions = [], []
        for question, _, look, number, task, split in batch:
            seen = look(self.task_dict[task][split][number])
            if not seen or not isinstance(seen[0], Image.Image):
                raise UserError(f"{task}: a question without an image; choose tasks about images")
            images.append(seen[0])
            questions.append(question)
        settings = [options for _, options, *_ in batch]
        asked = [one.get("max_new_tokens", self.decoding.max_new_tokens) for one in settings]
        decoding = replace(self.decoding, max_new_tokens=max(map(int, asked)))
        (answers,) = self.pipeline.answer_batches(
            images, questions, decoding, batch_size=len(images)
        )
        pairs = zip(answers.texts, settings, strict=True)
        return [cut_at(text, one.get("until", ())) for text, one in pairs]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Raise: the model answers one question at a time."""
        raise UserError(f"{NAME} has no conversations of several rounds; choose another task")

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Raise: answers are generated."""
        raise UserError(f"{NAME} generates answers; choose a task of type generate_until")


def cut_at(text: str, until: str | Sequence[str]) -> str:
    """The text before the first of some marks."""
    for mark in [until] if isinstance(until, str) else until:
        if mark:
            text = text.partition(mark)[0]
    return text.strip()
