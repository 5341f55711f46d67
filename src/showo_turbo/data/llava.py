"""LLaVA visual instructions (Liu et al., arXiv 2310.03744), such as `llava_v1_5_mix665k.json`."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import BadSample, UserError, shown
from ..utils.json_lists import read_json_list
from .bad_samples import Skip, refuse
from .clips import load_pixels
from .fields import text_field, written
from .images import image_path
from .streams import StreamDataset
from .transparency import BACKGROUND
from .turns import Conversation, Turns, open_turns

_PLAIN = re.compile(r"[\w.-]+(/[\w.-]+)*")

IMAGE_MARK = "<image>"
"""Stands for the image in the text of a conversation; where it stands is the prompt's business."""


class LLaVAInstructions(StreamDataset):
    """Images with one question and its answer.

    Every turn of every conversation is a sample of its own: `{"pixels": (3, resolution,
    resolution), "question": str, "answer": str, "id": str, "seed": int}`. Questions come without
    the image mark and surrounding white space, and in no prompt format; one after the first of its
    conversation is a `FollowUp`. Records without an image are left out and counted, and so are a
    message of `system` or `gpt` before the first question, as in Show-o's training, and a last
    question without an answer.

    Args:
        images: Folder that the records' `image` paths start from.
        annotations: The JSON file of records.
        resolution: Side length in pixels.
        skip: Leaves out a bad record, or raises.
        history: Whether a question comes with the turns before it; if not, each stands alone.
        background: Color that shows through transparent parts of the images.
        frames: Frames of each clip, where the files are clips; pixels then are `(3, frames,
            resolution, resolution)`.

    Raises:
        UserError: If the annotations are missing, not JSON, or hold no record with an image; or,
            being refused, records are malformed or have empty texts.
    """

    def __init__(
        self,
        images: Path,
        annotations: Path,
        resolution: int,
        skip: Skip = refuse,
        *,
        history: bool = True,
        background: str = BACKGROUND,
        frames: int | None = None,
    ) -> None:
        self.resolution = resolution
        self.background = background
        self.frames = frames
        self.history = history
        self.images, self.annotations = Path(images), Path(annotations)
        table = open_turns(self.annotations, [images], history, self._read, skip)
        self._counts = table.counts
        self._turns = Turns(table, self.images, history)
        if not self._turns:
            raise UserError(
                f"{annotations} holds no record with an image ({self.num_text_only} without); "
                "expected LLaVA instructions, name another file"
            )

    @property
    def num_text_only(self) -> int:
        """Number of records that were left out because they have no image."""
        return self._counts["text_only"]

    @property
    def num_openings(self) -> int:
        """Number of messages before a first question that were left out."""
        return self._counts["openings"]

    @property
    def num_unanswered(self) -> int:
        """Number of last questions that were left out because they have no answer."""
        return self._counts["unanswered"]

    def __len__(self) -> int:
        """Number of turns of all records with an image."""
        return len(self._turns)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The turn at `index`; `seed` is unused."""
        turn = self._turns.turn(index)
        return {
            "pixels": load_pixels(turn.image, self.frames, self.resolution, self.background),
            "question": turn.question,
            "answer": turn.answer,
            "id": turn.record,
            "seed": seed,
        }

    def requests(self) -> Turns:
        """The image and the question of every turn."""
        return self._turns

    def _read(self, skip: Skip, counts: dict[str, int]) -> Iterator[Conversation]:
        """The conversations of all records with an image; the others are counted."""
        counts |= {"text_only": 0, "openings": 0, "unanswered": 0}
        records = read_json_list(self.annotations)
        if records is None:
            raise UserError(
                f"{self.annotations} is not a list of records; expected LLaVA instructions, each "
                "with 'image' and 'conversations', name another file"
            )
        for number, record in enumerate(records):
            where = f"record {number} of {self.annotations}"
            try:
                found = self._conversation_of(record, where, counts)
            except BadSample as error:
                skip(error)
                continue
            if found is not None:
                yield found

    def _conversation_of(
        self, record: Any, where: str, counts: dict[str, int]
    ) -> Conversation | None:
        """The turns of one record; None if it has no image."""
        if not isinstance(record, dict):
            raise BadSample(
                f"{where} is {shown(record)}; expected an object with 'conversations', remove it"
            )
        name = _image_name(record, where)
        if name is None:
            counts["text_only"] += 1
            return None
        if not _plain(name):
            image_path(self.images, name, where)
            name = str(PurePosixPath(name))
        record_id = record.get("id", name)
        if type(record_id) not in (str, int):
            raise BadSample(
                f"{where} has {shown(record_id)} for 'id'; expected a text or an integer, correct "
                "or remove it"
            )
        turns = _turns_of(record.get("conversations"), where, counts)
        written_id = str(record_id).encode(errors="backslashreplace").decode()
        return Conversation(written_id, name, turns)


def _plain(name: str) -> bool:
    """Whether a path is like most are, without anything to check or to shorten."""
    return _PLAIN.fullmatch(name) is not None and "./" not in f"{name}/"


def _turns_of(messages: Any, where: str, counts: dict[str, int]) -> list[tuple[str, str]]:
    """The questions of a conversation with their answers."""
    turns = list(messages) if isinstance(messages, list) else []
    openings = 0
    for role in ("system", "gpt"):
        if turns and isinstance(turns[0], dict) and turns[0].get("from") == role:
            del turns[0]
            openings += 1
    if len(turns) < 2:
        found = f"{len(messages)} messages" if isinstance(messages, list) else shown(messages)
        raise BadSample(
            f"{where} has {found} for 'conversations'; expected questions and answers in turn, "
            "correct or remove it"
        )
    asked = [
        written(_value(message, "human", where).replace(IMAGE_MARK, ""), "a question", where)
        for message in turns[::2]
    ]
    answered = [_value(message, "gpt", where) for message in turns[1::2]]
    counts["openings"] += openings
    counts["unanswered"] += len(asked) - len(answered)
    return list(zip(asked, answered, strict=False))


def _image_name(record: dict[str, Any], where: str) -> str | None:
    """The image of a record; None if it has none."""
    images = record.get("image")
    if images is None or images == []:
        return None
    if not isinstance(images, list):
        return text_field(record, "image", where)
    if len(images) > 1:
        raise BadSample(
            f"{where} has {len(images)} images for 'image'; expected a single one, correct or "
            "remove it"
        )
    return text_field({"image": images[0]}, "image", where)


def _value(message: Any, role: str, where: str) -> str:
    """The text of a message, which must be from `role`."""
    if not isinstance(message, dict) or message.get("from") != role:
        raise BadSample(
            f"{where} has the message {shown(message)} where one from {role!r} is due; human and "
            "gpt must take turns, correct or remove it"
        )
    return text_field(message, "value", where)
