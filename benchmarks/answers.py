"""What it costs to train on all blocks of an answer: in one pass, or each with its own prefix.

    python benchmarks/answers.py

Forward and backward of the losses on text, on the CPU with a random network of hidden size 768 and
8 layers: answers of four blocks of 16 tokens about an image of 256 or of 1,024 tokens. Both ways
train on the same blocks, with two versions of each; the losses must agree. Writes
`benchmarks/results/answers.json`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from comparing import row_of
from measuring import in_turns
from random_networks import GEOMETRIES, MIDDLE, TINY, random_network

from showo_turbo.evaluation.environment import describe_hardware
from showo_turbo.models.protocols import FIXED_POINT
from showo_turbo.models.showo import Showo
from showo_turbo.trajectories import TextTrajectory, collate_text_trajectories

RESULTS = Path(__file__).parent / "results" / "answers.json"
BLOCK, BLOCKS, QUESTION = 16, 4, 40


def random_answer(network: Showo, seed: int) -> TextTrajectory:
    """A trajectory of `BLOCKS` blocks, of two iterates and a fixed point each."""
    generator = torch.Generator().manual_seed(seed)
    config = network.config

    def ids(*shape: int) -> torch.Tensor:
        return torch.randint(1, config.text_vocabulary_size, shape, generator=generator).int()

    answer = ids(BLOCK * BLOCKS)
    codes = torch.randint(0, config.codebook_size, (config.image_tokens,), generator=generator)
    blocks = [torch.cat([ids(2, BLOCK), part[None]]) for part in answer.split(BLOCK)]
    return TextTrajectory("", "", ids(QUESTION), codes, answer, blocks)


def in_single_blocks(record: TextTrajectory) -> list[TextTrajectory]:
    """Each block as an answer of its own, with what precedes it as the question."""
    return [
        TextTrajectory(
            record.key,
            record.text,
            torch.cat([record.prompt_ids, record.answer_ids[: BLOCK * number]]),
            record.image,
            block[-1],
            [block],
        )
        for number, block in enumerate(record.blocks)
    ]


def loss(network: Showo, records: list[TextTrajectory]) -> float:
    """Train on the records: forward and backward of all that the published terms ask for."""
    steps = [[0] * len(record.blocks) for record in records]
    batch = collate_text_trajectories(records, steps, segments=1)
    versions = {"k": batch.tokens_k, "e": batch.tokens_e}
    found = network.answer_logits(batch, versions, fixed_point=True)
    total = (found["k"] - found["e"].detach()).square().mean() + found[FIXED_POINT].square().mean()
    network.zero_grad()
    total.backward()
    return float(total.detach())


def measure(sizes: dict[str, int], image_tokens: int, answers: int, repeats: int) -> dict[str, Any]:
    """Both ways in turns."""
    network = random_network(sizes, image_tokens).train()
    whole = [random_answer(network, seed) for seed in range(answers)]
    single = [block for record in whole for block in in_single_blocks(record)]
    found = in_turns(
        {
            "plain": lambda: loss(network, single),
            "ours": lambda: loss(network, whole),
        },
        repeats,
    )
    plain, ours = found["plain"].result, found["ours"].result
    equal = abs(plain - ours) <= 1e-4 * abs(plain)
    row = row_of(found["plain"], found["ours"], equal, "each block behind its own prefix")
    return row | {"image_tokens": image_tokens, "answers": answers, "blocks": BLOCKS * answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing written")
    options = parser.parse_args()
    sizes = TINY if options.smoke else MIDDLE
    geometries = {"tiny": 16} if options.smoke else GEOMETRIES
    rows = {
        f"answers_{name}": measure(sizes, tokens, 1, options.repeats)
        for name, tokens in geometries.items()
    }
    text = json.dumps({"hardware": describe_hardware(torch.device("cpu")), "rows": rows}, indent=2)
    print(text)
    if not options.smoke:
        RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
