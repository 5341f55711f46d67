import json

import pytest
from PIL import Image

from showo_turbo.commands.answer import find_images
from showo_turbo.errors import UserError
from showo_turbo.pipeline import ShowoPipeline

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
    result = command(*run, "--output", out, "--decoding", decoding)
    assert result.status == 0
    assert "5 answers in" in result.output
    files = find_images([str(photos)])
    expected = expected_answers(model, files)
    assert answers(out) == [
        {
            "image": str(file),
            "question": QUESTION,
            "answer": text,
            "finished": finished,
            "tokens": len(tokens),
        }
        for file, text, finished, tokens in zip(
            files, expected.texts, expected.finished, expected.tokens, strict=True
        )
    ]
    cut = expected.finished.count(False)
    assert (f"{cut} answers were cut short" in result.errors) == (cut > 0)


def test_an_interrupted_run_continues(command, model, photos, tmp_path, monkeypatch):
    run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 8]
    run += ["--batch_size", 2, "--decoding", "autoregressive", "--temperature", 2]
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
        assert "required: question" in mistake("answer", photos)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--temperature", 1], "Jacobi decoding is greedy"),
            (["--max_new_tokens", 0], "max_new_tokens is 0"),
            (["--max_new_tokens", 500], "together at most 236 fit"),
            (["--block_size", 0], "block_size is 0"),
            (["--decoding", "autoregressive", "--top_k", 0], "top_k is 0"),
            (["--decoding", "autoregressive", "--top_p", 2], "top_p is 2"),
            (["--decoding", "beam"], "decoding: beam is none of 'jacobi', 'autoregressive'"),
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
        assert [note["image"] for note in answers(out)] == [str(photos / "red.png")]

    def test_a_model_without_config(self, mistake, photos, tmp_path):
        run = ["answer", photos, "--question", QUESTION, "--model", tmp_path]
        assert "config.json does not exist" in mistake(*run)

    def test_a_folder_of_another_question(self, command, mistake, model, photos, tmp_path):
        run = ["answer", photos, "--model", model, "--output", tmp_path / "out"]
        command(*run, "--question", "What?", "--max_new_tokens", 4)
        message = mistake(*run, "--question", "How?", "--max_new_tokens", 4)
        assert "question 'What?' instead of 'How?'" in message


def test_find_images_refuses_nothing():
    with pytest.raises(UserError, match="there are no images"):
        find_images([])
