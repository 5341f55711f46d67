"""How well clips of moving shapes are drawn and understood, by a teacher and by a student.

    python benchmarks/clips.py --teacher runs/clips/model --student runs/student_clips/student

On prompts of what no training clip shows: of text alone, all latent frames together and one after
the other, and with the first frame given; and answers about clips. The figures go to
`benchmarks/results/clips.json`, and the first clips beside it as GIF.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from showo_turbo.data.clips import write_clip
from showo_turbo.evaluation.environment import provenance
from showo_turbo.evaluation.intervals import wilson_interval
from showo_turbo.inference import ShowoPipeline
from showo_turbo.shapes.clip_checker import find_fault
from showo_turbo.shapes.clips import ClipScene, Level, clip_questions, render_clip, sample_clip
from showo_turbo.utils.files import write_json

RESULTS = Path(__file__).resolve().parent / "results"
FLOOR, KEPT = 0.8, 0.95
"""Share of easy clips that the teacher should draw right in 16 steps; what the student keeps."""

SHOWN = 4


def share(marks: Sequence[bool]) -> dict[str, Any]:
    interval = wilson_interval(sum(marks), len(marks))
    return {
        "right": round(sum(marks) / len(marks), 4),
        "ci95": [round(limit, 4) for limit in interval],
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", required=True, help="folder of the model that was trained")
    parser.add_argument("--student", help="folder of a distilled one")
    parser.add_argument("--clips", type=int, default=120, help="held-out prompts (120)")
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 4], help="(16 4)")
    parser.add_argument("--guidance", type=float, default=1.0, help="of the teacher (1)")
    parser.add_argument("--level", default="easy", choices=["easy", "hard"])
    parser.add_argument("--output", type=Path, default=RESULTS / "clips.json")
    options = parser.parse_args()
    level: Level = options.level
    scenes = [sample_clip(i, split="test", level=level) for i in range(options.clips)]
    models = {"teacher": options.teacher}
    models |= {"student": options.student} if options.student else {}
    rows: list[dict[str, Any]] = []
    for name, model in models.items():
        pipeline = ShowoPipeline.from_pretrained(model)
        for steps in options.steps:
            way = replace(pipeline.sampling, sampling_steps=steps)
            if name == "teacher":
                way = replace(way, guidance_scale=options.guidance, confidence_temperature=0.0)
                way = replace(way, token_temperature=0.0, reveal_order="confidence")
            for given, by_frame in ((False, False), (True, False), (False, True)):
                own = replace(way, sampling_steps=math.ceil(steps / 4)) if by_frame else way
                marks, videos, seconds = drawn(pipeline, scenes, own, given, by_frame)
                row = {"model": name, "steps": own.sampling_steps, "first_frame": given}
                row |= {"by_frame": by_frame, "guidance": own.guidance_scale}
                rows.append(row | share(marks) | {"milliseconds": round(1000 * seconds, 1)})
                print(rows[-1])
            for number, video in enumerate(videos[:SHOWN]):
                path = options.output.with_name(f"clip-{name}-{steps}-{number}.gif")
                large = [f.resize((96, 96), Image.Resampling.NEAREST) for f in video]
                write_clip(path, large)
        answers = share(answered(pipeline, scenes[:60]))
        rows.append({"model": name, "ability": "answers", **answers})
        print(rows[-1])
        floors = {"level": level, "floor": FLOOR, "kept": KEPT}
        write_json(options.output, provenance() | floors | {"rows": rows})


if __name__ == "__main__":
    main()
