"""Networks with random weights, and requests to them, at the scale that is to be measured."""

from dataclasses import dataclass

import torch

from showo_turbo.models.showo import Showo, ShowoConfig

PROMPT_TOKENS = 14
"""Tokens of a prompt, the special ones counted in."""


@dataclass(frozen=True)
class Scale:
    """How much work is measured.

    Attributes:
        sizes: Of the network in between.
        geometries: Image tokens at 256 and at 512 px.
        new_tokens: Text tokens that the network in between writes.
        answers: Questions to the shapes models.
        repeats: Turns.
        released: Sizes of the released network; None without a GPU.
        images: Images in a batch of the released network.
        batch: Answers of a shapes model in a batch.
    """

    sizes: dict[str, int]
    geometries: dict[str, int]
    new_tokens: int
    answers: int
    repeats: int
    released: dict[str, int] | None
    images: int
    batch: int


MIDDLE = {"hidden_size": 768, "layers": 8, "heads": 12}
TINY = {
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
    "text_vocabulary_size": 300,
    "codebook_size": 64,
    "eos_id": 0,
    "max_text_length": 16,
}
GEOMETRIES = {"256": 256, "512": 1024}
SMOKE = Scale(TINY, {"256": 16, "512": 64}, 20, 2, 1, TINY, 1, 3)


def full_scale(repeats: int) -> Scale:
    """What is measured for the committed results."""
    released: dict[str, int] | None = {} if torch.cuda.is_available() else None
    return Scale(MIDDLE, GEOMETRIES, 64, 60, repeats, released, 16, 64)


def random_network(sizes: dict[str, int], image_tokens: int) -> Showo:
    """A network on the CPU, the same each time."""
    torch.manual_seed(0)
    config = ShowoConfig(**{"tokenizer": None, "image_tokens": image_tokens, **sizes})
    return Showo(config).eval()


def random_prompt(network: Showo) -> list[int]:
    """What a prompt says: `t2i sot` before it and `eot` behind it are not counted in."""
    return _random_ids(network.config.text_vocabulary_size, PROMPT_TOKENS - 3)


def random_question(network: Showo) -> tuple[torch.Tensor, list[int]]:
    """An image's codes `(1, image_tokens)`, and a question's ids."""
    config = network.config
    codes = torch.tensor([_random_ids(config.codebook_size, config.image_tokens)])
    return codes, _random_ids(config.text_vocabulary_size, PROMPT_TOKENS)


def _random_ids(below: int, count: int) -> list[int]:
    return torch.randint(1, below, (count,), generator=torch.Generator().manual_seed(1)).tolist()
