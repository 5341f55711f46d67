import hashlib
import json

import pytest
from PIL import Image

from showo_turbo.cli import answer as answer_command
from showo_turbo.cli.question_sources import ImageQuestion, find_images, read_questions
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline

QUESTION = "What is in the image?"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, color in enumerate(["red", "green", "blue", "white", "black"]):
        suffix = ".PNG" if number == 1 else ".png"
        Image.new("RGB", (20 + number, 16), color).save(folder / f"{color}{suffix}")
    (folder / "notes.txt").write_text("no image")
    return folder


def expected_answers(model, files):
    pipeline = ShowoPipeline.from_pretrained(model)
    return pipeline.answer(files, QUESTION, max_new_tokens=8)


def answers(folder):
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_questions(file, *lines):
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def asked(monkeypatch):
    """Images and questions that the pipeline is asked, command after command."""
    original, found = ShowoPipeline.answer_batches, []

    def answer_batches(self, images, questions, *arguments):
        found.append([(file.name, text) for file, text in zip(images, questions, strict=True)])
        return original(self, images, questions, *arguments)

    monkeypatch.setattr(ShowoPipeline, "answer_batches", answer_batches)
    return found


def test_a_single_answer_is_printed(command, model, photos):
    run = ["answer", photos / "red.png", "--question", QUESTION, "--model", model]
    result = command(*run, "--max_new_tokens", 8)
    assert result.status == 0
    assert result.output.rstrip("\n") == expected_answers(model, [photos / "red.png"]).texts[0]
    assert "1 samples" in result.errors


def test_several_are_printed_with_their_files(command, model, photos):
    files = [photos / "red.png", photos / "blue.png"]
    run = ["answer", *files, "--question", QUESTION, "--model", model, "--max_new_tokens", 8]
    found = command(*run).output.rstrip("\n")
    texts = expected_answers(model, files).texts
    assert found == "\n".join(f"{file}: {text}" for file, text in zip(files, texts, strict=True))


@pytest.mark.parametrize("decoding", ["jacobi", "autoregressive"])
def test_answers_are_written(command, model, photos, tmp_path, decoding):
    out = tmp_path / "out"
    run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 8]
    result = command(*run, "--output", out, "--method", decoding)
    assert result.status == 0
    assert "5 answers in" in result.output
    files = find_images([str(photos)])
    expected = expected_answers(model, files)
    notes = answers(out)
    assert len({note.pop("id") for note in notes}) == 5
    assert notes == [
        {
            "image": str(file),
            "sha256": sha256(file),
            "question": QUESTION,
            "answer": text,
            "finished": finished,
            "tokens": len(tokens),
            "seed": seed,
            "metadata": {},
        }
        for seed, (file, text, finished, tokens) in enumerate(
            zip(files, expected.texts, expected.finished, expected.tokens, strict=True)
        )
    ]
    cut = expected.finished.count(False)
    assert (f"{cut} answers were cut short" in result.errors) == (cut > 0)


def test_transparent_images(command, mistake, model, tmp_path):
    image = Image.new("RGBA", (16, 16))
    image.paste("red", (4, 4, 12, 12))
    image.save(tmp_path / "a.png")
    seen = Image.new("RGB", (16, 16), "navy")
    seen.paste("red", (4, 4, 12, 12))
    run = ["answer", tmp_path / "a.png", "--question", QUESTION, "--model", model]
    run += ["--max_new_tokens", 8]
    expected = ShowoPipeline.from_pretrained(model).answer(seen, QUESTION, max_new_tokens=8)
    assert command(*run, "--background", "navy").output.rstrip("\n") == expected.texts[0]
    assert command(*run, "--output", tmp_path / "out").status == 0
    message = mistake(*run, "--output", tmp_path / "out", "--background", "navy")
    assert "other settings (background None instead of 'navy')" in message
    assert "background is 'marine'; expected an opaque" in mistake(*run, "--background=marine")


def test_an_interrupted_run_continues(command, model, photos, tmp_path, monkeypatch):
    run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 8]
    run += ["--batch_size", 2, "--method", "autoregressive", "--temperature", 2]
    command(*run, "--output", tmp_path / "whole")
    original = ShowoPipeline.answer_batches

    def answer_batches(self, *arguments):
        def interrupted():
            yield next(iter(original(self, *arguments)))
            raise KeyboardInterrupt

        return interrupted()

    with monkeypatch.context() as patch:
        patch.setattr(ShowoPipeline, "answer_batches", answer_batches)
        assert command(*run, "--output", tmp_path / "out").status == 130
    assert len(answers(tmp_path / "out")) == 2
    assert command(*run, "--output", tmp_path / "out").status == 0
    assert answers(tmp_path / "out") == answers(tmp_path / "whole")
    monkeypatch.setattr(ShowoPipeline, "answer_batches", None)
    assert command(*run, "--output", tmp_path / "out").status == 0, "nothing is left to do"


def test_a_changed_image_is_asked_about_again(command, model, photos, tmp_path, asked):
    run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 8]
    run += ["--output", tmp_path / "out"]
    command(*run)
    before = answers(tmp_path / "out")
    Image.effect_noise((24, 16), 90).convert("RGB").save(photos / "red.png")
    result = command(*run)
    assert "5 answers in" in result.output and "4 from earlier, 1 outdated" in result.output
    assert asked[1:] == [[("red.png", QUESTION)]]
    *kept, new = answers(tmp_path / "out")
    assert kept == [note for note in before if note["image"] != str(photos / "red.png")]
    assert new["image"] == str(photos / "red.png")
    assert new["sha256"] == sha256(photos / "red.png")
    assert new["answer"] == expected_answers(model, [photos / "red.png"]).texts[0]


def test_images_are_added_and_removed(command, model, photos, tmp_path, asked):
    run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 8]
    run += ["--output", tmp_path / "out"]
    command(*run)
    Image.new("RGB", (30, 16), "pink").save(photos / "a.png")
    (photos / "blue.png").unlink()
    assert command(*run).status == 0
    assert asked[1:] == [[("a.png", QUESTION)]]
    files = find_images([str(photos)])
    assert sorted(note["image"] for note in answers(tmp_path / "out")) == list(map(str, files))
    (photos / "a.png").unlink()
    assert "4 answers in" in command(*run).output
    assert len(asked) == 2, "nothing is new"
    files = [file for file in files if file.name != "a.png"]
    assert sorted(note["image"] for note in answers(tmp_path / "out")) == list(map(str, files))


def test_a_file_of_questions(command, model, photos, tmp_path):
    """Several about one image, and one of them twice; each has its line, with what else it had."""
    lines = [
        {"image": "photos/red.png", "question": "What?", "label": "red", "question_id": 7},
        {"image": "photos/red.png", "question": "How many?"},
        {"image": "photos/blue.png", "question": "What?"},
        {"image": "photos/blue.png", "question": "What?"},
    ]
    file = write_questions(tmp_path / "q.jsonl", *lines)
    run = ["answer", "--questions_file", file, "--model", model, "--max_new_tokens", 8]
    assert command(*run, "--output", tmp_path / "out").status == 0
    images = [tmp_path / line["image"] for line in lines]
    questions = [line["question"] for line in lines]
    pipeline = ShowoPipeline.from_pretrained(model)
    texts = pipeline.answer(images, questions, max_new_tokens=8).texts
    notes = answers(tmp_path / "out")
    assert [note["image"] for note in notes] == list(map(str, images))
    assert [note["question"] for note in notes] == questions
    assert [note["answer"] for note in notes] == texts
    assert [note["seed"] for note in notes] == [0, 1, 2, 3]
    assert [note["metadata"] for note in notes] == [{"label": "red", "question_id": 7}, {}, {}, {}]
    printed = command(*run).output.splitlines()
    assert printed[1] == f"{images[1]}: How many?: {texts[1]}".rstrip()


def test_a_file_of_questions_is_continued(command, model, photos, tmp_path, asked):
    lines = [
        {"image": "photos/red.png", "question": "What?"},
        {"image": "photos/red.png", "question": "What?"},
        {"image": "photos/blue.png", "question": "How many?"},
        {"image": "photos/blue.png", "question": "Why?", "label": 1},
    ]
    file = write_questions(tmp_path / "q.jsonl", *lines[1:])
    run = ["answer", "--questions_file", file, "--model", model, "--max_new_tokens", 8]
    run += ["--output", tmp_path / "out"]
    command(*run)
    before = answers(tmp_path / "out")
    write_questions(file, *lines)
    assert "4 answers in" in command(*run).output
    assert asked[1:] == [[("red.png", "What?")]]
    assert answers(tmp_path / "out")[:3] == before
    write_questions(file, *lines[:3], lines[3] | {"label": 2})
    assert command(*run).status == 0
    assert asked[2:] == [[("blue.png", "Why?")]]
    assert [note["metadata"] for note in answers(tmp_path / "out")] == [{}, {}, {}, {"label": 2}]


def test_many_images_are_checked_with_a_bar(command, model, photos, monkeypatch):
    run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 4]
    assert "checking images" not in command(*run).errors
    monkeypatch.setattr(answer_command, "_MANY_IMAGES", 4)
    assert "checking images" in command(*run).errors


def test_what_a_folder_holds_beside_images(photos):
    """Hidden files, folders, and what Pillow could read but the model is not given."""
    before = find_images([str(photos)])
    for name in ("._red.png", "paper.pdf", "drawing.eps", "movie.mpg"):
        (photos / name).write_bytes((photos / "red.png").read_bytes())
    (photos / "folder.png").mkdir()
    assert find_images([str(photos)]) == before
    for name in ("x.JPG", "x.jpeg", "x.webp", "x.gif", "x.bmp", "x.tif", "x.tiff", "x.ppm"):
        (photos / name).touch()
    assert len(find_images([str(photos)])) == len(before) + 8


def test_questions_of_a_file(photos, tmp_path):
    (tmp_path / "q.jsonl").write_bytes(
        b'\xef\xbb\xbf{"image": "photos/red.png", "question": " a "}\n\n'
        b'{"image": "photos/red.png", "question": "b", "label": [1]}\n'
    )
    assert read_questions([], None, tmp_path / "q.jsonl") == [
        ImageQuestion(photos / "red.png", "a"),
        ImageQuestion(photos / "red.png", "b", {"label": [1]}),
    ]


@pytest.mark.parametrize(("name", "tab"), [("q.csv", ","), ("q.tsv", "\t")])
def test_questions_of_a_table(photos, tmp_path, name, tab):
    rows = [["image", "question", "label"], ["photos/red.png", "a\u2028b", "1"]]
    (tmp_path / name).write_text("\n".join(map(tab.join, rows)), encoding="utf-8-sig")
    assert read_questions([], None, tmp_path / name) == [
        ImageQuestion(photos / "red.png", "a\u2028b", {"label": "1"})
    ]


def test_images_are_found(photos):
    names = [path.name for path in find_images([str(photos)])]
    assert names == ["black.png", "blue.png", "green.PNG", "red.png", "white.png"]
    twice = find_images([str(photos / "red.png"), str(photos)])
    assert [path.name for path in twice] == [
        "red.png",
        "black.png",
        "blue.png",
        "green.PNG",
        "white.png",
    ]


@pytest.mark.bad_input
class TestBadInput:
    def test_no_images(self, mistake, tmp_path):
        assert "there are no images" in mistake("answer", "--question", QUESTION)
        assert "holds no images" in mistake("answer", tmp_path, "--question", QUESTION)
        message = mistake("answer", tmp_path / "none.png", "--question", QUESTION)
        assert "none.png does not exist" in message

    def test_no_question(self, mistake, photos):
        message = mistake("answer", photos)
        assert "there is no question; give one with --question" in message
        assert "with --questions_file" in message

    @pytest.mark.parametrize("more", [["photos/red.png"], ["--question", "What?"]])
    def test_questions_beside_a_file_of_them(self, mistake, photos, tmp_path, more):
        file = write_questions(tmp_path / "q.jsonl", {"image": "photos/red.png", "question": "a"})
        message = mistake("answer", *more, "--questions_file", file)
        assert "q.jsonl names images and questions" in message
        assert "leave out the images and --question, or --questions_file" in message

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "line 2 of .*q.jsonl is not valid JSON"),
            ("3", "line 2 of .*q.jsonl has nothing for 'image'"),
            ('{"image": "photos/red.png"}', "line 2 of .*q.jsonl has nothing for 'question'"),
            ('{"image": 1, "question": "a"}', "line 2 of .*q.jsonl has 1 for 'image'"),
            ('{"image": "photos/red.png", "question": " "}', "an empty text for 'question'"),
            ('{"image": "../red.png", "question": "a"}', "'../red.png'; expected a relative path"),
            ('{"image": "/red.png", "question": "a"}', "'/red.png'; expected a relative path"),
            ('{"image": "no.png", "question": "a"}', "'no.png', but .*no.png is not a file"),
            ('{"image": "photos", "question": "a"}', "'photos', but .*photos is not a file"),
            (
                '{"image": "photos/red.png", "question": "a", "label": "\\ud83d"}',
                "line 2 of .*q.jsonl has the lone surrogate",
            ),
        ],
    )
    def test_a_wrong_line(self, photos, tmp_path, line, message):
        fine = '{"image": "photos/red.png", "question": "a"}'
        (tmp_path / "q.jsonl").write_text(f"{fine}\n{line}\n")
        with pytest.raises(UserError, match=message):
            read_questions([], None, tmp_path / "q.jsonl")

    def test_a_file_without_questions(self, tmp_path):
        (tmp_path / "q.jsonl").write_text("\n")
        with pytest.raises(UserError, match=r"q.jsonl holds no questions"):
            read_questions([], None, tmp_path / "q.jsonl")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--temperature", 1], "Jacobi decoding is greedy"),
            (["--max_new_tokens", 0], "max_new_tokens is 0"),
            (["--max_new_tokens", 500], "together at most 236 fit"),
            (["--block_size", 0], "block_size is 0"),
            (["--method", "autoregressive", "--top_k", 0], "top_k is 0"),
            (["--method", "autoregressive", "--top_p", 2], "top_p is 2"),
            (
                ["--method", "beam"],
                "method: expected one of 'jacobi', 'autoregressive', 'block_diffusion', got beam",
            ),
        ],
    )
    def test_options(self, mistake, model, photos, tmp_path, options, message):
        run = ["answer", photos, "--question", QUESTION, "--model", model]
        assert message in mistake(*run, "--output", tmp_path / "out", *options)
        assert not (tmp_path / "out").exists(), "nothing half-written"

    def test_an_unreadable_image(self, mistake, model, photos, tmp_path):
        (photos / "bad.png").write_text("no image")
        out = tmp_path / "out"
        run = ["answer", photos / "red.png", photos / "bad.png", "--question", QUESTION]
        run += ["--model", model, "--max_new_tokens", 4, "--output", out]
        assert "bad.png cannot be read as an image" in mistake(*run)
        assert not out.exists(), "nothing half-written"
        assert "bad.png cannot be read as an image" in mistake(*run, "--batch_size", 1)
        assert not out.exists(), "it is found before the first answer"

    def test_an_unreadable_image_is_added(self, command, mistake, model, photos, tmp_path):
        run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 4]
        run += ["--output", tmp_path / "out"]
        command(*run)
        before = answers(tmp_path / "out")
        (photos / "blue.png").unlink()
        (photos / "bad.png").write_text("no image")
        assert "bad.png cannot be read as an image" in mistake(*run)
        assert answers(tmp_path / "out") == before, "nothing is removed either"

    def test_a_model_without_config(self, mistake, photos, tmp_path):
        run = ["answer", photos, "--question", QUESTION, "--model", tmp_path]
        assert "config.json does not exist" in mistake(*run)

    def test_a_folder_of_another_question(self, command, mistake, model, photos, tmp_path):
        run = ["answer", photos, "--model", model, "--output", tmp_path / "out"]
        command(*run, "--question", "What?", "--max_new_tokens", 4)
        message = mistake(*run, "--question", "How?", "--max_new_tokens", 4)
        assert "question 'What?' instead of 'How?'" in message

    def test_a_folder_of_other_images(self, command, mistake, model, photos, tmp_path):
        run = ["--question", QUESTION, "--model", model, "--output", tmp_path / "out"]
        run += ["--max_new_tokens", 4]
        command("answer", photos / "red.png", *run)
        before = answers(tmp_path / "out")
        message = mistake("answer", photos / "blue.png", *run)
        assert "out holds answers about other images only; name another folder" in message
        assert answers(tmp_path / "out") == before


def test_find_images_refuses_nothing():
    with pytest.raises(UserError, match="there are no images"):
        find_images([])
