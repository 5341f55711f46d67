"""What one teacher makes of captions and of questions, collected into folders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel
from ..models.registry import text_model
from ..text_tokenizer import TextTokenizer
from ..utils.hashing import fingerprint_module
from ..utils.share import Share
from .collection import ALONE, Processes
from .image_collector import ImageCollection, ImagePrompt, collect_images, image_identity
from .manifest import StoreIdentity
from .model_identity import ModelIdentity
from .parts import begin_part
from .requests import image_prompts, text_requests
from .store import TrajectoryStore
from .text_collector import TextCollection, TextRequest, collect_texts, text_identity


@dataclass(frozen=True)
class TrajectoryCollector:
    """Collects the trajectories of one teacher; continues what an earlier run began.

    Args:
        teacher: The network to record.
        fingerprint: Its `fingerprint_module`.
        text_tokenizer: Its text tokenizer, if it has one.
        folder: The stores go to `images` and `texts` in it.
        say: Called with a line on how many captions or questions are left out, and why.
        processes: Who shares the work.
        image_tokenizer: Fingerprint of the `ImageEncoder` of the images of questions, which is the
            image tokenizer where they are codes.
        base: The model that the run started from, for sources that generate with it.
        decode: Turns codes into pixels, for sources that look at them.
        device: Where the teacher decodes; it is brought there when there is anything left to
            collect. By default it stays where it is.
    """

    teacher: ImageModel
    fingerprint: str
    text_tokenizer: TextTokenizer | None
    folder: Path
    say: Callable[[str], None]
    processes: Processes = ALONE
    image_tokenizer: str | None = None
    base: ImageModel | None = None
    decode: Callable[[Tensor], Tensor] | None = None
    device: torch.device | None = None

    def images(self, captions: Sequence[str], settings: ImageCollection) -> TrajectoryStore:
        """Collect a trajectory for each caption that is not too long.

        Raises:
            UserError: If the settings do not fit the teacher, all captions are too long, or the
                store is another's.
        """
        settings.check(self.teacher, captions)
        prompts, left_out = image_prompts(captions, self.teacher, self.text_tokenizer)
        if left_out:
            self.say(
                f"left out {left_out} of {len(captions)} captions, which have more than "
                f"{self.teacher.longest_prompt} tokens"
            )
        return self.images_of(prompts, settings)

    def images_of(
        self, prompts: Sequence[ImagePrompt], settings: ImageCollection
    ) -> TrajectoryStore:
        """Collect a trajectory for each prompt, whatever it is of; see `images`."""
        base = None if self.base is None else fingerprint_module(self.base)
        store = self._store(
            "images", image_identity(self.fingerprint, prompts, settings, self._model(None), base)
        )
        collect_images(
            self.teacher,
            prompts,
            settings,
            store,
            self.processes,
            base=self.base,
            decode=self.decode,
            device=self.device,
        )
        if store.complete and not store.num_samples:
            raise UserError(
                f"all images for {len(prompts)} captions were rejected; change the stage's "
                "source, or collect for other captions"
            )
        return store

    def texts(
        self,
        questions: Sequence[tuple[Path, str]],
        encode: Callable[[Sequence[Path]], Mapping[Path, Tensor]],
        settings: TextCollection,
    ) -> TrajectoryStore:
        """Collect a trajectory for each question that is not too long.

        Args:
            questions: Pairs of an image file and what to ask about it.
            encode: Turns image files into what the teacher is given of them, see `text_requests`.
            settings: How to collect.

        Raises:
            UserError: If the teacher does not write text, all questions are too long, or the store
                is another's.
        """
        teacher = text_model(self.teacher, "collecting answers")
        processes = self.processes
        requests, left_out = text_requests(
            questions,
            encode,
            teacher,
            self.text_tokenizer,
            settings.batch_size,
            Share() if processes.separate else Share(processes.rank, processes.world_size),
        )
        if left_out:
            room = teacher.config.text_room
            self.say(
                f"left out {left_out} of {len(questions)} questions, which have {room} tokens or "
                "more"
            )
        return self.texts_of(requests, settings)

    def texts_of(
        self, requests: Sequence[TextRequest], settings: TextCollection
    ) -> TrajectoryStore:
        """Collect a trajectory for each request, whatever it is of; see `texts`."""
        store = self._store(
            "texts",
            text_identity(self.fingerprint, requests, settings, self._model(self.image_tokenizer)),
        )
        teacher = text_model(self.teacher, "collecting answers")
        return collect_texts(teacher, requests, settings, store, self.processes, device=self.device)

    def _model(self, image_tokenizer: str | None) -> ModelIdentity:
        return ModelIdentity.of(self.teacher.config, self.text_tokenizer, image_tokenizer)

    def _store(self, name: str, identity: StoreIdentity) -> TrajectoryStore:
        if self.processes.separate:
            return begin_part(self.folder / name, identity)
        return TrajectoryStore.create_or_continue(
            self.folder / name,
            identity,
            rank=self.processes.rank,
            barrier=self.processes.barrier,
        )
