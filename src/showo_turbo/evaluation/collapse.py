"""Signs that a student collapses: its images grow alike, its answers loop, it leaves its teacher.

They are measured on trajectories that it is trained on, so that nothing has to be judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..models.protocols import ImageModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import decode_image_codes
from ..sampling.text_decoding import TextDecoding
from ..trajectories.record import DenoisedText, ImageTrajectory, TextTrajectory
from ..trajectories.repetition import is_repetitive
from .variety import code_entropy

LONGEST_NGRAM, MAX_REPEATS = 8, 4
"""As text trajectories are filtered, see `TextCollection`."""


@dataclass(frozen=True)
class ImageSigns:
    """What a student's images of different prompts show.

    Attributes:
        code_entropy: Entropy of the codes at a position over the prompts, as a share of that of the
            recorded images: 0 where all prompts get the same image.
        agreement: Share of the codes that are the recorded ones.
    """

    code_entropy: float
    agreement: float


@dataclass(frozen=True)
class TextSigns:
    """What a student's answers show.

    Attributes:
        repetitive: Share of the answers that repeat an n-gram over and over, see `is_repetitive`.
        agreement: Share of the answers that are the recorded ones, token for token.
    """

    repetitive: float
    agreement: float


@torch.no_grad()
def image_signs(
    student: ImageModel, records: Sequence[ImageTrajectory], sampling: ImageSampling
) -> ImageSigns:
    """Generate from the prompts of recorded images, with their seeds, and compare.

    Args:
        student: Network in eval mode.
        records: Of different prompts.
        sampling: How the student is sampled.
    """
    recorded = torch.stack([record.codes.long() for record in records])
    prompts = [record.prompt_ids.tolist() for record in records]
    seeds = [record.noise_seed for record in records]
    drawn = decode_image_codes(student, prompts, sampling, seeds).cpu()
    entropy = code_entropy(recorded)
    return ImageSigns(
        code_entropy(drawn) / entropy if entropy else 1.0,
        float((drawn == recorded).double().mean()),
    )


@torch.no_grad()
def text_signs(
    student: ImageModel,
    records: Sequence[TextTrajectory | DenoisedText],
    decoding: TextDecoding,
) -> TextSigns:
    """Answer the recorded questions, and compare.

    Args:
        student: Network in eval mode, which writes text.
        records: Recorded answers.
        decoding: How the student decodes.
    """
    images = torch.stack([record.image for record in records])
    images = images if images.is_floating_point() else images.long()
    prompts = [record.prompt_ids.tolist() for record in records]
    results = decoding.decode(student, images, prompts, range(len(records)))
    answers = [result.tokens for result in results]
    repeats = [is_repetitive(answer, LONGEST_NGRAM, MAX_REPEATS) for answer in answers]
    same = [
        answer == record.answer_ids.tolist()
        for answer, record in zip(answers, records, strict=True)
    ]
    return TextSigns(sum(repeats) / len(records), sum(same) / len(records))
