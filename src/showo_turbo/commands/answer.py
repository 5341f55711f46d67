"""`showo-turbo answer`: answer a question about images."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from ..errors import UserError
from ..pipeline import Answers, Statistics, TextDecoding
from ..progress import progress_bar
from ..trajectories.fingerprint import fingerprint_lines, fingerprint_module
from .command_line import run_function
from .model_options import ModelOptions
from .run_folder import RunFolder

ANSWERS_FILE = "answers.jsonl"


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(answer, arguments, name="answer", listed="images")


def answer(
    images: list[str],
    question: str,
    output: Path | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    decoding: TextDecoding = TextDecoding(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Answer a question about images.

    The answers are printed or, with an output folder, written to `answers.jsonl` in it, one line an
    image. Interrupted, the same command continues where it stopped.

    Args:
        images: Image files, and folders of them.
        question: What to ask about each image.
        output: Folder for `answers.jsonl`: a new one, or that of the same command.
        seed: Seed of the first answer; the next ones count on from it.
        batch_size: Images asked about at once; by default as many as fit.
        decoding: How answers are written.
        model: The model.
    """
    if not question.strip():
        raise UserError("the question is empty; expected a text, write one")
    files = find_images(images)
    pipeline = model.load()
    folder = None
    pending = list(range(len(files)))
    if output is not None:
        settings = {
            "command": "answer",
            "model": model.model,
            "dtype": str(pipeline.showo.dtype).removeprefix("torch."),
            "showo": fingerprint_module(pipeline.showo),
            "image_tokenizer": fingerprint_module(pipeline.image_tokenizer),
            **asdict(decoding),
            "seed": seed,
            "question": question,
            "images": len(files),
            "image_files": fingerprint_lines(map(str, files)),
        }
        folder = RunFolder(output, settings, ANSWERS_FILE, key="image")
        pending = [index for index in pending if str(files[index]) not in folder.notes]
    if pending:
        batches = pipeline.answer_batches(
            [files[index] for index in pending],
            [question] * len(pending),
            decoding,
            [seed + index for index in pending],
            batch_size,
        )
        _hand_out(batches, [files[index] for index in pending], question, folder)
    if folder is not None:
        print(f"{len(files)} answers in {folder.index}")


def _hand_out(
    batches: Iterator[Answers], files: Sequence[Path], question: str, folder: RunFolder | None
) -> None:
    """Print answers, or write them to the folder, batch by batch; then say what they cost."""
    cost, done, cut = Statistics(), 0, 0
    with progress_bar("answers", len(files), show=folder is not None) as advance:
        for batch in batches:
            chosen = files[done : done + len(batch.texts)]
            notes = [
                {
                    "image": str(file),
                    "question": question,
                    "answer": text,
                    "finished": finished,
                    "tokens": len(tokens),
                }
                for file, text, finished, tokens in zip(
                    chosen, batch.texts, batch.finished, batch.tokens, strict=True
                )
            ]
            if folder is not None:
                if not done:  # only now: an image of the first batch may have been unreadable
                    folder.begin()
                folder.add(notes)
            else:
                for note in notes:
                    print(
                        f"{note['image']}: {note['answer']}" if len(files) > 1 else note["answer"]
                    )
            done += len(notes)
            cut += batch.finished.count(False)
            cost += batch.statistics
            advance(len(notes))
    print(cost, file=sys.stderr)
    if cut:
        print(f"{cut} answers were cut short; raise max_new_tokens", file=sys.stderr)


def find_images(names: Sequence[str]) -> list[Path]:
    """Image files by name, and those in folders, sorted; each once.

    Raises:
        UserError: If there is none, or a name is neither a file nor a folder with images.
    """
    Image.init()
    known = set(Image.registered_extensions())
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in known)
            if not inside:
                raise UserError(f"{path} holds no images; name image files or a folder of them")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{path} does not exist; name image files or a folder of them")
    if not files:
        raise UserError("there are no images; name image files or a folder of them")
    return list(dict.fromkeys(files))
