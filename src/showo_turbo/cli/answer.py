"""`showo-turbo answer`: answer questions about images."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..data.images import read_image
from ..data.transparency import BACKGROUND, check_background
from ..errors import UserError
from ..inference import Answers, Statistics
from ..sampling.text_decoding import DecodingChanges
from ..utils.hashing import fingerprint_lines, fingerprint_module
from ..utils.progress import progress_bar
from .command_line import run_function
from .image_files import checksum
from .model_options import ModelOptions
from .question_sources import ImageQuestion, read_questions
from .run_folder import RunFolder

ANSWERS_FILE = "answers.jsonl"

_MANY_IMAGES = 32
"""More than these are read long enough for a progress bar."""


@dataclass(frozen=True)
class _Request:
    """One question to answer.

    Attributes:
        entry: The question and its image.
        sha256: Of the image file.
        seed: Of the answer.
        id: Differs where anything of the question or its image does. The same question asked again
            in a file has another number at its end.
    """

    entry: ImageQuestion
    sha256: str
    seed: int
    id: str


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(answer, arguments, name="answer", listed="images")


def answer(
    images: list[str],
    question: str | None = None,
    questions_file: Path | None = None,
    output: Path | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    background: str = BACKGROUND,
    changes: DecodingChanges = DecodingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Answer questions about images.

    The answers are printed or, with an output folder, written to `answers.jsonl` in it, one line an
    answer. Interrupted, the same command continues where it stopped. Repeated when images or lines
    of the questions file were added, removed or changed, it answers what is new or changed, keeps
    the other answers, and removes those that are no longer asked for.

    Args:
        images: Image files, and folders of them; of a model of clips, clips, folders of frames, and
            folders of clips.
        question: What to ask about each image.
        questions_file: Instead of images and a question, a .jsonl file, one object a line, or a
            .csv or .tsv file, with "image", a path from the folder of this file, and "question".
        output: Folder for `answers.jsonl`: a new one, or that of the same command.
        seed: Seed of the first answer; the next ones count on from it. Answers that are kept keep
            theirs.
        batch_size: Images asked about at once; by default as many as fit.
        background: Color that shows through transparent parts of images, such as black or #808080.
        changes: How answers are decoded, if not as the model does best.
        model: The model.
    """
    check_background(background)
    asked = (images, question, questions_file)
    try:  # mistakes are found before the model is loaded
        read_questions(*asked)
    except UserError as error:
        try:
            read_questions(*asked, clips=True)
        except UserError:
            raise error from None
    pipeline = model.load()
    clips = bool(pipeline.clip_frames)
    questions = read_questions(*asked, clips)
    pipeline.background = background
    decoding = changes.over(pipeline.decoding)
    requests = pending = _plan(questions, seed, clips)
    folder, outdated = None, 0
    if output is not None:
        settings = {
            **model.settings("answer", pipeline),
            **asdict(decoding),
            "seed": seed,
            "question": question,
        }
        if pipeline.image_encoder is not pipeline.image_tokenizer:
            settings["image_encoder"] = fingerprint_module(pipeline.image_encoder)
        if background != BACKGROUND:
            settings["background"] = background
        folder = RunFolder(output, settings, ANSWERS_FILE, key="id")
        outdated = _forget_outdated(folder, requests)
        pending = [request for request in requests if request.id not in folder.notes]
    if pending:
        # No answer is begun before the first batch is taken.
        batches = pipeline.answer_batches(
            [request.entry.image for request in pending],
            [request.entry.text for request in pending],
            decoding,
            [request.seed for request in pending],
            batch_size,
        )
        for file in _each_once((request.entry for request in pending), "checking images"):
            if pipeline.clip_frames:
                pipeline.square_images([file])
            else:
                read_image(file, background)
        _hand_out(batches, pending, folder)
    elif folder is not None and outdated:
        folder.begin()
    if folder is not None:
        earlier = len(requests) - len(pending)
        print(
            f"{len(requests)} answers in {folder.index}"
            + (f", {earlier} from earlier" if earlier else "")
            + (f", {outdated} outdated removed" if outdated else "")
        )


def _plan(questions: Sequence[ImageQuestion], seed: int, clips: bool) -> list[_Request]:
    """Every question with its seed, the checksum of its image, and its id."""
    checksums = {file: checksum(file, clips) for file in _each_once(questions, "reading images")}
    seen: Counter[str] = Counter()
    requests = []
    for index, entry in enumerate(questions):
        sha256 = checksums[entry.image]
        content = fingerprint_lines([[str(entry.image), sha256, entry.text, entry.metadata]])[:16]
        seen[content] += 1
        requests.append(_Request(entry, sha256, seed + index, f"{content}-{seen[content]}"))
    return requests


def _each_once(questions: Iterable[ImageQuestion], work: str) -> Iterator[Path]:
    """The image files of questions; if they are many, a bar shows how far the work is."""
    files = dict.fromkeys(entry.image for entry in questions)
    with progress_bar(work, len(files), show=len(files) > _MANY_IMAGES) as advance:
        for file in files:
            yield file
            advance(1)


def _forget_outdated(folder: RunFolder, requests: Sequence[_Request]) -> int:
    """Take out earlier answers that are no longer asked for; give their number.

    Raises:
        UserError: If none is about an image that is asked about: that is hardly meant.
    """
    images = {str(request.entry.image) for request in requests}
    if folder.notes and not any(note.get("image") in images for note in folder.notes.values()):
        raise UserError(
            f"{folder.folder} holds answers about other images only; name another folder, or ask "
            "about some of the same images"
        )
    outdated = folder.notes.keys() - {request.id for request in requests}
    for name in outdated:
        del folder.notes[name]
    return len(outdated)


def _hand_out(
    batches: Iterator[Answers], requests: Sequence[_Request], folder: RunFolder | None
) -> None:
    """Print answers, or write them to the folder, batch by batch; then say what they cost."""
    cost, done, cut = Statistics(), 0, 0
    several_questions = len({request.entry.text for request in requests}) > 1
    with progress_bar("answers", len(requests), show=folder is not None) as advance:
        for batch in batches:
            chosen = requests[done : done + len(batch.texts)]
            notes = [
                {
                    "id": request.id,
                    "image": str(request.entry.image),
                    "sha256": request.sha256,
                    "question": request.entry.text,
                    "answer": text,
                    "finished": finished,
                    "tokens": len(tokens),
                    "seed": request.seed,
                    "metadata": request.entry.metadata,
                }
                for request, text, finished, tokens in zip(
                    chosen, batch.texts, batch.finished, batch.tokens, strict=True
                )
            ]
            if folder is not None:
                if not done:  # only now: the first batch may have failed
                    folder.begin()
                folder.add(notes)
            else:
                for note in notes:
                    shown = [note["image"]] if len(requests) > 1 else []
                    shown += [note["question"]] if several_questions else []
                    print(": ".join([*map(str, shown), str(note["answer"])]))
            done += len(notes)
            cut += batch.finished.count(False)
            cost += batch.statistics
            advance(len(notes))
    print(cost, file=sys.stderr)
    if cut:
        print(f"{cut} answers were cut short; raise max_new_tokens", file=sys.stderr)
