"""Choosing among images by what a network itself thinks of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel, with_noise
from ..sampling.noise import noise_of
from ..sampling.options import check_not_negative
from ..utils.random import stateless_seed
from .image_collector import ImagePrompt
from .record import ImageTrajectory
from .source import Collecting, Network
from .sources import Several, attempt_seed, fill


@dataclass(frozen=True)
class BestOf(Several):
    """Of several images, the one that says most about its prompt, by a network's own judgement.

    The score of an image y for a prompt c is how much likelier its codes become by the prompt:
    `sum over the shares s of sum over i in R_s of log p(y_i | y outside R_s, c) - log p(y_i | y
    outside R_s, no prompt)`, with R_s a random set of the share s of the positions, the same for
    all images of a prompt. It needs no checker; like guidance it favors what the prompt asks for
    over what is likely anyway.

    Args:
        sources: Of the images.
        tries: Images that each source generates of a prompt, from seeds of their own.
        network: Which network judges, see `Sampled`.
        shares: Shares of the positions that are predicted from the others.
        margin: Nats by which an image must score higher than the best of those before it to take
            its place. With the student first and the base second, the student's images stay
            where they are nearly as good, which are easier to learn, and its mistakes are replaced.
        doubt: Nats that the prompt may take from the log-likelihood of a single code, of those that
            are summed up in the score, before further images are generated. With the student first,
            the base generates only where it doubts the student's image; by default, always.

    Raises:
        UserError: If there are no sources, tries or shares, or a share or the margin is out of
            range.
    """

    tries: int = 1
    network: Network = "base"
    shares: list[float] = field(default_factory=lambda: [0.25, 0.5, 0.75, 1.0])
    margin: float = 0.0
    doubt: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tries < 1:
            raise UserError(f"tries is {self.tries}; expected at least 1, correct it")
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise UserError(f"shares is {self.shares}; expected values above 0 and at most 1")
        check_not_negative(margin=self.margin, doubt=self.doubt or 0.0)

    @property
    def needs_base(self) -> bool:
        """Whether the model that the run started from generates or judges."""
        return self.network == "base" or super().needs_base

    def draw(
        self, collecting: Collecting, prompts: Sequence[ImagePrompt], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt; see `ImageSource.draw`."""
        best: list[ImageTrajectory | None] = [None] * len(prompts)
        scores = [-torch.inf] * len(prompts)
        doubted = [True] * len(prompts)
        for source in self.sources:
            for attempt in range(self.tries):
                tried = [attempt_seed(seed, attempt) for seed in seeds]
                found: list[ImageTrajectory | None] = [None] * len(prompts)
                fill(found, source, collecting, prompts, tried, doubted)
                drawn = {place: record for place, record in enumerate(found) if record is not None}
                if not drawn:
                    continue
                judged = relevance(
                    collecting.networks[self.network],
                    [prompts[place].ids for place in drawn],
                    torch.stack([record.codes.long() for record in drawn.values()]),
                    [seeds[place] for place in drawn],
                    self.shares,
                ).flatten(1)
                totals, least = judged.sum(dim=1).tolist(), judged.amin(dim=1).tolist()
                for (place, record), score, worst in zip(drawn.items(), totals, least, strict=True):
                    if best[place] is None or score > scores[place] + self.margin:
                        best[place], scores[place] = record, score
                        doubted[place] = self.doubt is None or worst < -self.doubt
        return best


@torch.no_grad()
def relevance(
    network: ImageModel,
    prompts: Sequence[Sequence[int]],
    codes: Tensor,
    seeds: Sequence[int],
    shares: Sequence[float],
) -> Tensor:
    """How much likelier a prompt makes the codes of an image, see `BestOf`.

    Args:
        network: In evaluation mode.
        prompts: Ids of each.
        codes: `(batch, image_tokens)`.
        seeds: One per image, of the positions that are predicted.
        shares: Shares of the positions that are predicted.

    Returns:
        `(batch, shares, image_tokens)` nats, 0 at positions that are not predicted.
    """
    codes = codes.to(network.device)
    found = []
    both = [*prompts, *(network.null_prompt_of(prompt) for prompt in prompts)]
    for number, share in enumerate(shares):
        own = [stateless_seed(seed, number, stream="relevance") for seed in seeds]
        hidden = _random_positions(own, codes.shape[1], share).to(network.device)
        state = codes.masked_fill(hidden, network.mask_code)
        noise = noise_of(network, [*own, *own])
        logits = network.image_logits(both, torch.cat([state, state]), **with_noise(noise))
        log_probs = logits.float().log_softmax(dim=-1)
        of_codes = log_probs.gather(-1, torch.cat([codes, codes])[..., None])[..., 0]
        conditional, unconditional = of_codes.chunk(2)
        found.append((conditional - unconditional).masked_fill(~hidden, 0.0))
    return torch.stack(found, dim=1)


def _random_positions(seeds: Sequence[int], tokens: int, share: float) -> Tensor:
    """`(seeds, tokens)` boolean: for each seed a random set of the share, at least one."""
    count = max(1, round(share * tokens))
    rows = torch.zeros(len(seeds), tokens, dtype=torch.bool)
    for row, seed in enumerate(seeds):
        order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
        rows[row, order[:count]] = True
    return rows
