"""Weights of the networks that judge images: where they come from, and what to do without."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError


@dataclass(frozen=True)
class Download:
    """A file that a user fetches once.

    Attributes:
        name: The file's name.
        source: Where it is from.
        command: What fetches it into the folder `weights`, or one below.
    """

    name: str
    source: str
    command: str


def _hub(repository: str, *names: str, folder: str = "weights") -> Download:
    command = f"hf download {repository} {' '.join(names)} --local-dir {folder}"
    return Download(names[0], f"huggingface.co/{repository}", command)


OPEN_CLIP = _hub("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "open_clip_pytorch_model.bin")
HPS_V2 = _hub("xswu/HPSv2", "HPS_v2_compressed.pt")
IMAGE_REWARD = _hub("THUDM/ImageReward", "ImageReward.pt", "med_config.json")
BERT_VOCABULARY = _hub(
    "google-bert/bert-base-uncased",
    "vocab.txt",
    "tokenizer_config.json",
    folder="weights/bert-base-uncased",
)
MASK2FORMER = Download(
    "the folder",
    "huggingface.co/facebook/mask2former-swin-small-coco-instance",
    "hf download facebook/mask2former-swin-small-coco-instance "
    "--local-dir weights/mask2former-swin-small-coco-instance",
)
INCEPTION = Download(
    "weights-inception-2015-12-05-6726825d.pth",
    "github.com/toshas/torch-fidelity",
    "wget -P weights https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
)


def required_file(path: Path | str, download: Download, wanted_by: str) -> Path:
    """The file of weights, if it is there.

    Args:
        path: Where the user says it is.
        download: What it should be.
        wanted_by: The metric.

    Raises:
        UserError: Naming the file, where it is from and the command that fetches it.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(
            f"{wanted_by} needs {path}, which does not exist; it is {download.name} of "
            f"{download.source}, fetched by: {download.command}"
        )
    return path
