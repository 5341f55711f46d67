"""How well clips of moving shapes are generated and understood, by a teacher and by a student.

    python benchmarks/clips.py --teacher runs/clips/model --student runs/student_clips/student

On captions that no training clip has: of text alone, all latent frames together and one after
the other, and with the first frame given; and answers about clips. The figures go to
`benchmarks/results/abilities.json`, and the first clips beside it as one GIF: a row for each model
and number of steps.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ability_rows import write_ability_rows
from PIL import Image
from teacher_and_student import kept, options_of, pipelines_of, sampling_of

from showo_turbo.data.clip_writing import write_clip
from showo_turbo.evaluation.intervals import wilson_interval
from showo_turbo.inference import ShowoPipeline
from showo_turbo.shapes.clip_checker import find_fault
from showo_turbo.shapes.clips import ClipScene, Level, clip_questions, render_clip, sample_clip

FLOOR = 0.8
"""Share of easy clips that the teacher should generate right in 16 steps."""

SHOWN, SIDE = 6, 76
"""Clips in a row, and pixels from one to the next."""


def share(marks: Sequence[bool]) -> dict[str, Any]:
    interval = wilson_interval(sum(marks), len(marks))
    return {
        "joint": round(sum(marks) / len(marks), 4),
        "joint_ci95": [round(limit, 4) for limit in interval],
        "n": len(marks),
    }


def drawn(
    pipeline: ShowoPipeline, scenes: Sequence[ClipScene], way: Any, given: bool, by_frame: bool
) -> tuple[list[bool], list[list[Image.Image]], float]:
    """Marks of clips of the scenes' captions, the clips, and seconds a clip."""
    prompts = [scene.captions[i % 2] for i, scene in enumerate(scenes)]
    images = [Image.fromarray(render_clip(scene)[0]) for scene in scenes] if given else None
    result = pipeline.generate_video(prompts, images, way, by_frame=by_frame, batch_size=32)
    marks = [
        not find_fault(
            np.stack([np.asarray(frame) for frame in video]), scene.to_metadata(i % 2 == 1)
        )
        for i, (scene, video) in enumerate(zip(scenes, result.videos, strict=True))
    ]
    return marks, result.videos, result.statistics.seconds / len(scenes)


def answered(pipeline: ShowoPipeline, scenes: Sequence[ClipScene]) -> list[bool]:
    """Whether each question about a clip is answered exactly."""
    clips, questions, wanted = [], [], []
    for scene in scenes:
        frames = [Image.fromarray(frame) for frame in render_clip(scene)]
        for turn in clip_questions(scene):
            clips.append(frames)
            questions.append(turn.question)
            wanted.append(turn.answer)
    found = pipeline.answer(clips, questions, max_new_tokens=24, batch_size=32)
    return [text == answer for text, answer in zip(found.texts, wanted, strict=True)]


def main() -> None:
    parser = options_of(__doc__, "clips", 240, guidance=0.0)
    parser.add_argument("--level", default="easy", choices=["easy", "hard"])
    options = parser.parse_args()
    level: Level = options.level
    scenes = [sample_clip(i, split="test", level=level) for i in range(options.clips)]
    rows: list[dict[str, Any]] = []
    scores: dict[tuple[str, int], float] = {}
    ability = f"{level} clips"
    shown: list[Sequence[Sequence[Image.Image]]] = []
    for name, pipeline in pipelines_of(options):
        for steps in options.steps:
            way = sampling_of(name, pipeline, steps, options.guidance, "halton")
            for given, by_frame in ((False, False), (True, False), (False, True)):
                own = replace(way, sampling_steps=math.ceil(steps / 4)) if by_frame else way
                marks, videos, seconds = drawn(pipeline, scenes, own, given, by_frame)
                row = {"model": name, "ability": ability, "steps": own.sampling_steps}
                row |= {"guidance": own.guidance_scale, "first_frame": given, "by_frame": by_frame}
                rows.append(row | share(marks) | {"milliseconds": round(1000 * seconds, 1)})
                print(rows[-1])
                if not given and not by_frame:
                    scores[name, steps] = rows[-1]["joint"]
                    shown.append(videos[:SHOWN])
        answers = share(answered(pipeline, scenes[:120]))
        rows.append({"model": name, "ability": f"answers about {ability}", **answers})
        print(rows[-1])
        told = {ability: kept(scores, FLOOR), f"answers about {ability}": {}}
        write_ability_rows(options.output, rows, told)
    for number, scene in enumerate(scenes[:SHOWN]):
        print(f"column {number + 1}:", scene.captions[number % 2])
    write_rows(shown, options.output.with_name("clips.gif"))


def write_rows(rows: Sequence[Sequence[Sequence[Image.Image]]], path: Path) -> None:
    """Rows of clips as one that shows all of them, magnified."""
    frames = []
    for frame in range(len(rows[0][0])):
        sheet = Image.new("RGB", (SIDE * len(rows[0]), SIDE * len(rows)), "white")
        for row, videos in enumerate(rows):
            for column, video in enumerate(videos):
                large = video[frame].resize((SIDE - 4, SIDE - 4), Image.Resampling.NEAREST)
                sheet.paste(large, (column * SIDE, row * SIDE))
        frames.append(sheet)
    write_clip(path, frames)


if __name__ == "__main__":
    main()
