"""The published training loop, written from its description: one sample at a time, nothing kept.

Per image, teacher and student roll out a whole trajectory, each with guidance, over the padded
sequence and the whole vocabulary; then the student is graded on the states of the drawn step (and,
at 256 px, on those of the segment's end). Per block of text, the teacher iterates it to its fixed
point over the whole sequence, without a cache; then the student is graded on an iterate, on its
segment's end and on the fixed point. Per web text it is graded once. Batches have one sample.

Source: Show-o Turbo (arXiv 2502.05415) and the description of its released script. Of the package
it uses the network alone.
"""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import naive

BLOCK = 16


def image_sample(
    teacher: Any, student: Any, prompt: list[int], steps: int, guidance: float, graded: int
) -> None:
    """Train on one image.

    Args:
        teacher: Rolls out a trajectory.
        student: Likewise, and is graded.
        prompt: Ids of the prompt.
        steps: Of a trajectory.
        guidance: Guidance scale, which doubles every forward pass.
        graded: Forward passes with gradients: 2 at 256 px, 1 at 512 px.
    """
    states = naive.decode_image(teacher, prompt, steps=steps, guidance_scale=guidance)
    naive.decode_image(student, prompt, steps=steps, guidance_scale=guidance)
    width = student.config.max_text_length + 1
    losses = []
    for state in (states[steps // 4], states[0])[:graded]:
        logits = student(*naive.image_sequence(student, prompt, state, width))[0]
        wanted = torch.tensor(states[-1]) + student.vocabulary.image_offset
        losses.append(F.cross_entropy(logits[width + 1 : -1].float(), wanted))
    torch.stack(losses).sum().backward()


def text_block(
    teacher: Any, student: Any, codes: list[int], question: list[int], answer: list[int]
) -> int:
    """Train on the block that follows an answer; give the iterations that it took.

    Args:
        teacher: Iterates the block.
        student: Is graded.
        codes: The image's.
        question: Ids of the question.
        answer: Ids of the answer before the block.
    """
    v = teacher.vocabulary
    generator = torch.Generator().manual_seed(len(answer))
    block = torch.randint(v.text_size, (BLOCK,), generator=generator).tolist()
    iterates = [block]
    while len(iterates) < 2 or iterates[-1] != iterates[-2]:
        with torch.no_grad():
            logits = _block_logits(teacher, codes, [*question, *answer, *iterates[-1]])
        iterates.append(logits[:, : v.text_size].argmax(1).tolist())
    fixed = torch.tensor(iterates[-1])
    losses = [
        F.cross_entropy(_block_logits(student, codes, [*question, *answer, *version]), fixed)
        for version in (iterates[len(iterates) // 2], iterates[-2], iterates[-1])
    ]
    torch.stack(losses).sum().backward()
    return len(iterates) - 1


def web_text(student: Any, ids: list[int]) -> None:
    """Train on one text."""
    sequence = naive.text_sequence(student, None, ids)
    logits = student(*sequence)[0]
    F.cross_entropy(logits[:-1].float(), sequence[0][0, 1:]).backward()


def _block_logits(network: Any, codes: list[int], text: list[int]) -> Tensor:
    """`(block, vocabulary)` of one forward over everything."""
    logits: Tensor = network(*naive.text_sequence(network, codes, text))[0, -BLOCK - 1 : -1]
    return logits.float()
