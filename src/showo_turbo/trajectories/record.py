"""What is kept of one trajectory of the teacher, as plain tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .segments import check_recorded, segment_end, segment_ends


@dataclass(eq=False, kw_only=True)
class MaskedTrajectory:
    """A trajectory of `K` steps over `M` masked tokens, of an image or of a block of a text.

    A revealed token is never masked again, so all `K + 1` states follow from the final codes and
    the step that revealed each. With them goes what the teacher predicted there: for the
    regularizer a position that is masked at state k needs the guided distribution at its reveal, if
    that lies within k's segment, and else the one predicted from the state at the segment's end. So
    besides the distribution at each reveal, those of the still masked positions are kept at every
    segment's end (but the last one's, where nothing is masked).

    Attributes:
        codes: `(M,)`, the final codes of an image, or the final ids of a text.
        reveal_step: `(M,)` in `0 .. K`: the position is masked at state k if `reveal_step > k`; 0
            is of positions that are known from the beginning.
        top_ids: `(M, kept)`, the most probable codes at the reveal, best first.
        top_log_probs: `(M, kept)` natural logarithms, float16. They are those of the whole
            distribution: their probabilities sum to the mass kept.
        boundary_top_ids: `(N, kept)`, the same as predicted from the states at the segments' ends:
            segment after segment, and within one the positions, in order, that are masked there.
        boundary_top_log_probs: `(N, kept)`.
        steps: `K`.
        recorded_segments: Number of equal segments at whose ends distributions were kept. A
            training may use fewer, see `check_recorded`.
    """

    codes: Tensor
    reveal_step: Tensor
    top_ids: Tensor
    top_log_probs: Tensor
    boundary_top_ids: Tensor
    boundary_top_log_probs: Tensor
    steps: int
    recorded_segments: int

    @property
    def kept_mass(self) -> Tensor:
        """`(M,)` float32: how much of each reveal's distribution the kept codes hold."""
        return kept_mass(self.top_log_probs)

    def masked(self, k: int) -> Tensor:
        """Return `(M,)` boolean: `M_k`, the positions masked at state `k` (`0 .. K`)."""
        return self.reveal_step > k

    def state(self, k: int, mask_code: int) -> Tensor:
        """Return `(M,)` long: the codes of state `k` (`0 .. K`), `mask_code` where masked."""
        return self.codes.long().masked_fill(self.masked(k), mask_code)

    def distribution(self, k: int, segments: int) -> tuple[Tensor, Tensor]:
        """Return the regularizer's target for a jump from state `k` (`0 .. K - 1`).

        Args:
            k: The state.
            segments: Number of equal segments that the trajectory is cut into.

        Returns:
            The codes `(M, kept)`, long, and their log-probabilities `(M, kept)`, float32, for each
            position masked at state `k`: predicted at its reveal if it is revealed by the end of
            k's segment, else from the state there. At others, the distribution of the reveal.

        Raises:
            UserError: If the record does not allow these segments, see `check_recorded`.
        """
        check_recorded(segments, self.steps, self.recorded_segments)
        end = segment_end(k, self.steps, segments)
        recorded = segment_ends(self.steps, self.recorded_segments)
        start = sum(int(self.masked(earlier).sum()) for earlier in recorded if earlier < end)
        later = self.masked(end)
        rows = slice(start, start + int(later.sum()))
        ids = self.top_ids.long().clone()
        log_probs = self.top_log_probs.float().clone()
        ids[later] = self.boundary_top_ids[rows].long()
        log_probs[later] = self.boundary_top_log_probs[rows].float()
        return ids, log_probs


@dataclass(eq=False, kw_only=True)
class ImageTrajectory(MaskedTrajectory):
    """The trajectory of an image, and what it was generated from.

    Size: with 16 codes kept, a distribution takes 64 bytes (int16 and float16). The reveals take
    17 KB at 256 tokens and 69 KB at 1,024 tokens, the codes and steps included. The segments' ends
    add, with the cosine schedule, 33 KB (256 tokens, 4 segments), 12 KB (256 tokens, 2 segments),
    299 KB (1,024 tokens, 8 segments) or 132 KB (1,024 tokens, 4 segments).

    Attributes:
        key: Name of the prompt in its data set.
        prompt: The prompt's text.
        prompt_ids: `(prompt tokens,)`.
        noise_seed: What the noise of a student that reads noise is drawn from, see `noise_of`: the
            sampler's seed, unless another was chosen.
    """

    key: str
    prompt: str
    prompt_ids: Tensor
    noise_seed: int = 0


@dataclass(eq=False)
class DenoisedText:
    """An answer that was denoised block after block, each block a trajectory of its own.

    While a block is denoised, those before it are complete and those after it masked.

    Size: with one id kept, a block of 16 tokens takes 192 bytes at the reveals.

    Attributes:
        key: Name of the request in its data set.
        text: The question.
        prompt_ids: `(prompt tokens,)`, the text before the answer.
        image: The image that the text is about, see `TextTrajectory`.
        length: Tokens of a whole answer, masked ones at its end among them, which the teacher had
            before it at every step.
        answer_length: Tokens up to and including the end of the text.
        blocks: The blocks up to the one in which the text ends, of one size and number of steps.
            What the teacher put behind the end of the text is among their tokens.
    """

    key: str
    text: str
    prompt_ids: Tensor
    image: Tensor
    length: int
    answer_length: int
    blocks: list[MaskedTrajectory]

    @property
    def block_size(self) -> int:
        """Number of tokens that are denoised together."""
        return len(self.blocks[0].codes)

    @property
    def tokens(self) -> Tensor:
        """`(blocks * block_size,)` long, the final ids."""
        return torch.cat([block.codes for block in self.blocks]).long()

    @property
    def answer_ids(self) -> Tensor:
        """`(answer_length,)` long, the answer, up to and including the end of text."""
        return self.tokens[: self.answer_length]

    def valid_length(self, index: int) -> int:
        """Number of tokens of block `index` up to and including the end of the answer."""
        return min(self.block_size, self.answer_length - index * self.block_size)

    def columns(self, block: int) -> Tensor:
        """`(block_size,)`, the places of a block's tokens in the answer."""
        return torch.arange(block * self.block_size, (block + 1) * self.block_size)

    def state(self, block: int, k: int, mask_id: int) -> Tensor:
        """`(length,)` long: the whole answer at state `k` (`0 .. K`) of a block."""
        answer = torch.full((self.length,), mask_id)
        begin = block * self.block_size
        answer[:begin] = self.tokens[:begin]
        answer[self.columns(block)] = self.blocks[block].state(k, mask_id)
        return answer


@dataclass(eq=False)
class TextTrajectory:
    """The Jacobi trajectory of one answer, block after block.

    Of an image that the teacher read as continuous features the features are kept, in half
    precision, and not the image's file: students see exactly what the teacher saw, even where
    images were changed or moved since, and train without the vision encoder. In return they take
    space, and memory while they are collected.

    Size: a block of 16 tokens that settles after 8 iterations takes 576 bytes (int32). An image
    takes 512 bytes as 256 codes, and 1.2 MB as the features of CLIP (576 of 1,024 numbers).

    Attributes:
        key: Name of the request in its data set.
        text: The question.
        prompt_ids: `(prompt tokens,)`, the text before the answer.
        image: The image that the text is about: codes `(M,)`, or features `(tokens, width)` in
            float16; see `showo_turbo.models.image_input.ImageInput`.
        answer_ids: `(answer tokens,)`, up to and including the end of text.
        blocks: For each block its iterates `(J + 1, block tokens)`: row 0 the random start, row
            `J >= 1` the fixed point, the teacher's greedy answer, arbitrary after the answer's end.
    """

    key: str
    text: str
    prompt_ids: Tensor
    image: Tensor
    answer_ids: Tensor
    blocks: list[Tensor]

    @property
    def block_size(self) -> int:
        """Number of tokens that are decoded together."""
        return self.blocks[0].shape[1]

    def valid_length(self, index: int) -> int:
        """Number of tokens of block `index` up to and including the end of the answer."""
        return min(self.block_size, len(self.answer_ids) - index * self.block_size)


def kept_mass(top_log_probs: Tensor) -> Tensor:
    """Return the probability that recorded codes hold together: `(..., kept)` to `(...)`."""
    return top_log_probs.float().exp().sum(dim=-1).clamp(max=1.0)


def settled_iterates(iterates: Tensor, valid_length: int) -> Tensor:
    """Drop the iterates after the answer's part of the block has first reached the fixed point.

    What follows the end of the answer may go on changing; it is trained on by no loss, and would
    make the iterations look more than they are.

    Args:
        iterates: `(iterations + 1, block)`.
        valid_length: Number of tokens that belong to the answer.

    Returns:
        `(J + 1, block)` with `J >= 1` the first iterate (but the start) that agrees with the fixed
        point on the answer's tokens.
    """
    settled = (iterates[:, :valid_length] == iterates[-1, :valid_length]).all(dim=1)
    first = int(torch.nonzero(settled)[0])
    return iterates[: max(first, 1) + 1]
