"""ImageReward, in a process of its own: its libraries cannot live beside ours."""

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch
from PIL import Image
from torch import Tensor

from ..errors import UserError
from ..utils.images import to_bytes
from .names import NamedMetric
from .weights import BERT_VOCABULARY, IMAGE_REWARD, required_file

WORKER = Path(__file__).with_name("image_reward_worker.py")
REQUIREMENTS = Path(__file__).with_name("image_reward_requirements.txt")


class ImageReward(NamedMetric):
    """Mean reward of images for their prompts, by a model of people's choices.

    Unit: standard deviations of the reward over the authors' images; 0 is their mean, published
    text-to-image models reach up to about 1.

    Source: ImageReward (arXiv 2304.05977), through its package.

    Args:
        environment: Folder of the package and its libraries; the error that says it is missing
            tells how to make it.
        weights: The released `ImageReward.pt`.
        med_config: The released `med_config.json`.
        tokenizer: Folder of the tokenizer `bert-base-uncased`, with its `vocab.txt`.
        device: Where the model runs: `cpu` or `cuda`.
        restarts: How often a process that died is started again, for one batch.
        options: `name`, what tables call it; others are those of torchmetrics.

    Raises:
        UserError: If something is missing, or the process cannot load the model.
    """

    higher_is_better = True
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(
        self,
        environment: Path = Path("weights/image-reward-environment"),
        weights: Path = Path("weights/ImageReward.pt"),
        med_config: Path = Path("weights/med_config.json"),
        tokenizer: Path = Path("weights/bert-base-uncased"),
        device: str = "cpu",
        restarts: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not Path(environment).is_dir():
            raise UserError(
                f"ImageReward needs an environment of its own, and {environment} does not exist; "
                f"make it with: pip install --no-deps --target {environment} -r {REQUIREMENTS}"
            )
        required_file(weights, IMAGE_REWARD, "ImageReward")
        required_file(med_config, IMAGE_REWARD, "ImageReward")
        required_file(Path(tokenizer) / "vocab.txt", BERT_VOCABULARY, "ImageReward")
        files = [str(weights), str(med_config), str(tokenizer), device]
        self.worker = Worker(Path(environment), files, restarts)
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> None:
        """Add images.

        Args:
            pixels: `(batch, 3, height, width)` in [-1, 1].
            metadata: Of each image, with its `prompt`.
        """
        prompts = [str(entry["prompt"]) for entry in metadata]
        rewards = self.worker.ask(prompts, [_png(image) for image in to_bytes(pixels)])
        self.total += sum(rewards)
        self.count += len(rewards)

    def compute(self) -> Tensor:
        """The mean; NaN without images."""
        return (self.total / self.count).float()


class Worker:
    """A process that is started when it is first asked, and again when it has died.

    Args:
        environment: Put first on its `PYTHONPATH`.
        arguments: Of the script.
        restarts: How often it is started again for one request.
    """

    def __init__(self, environment: Path, arguments: Sequence[str], restarts: int = 2) -> None:
        self.environment = environment
        self.arguments = list(arguments)
        self.restarts = restarts
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None

    def ask(self, prompts: Sequence[str], images: Sequence[str]) -> list[float]:
        """The reward of each image, given as the base64 of a PNG.

        Raises:
            UserError: If the process fails, and fails again when restarted.
        """
        request = json.dumps({"prompts": list(prompts), "images": list(images)})
        for _ in range(self.restarts + 1):
            found = self._exchange(request)
            if found is not None:
                rewards: list[float] = found["rewards"]
                return rewards
            self.close()
        raise UserError(
            f"the ImageReward process died {self.restarts + 1} times; it last said: {self._last}"
        )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._last = self._last_error()
            for pipe in (self._process.stdin, self._process.stdout, self._errors):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # of a request that no one was there to read
                        pipe.close()
            self._process = None

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Copies, and other processes, start one of their own."""
        return self.__dict__ | {"_process": None, "_errors": None}

    def _exchange(self, request: str) -> dict[str, Any] | None:
        """The reply to a request; None if the process has died."""
        try:
            if self._process is None:
                self._start()
                if self._reply() is None:
                    return None
            assert self._process is not None and self._process.stdin is not None
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            return self._reply()
        except BrokenPipeError:
            return None

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile(  # noqa: SIM115, closed with the process
            "w+", encoding="utf-8", errors="replace"
        )
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | {"PYTHONPATH": str(self.environment.resolve())},
            text=True,
        )

    def _reply(self) -> dict[str, Any] | None:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return None
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise UserError(f"ImageReward failed: {' '.join(reply['error'].split())[:300]}")
        return reply

    def _last_error(self) -> str:
        if self._errors is None or self._errors.closed:  # this object is being collected
            return "nothing"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return lines[-1] if lines else "nothing"


def _png(image: Any) -> str:
    content = BytesIO()
    Image.fromarray(image).save(content, format="PNG")
    return base64.b64encode(content.getvalue()).decode("ascii")
