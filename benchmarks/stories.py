"""How well a teacher and a distilled student tell stories of moving shapes.

    python benchmarks/stories.py --teacher runs/stories/model \\
        --student runs/student_stories/student

Every step behind the true ones before it, and all steps of a story freely one behind the other, on
held-out scenes, by sampling steps of the keyframes, with sentences written autoregressively and by
Jacobi decoding; milliseconds are those of a step. The figures go to
`benchmarks/results/abilities.json` as they come.
"""

import time
from typing import Any

from ability_rows import write_ability_rows
from teacher_and_student import kept, options_of, pipelines_of, sampling_of

from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes.stories import sample_story
from showo_turbo.shapes.story_scores import measure_stories

ABILITY, FLOOR = "stories", 0.7
"""Share of steps that the teacher should tell right, freely."""


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


if __name__ == "__main__":
    main()
