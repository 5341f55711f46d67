"""How well a teacher and a distilled student tell stories of moving shapes.

    python benchmarks/stories.py --teacher runs/stories/model \\
        --student runs/student_stories/student

Every step behind the true ones before it, and all steps of a story freely one behind the other, on
held-out scenes, by sampling steps of the keyframes, with sentences written autoregressively and by
Jacobi decoding; milliseconds are those of a step. The figures go to
`benchmarks/results/abilities.json` as they come, and a film strip of the first stories beside it.
"""

import time
from pathlib import Path
from typing import Any

from ability_rows import write_ability_rows
from PIL import Image
from teacher_and_student import kept, options_of, pipelines_of, sampling_of

from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes.render import render
from showo_turbo.shapes.stories import sample_story
from showo_turbo.shapes.story_scores import measure_stories
from showo_turbo.utils.files import write_atomically

ABILITY, FLOOR = "stories", 0.7
"""Share of steps that the teacher should tell right, freely."""

SHOWN, MAGNIFIED = 8, 4


def main() -> None:
    options = options_of(__doc__, "stories", 150).parse_args()
    stories = [sample_story(index, split="test") for index in range(options.stories)]
    rows: list[dict[str, Any]] = []
    scores: dict[tuple[str, int], float] = {}
    for name, pipeline in pipelines_of(options):
        for steps in options.steps:
            way = sampling_of(name, pipeline, steps, options.guidance, "halton")
            for method in ("autoregressive", "jacobi"):
                texts = TextDecoding(method=method, max_new_tokens=16)
                for forced in (True, False):
                    begun = time.perf_counter()
                    score = measure_stories(pipeline, stories, way, texts, forced=forced)
                    row = {"model": name, "ability": ABILITY, "steps": steps}
                    row |= {"guidance": way.guidance_scale, "decoding": method}
                    row |= {"told": "behind the true ones" if forced else "freely"}
                    milliseconds = round(1000 * (time.perf_counter() - begun) / len(score.steps), 1)
                    # A step is right by its sentence, by its keyframe, and by all that stays there.
                    found = {
                        key.replace("right_steps_n", "n").replace("right_steps", "joint"): value
                        for key, value in score.to_dict().items()
                    }
                    rows.append(row | found | {"milliseconds": milliseconds})
                    if not forced:
                        scores[name, steps] = found["joint"]
                    write_ability_rows(options.output, rows, {ABILITY: kept(scores, FLOOR)})
                    print(rows[-1])
        strip(pipeline, way, options.output.with_name(f"stories-{name}.png"))


def strip(pipeline: ShowoPipeline, way: Any, path: Path) -> None:
    """A row of keyframes for each of the first stories, the given one first."""
    stories = [sample_story(index, split="test") for index in range(SHOWN)]
    scenes = [Image.fromarray(render(story.before)) for story in stories]
    texts = TextDecoding(max_new_tokens=16)
    told = pipeline.tell([s.request for s in stories], scenes, way, texts, max_steps=4)
    side = scenes[0].width * MAGNIFIED + 4
    sheet = Image.new("RGB", (side * 5, side * SHOWN), "gray")
    for row, (first, images) in enumerate(zip(scenes, told.images, strict=True)):
        for column, image in enumerate([first, *images]):
            large = image.resize((side - 4, side - 4), Image.Resampling.NEAREST)
            sheet.paste(large, (column * side, row * side))
    with write_atomically(path) as temporary:
        sheet.save(temporary, format="PNG")
    for story, own in zip(stories, told.texts, strict=True):
        print(story.request, "->", " ".join(own))


if __name__ == "__main__":
    main()
