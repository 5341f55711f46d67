"""How a shapes model samples best: its score on all validation prompts in several settings.

    python benchmarks/sampling.py shapes --steps 16 --guidance 1 --guidance 2
    python benchmarks/sampling.py runs/quickstart/student --steps 4

What is best here stands in `configs/quickstart.yaml`. Its report scores on other prompts. Every way
reveals in the one order of the quickstart's trajectories. The scores go to
`benchmarks/results/sampling-<model>.json`.
"""

import argparse
from itertools import product
from pathlib import Path

from showo_turbo import ShowoPipeline
from showo_turbo.evaluation import evaluate_images
from showo_turbo.evaluation.environment import provenance
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes import ShapesChecker
from showo_turbo.shapes.splits import held_out_prompts
from showo_turbo.utils.files import write_json

ORDER_SEED = 9
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Score one model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="`shapes`, or the folder of a model of the shapes world")
    parser.add_argument("--steps", type=int, action="append", required=True, help="repeatable")
    parser.add_argument("--guidance", type=float, action="append", help="repeatable (0)")
    parser.add_argument("--noise", type=float, action="append", help="repeatable (1.5 and 10)")
    options = parser.parse_args()
    pipeline = ShowoPipeline.from_pretrained(options.model)
    prompts = [prompt.to_metadata() for prompt in held_out_prompts("validation")]
    ways = [
        ImageSampling(
            steps, guidance, schedule, confidence_temperature=noise, shared_noise_seed=ORDER_SEED
        )
        for steps, guidance, schedule, noise in product(
            options.steps, options.guidance or [0.0], ["cosine", "pow"], options.noise or [1.5, 10]
        )
    ]
    # The setting that the base was sampled with before: noise, and no order.
    ways += [
        ImageSampling(steps, guidance, token_temperature=0.5, confidence_temperature=2.0)
        for steps, guidance in product(options.steps, options.guidance or [0.0])
    ]
    rows = []
    for way in ways:
        score = evaluate_images(pipeline, prompts, way, checker=ShapesChecker())
        rows.append(score.to_dict())
        print(f"{way}: {score.score:.3f}")
    path = RESULTS / f"sampling-{Path(options.model).name}.json"
    write_json(path, {"rows": rows} | provenance())
    print(f"written: {path}")


if __name__ == "__main__":
    main()
