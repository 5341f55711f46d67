"""A user's own sources of data, and the mistakes in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from showo_turbo.cli.main import main
from showo_turbo.data import (
    CaptionFiles,
    CaptionSource,
    DistillationBatchSizes,
    DistillationDataModule,
    PretrainBatchSizes,
    PretrainDataModule,
    QuestionSource,
    TextSource,
)
from showo_turbo.data.bad_samples import Skip, refuse
from showo_turbo.errors import UserError


class Colors(CaptionSource):
    """Captions without images.

    Args:
        colors: Of the circles.
    """

    def __init__(self, colors: list[str]) -> None:
        self.colors = colors

    def captions(self, skip: Skip = refuse) -> Sequence[str]:
        return [f"a {color} circle" for color in self.colors]


class Asked(QuestionSource):
    def requests(self, skip: Skip = refuse) -> Sequence[tuple[Path, str]]:
        return [(Path("a.png"), "What is it?")]


class Unfinished(CaptionSource):
    """Lacks the method that it needs."""


def distillation(**options: Any) -> DistillationDataModule:
    return DistillationDataModule(24, DistillationBatchSizes(1, 1, 0), **options)


def test_captions_and_questions_of_one_s_own_are_asked_for() -> None:
    data = distillation(captions=Colors(["red", "blue", "red"]), instructions=Asked())
    data.setup("fit")
    assert sorted(data.image_prompts()) == ["a blue circle", "a red circle"]
    assert data.text_requests() == [(Path("a.png"), "What is it?")]


def test_files_that_nobody_asks_for_are_not_read() -> None:
    distillation(captions=CaptionFiles(Path("none"), Path("none.json"))).setup("fit")


@pytest.mark.bad_input
class TestBadInput:
    def test_captions_without_images_are_not_pretrained_on(self) -> None:
        data = PretrainDataModule(24, PretrainBatchSizes(1, 0, 0), captions=Colors(["red"]))
        with pytest.raises(UserError, match=r"Colors has captions without images, .* CaptionFiles"):
            data.setup("fit")

    def test_questions_without_answers_are_not_validated_with(self) -> None:
        data = distillation(val_instructions=Asked())
        with pytest.raises(UserError, match=r"Asked has questions without answers, .* Instruction"):
            data.setup("fit")

    @pytest.mark.parametrize(
        ("argument", "kind"),
        [
            ("captions", CaptionSource),
            ("instructions", QuestionSource),
            ("val_instructions", QuestionSource),
            ("web_text", TextSource),
        ],
    )
    def test_an_object_of_another_kind(self, argument: str, kind: type) -> None:
        with pytest.raises(UserError, match=f"{argument} is"):
            distillation(**{argument: "data.json"})

    @pytest.mark.parametrize(
        ("captions", "message"),
        [
            (f"{{class_path: {__name__}.Unfinished}}", "Unfinished lacks the method captions"),
            (f"{{class_path: {__name__}.Asked}}", "Asked has no method captions and is no"),
            (
                "{images: a, annotations: b}",
                "captions: there is no class_path; expected one, such as {class_path: CaptionFiles",
            ),
        ],
    )
    def test_in_yaml(
        self, captions: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # The student does not exist, which is found out later.
        (tmp_path / "run.yaml").write_text(
            f"""
            model: {{class_path: ShowoTurbo, init_args: {{student: none}}}}
            data:
              class_path: DistillationDataModule
              init_args: {{resolution: 24, captions: {captions}}}
            """
        )
        with pytest.raises(SystemExit):
            main(["fit", "-c", str(tmp_path / "run.yaml")])
        assert message in capsys.readouterr().err.splitlines()[-1]
