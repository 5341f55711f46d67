"""LLaVA visual instructions (Liu et al., arXiv 2310.03744), such as `llava_v1_5_mix665k.json`."""

from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BadSample, UserError, shown
from ..models.questions import FollowUp
from ..utils.files import read_json
from .bad_samples import Skip, refuse
from .clips import load_pixels
from .fields import text_field, written
from .images import image_path
from .streams import StreamDataset
from .transparency import BACKGROUND

IMAGE_MARK = "<image>"
"""Stands for the image in the text of a conversation; where it stands is the prompt's business."""


class _Turn(NamedTuple):
    record: str
    image: Path
    question: str
    answer: str


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

    Attributes:
        num_text_only: Number of records that were left out because they have no image.
        num_openings: Number of messages before a first question that were left out.
        num_unanswered: Number of last questions that were left out because they have no answer.

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
        self.num_text_only = self.num_openings = self.num_unanswered = 0
        self._turns: list[_Turn] = []
        annotations = Path(annotations)
        records = read_json(annotations)
        if not isinstance(records, list):
            raise UserError(
                f"{annotations} is not a list of records; expected LLaVA instructions, each with "
                "'image' and 'conversations', name another file"
            )
        for number, record in enumerate(records):
            try:
                self._add(record, f"record {number} of {annotations}", Path(images))
            except BadSample as error:
                skip(error)
        if not self._turns:
            raise UserError(
                f"{annotations} holds no record with an image ({self.num_text_only} without); "
                "expected LLaVA instructions, name another file"
            )

    def __len__(self) -> int:
        """Number of turns of all records with an image."""
        return len(self._turns)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The turn at `index`; there is nothing to draw."""
        turn = self._turns[index]
        return {
            "pixels": load_pixels(turn.image, self.frames, self.resolution, self.background),
            "question": turn.question,
            "answer": turn.answer,
            "id": turn.record,
            "seed": seed,
        }

    def requests(self) -> list[tuple[Path, str]]:
        """The image and the question of every turn."""
        return [(turn.image, turn.question) for turn in self._turns]

    def _add(self, record: Any, where: str, images: Path) -> None:
        """Add the turns of one record, or count it if it has no image."""
        if not isinstance(record, dict):
            raise BadSample(
                f"{where} is {shown(record)}; expected an object with 'conversations', remove it"
            )
        name = _image_name(record, where)
        if name is None:
            self.num_text_only += 1
            return
        path = image_path(images, name, where)
        record_id = record.get("id", name)
        if type(record_id) not in (str, int):
            raise BadSample(
                f"{where} has {shown(record_id)} for 'id'; expected a text or an integer, correct "
                "or remove it"
            )
        turns = self._conversation(record.get("conversations"), where)
        for number, (question, answer) in enumerate(turns):
            if self.history and number:
                question = FollowUp(question, turns[:number])
            self._turns.append(_Turn(str(record_id), path, question, answer))

    def _conversation(self, messages: Any, where: str) -> list[tuple[str, str]]:
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
        self.num_openings += openings
        self.num_unanswered += len(asked) - len(answered)
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
