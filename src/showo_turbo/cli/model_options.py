"""The options of every command that loads a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..utils.hashing import fingerprint_module
from ..utils.remembered import remembered
from ..version import __version__

if TYPE_CHECKING:
    from torch import nn

    from ..inference import ShowoPipeline


@dataclass(frozen=True)
class ModelOptions:
    """The model, and where it runs.

    Args:
        model: `shapes` (ships with the package), a folder, or a hub id such as
            `showlab/show-o-512x512`.
        image_tokenizer: Likewise; by default the one in the model's folder, else what its
            config.json names, which is `showlab/magvitv2` for the released ones.
        text_tokenizer: Likewise; by default the tokenizer.json in the model's folder, else what its
            config.json names.
        vision_encoder: Likewise, for a model that reads images through one; by default the one in
            the model's folder, else what its config.json names, which is
            `openai/clip-vit-large-patch14-336` for the released ones.
        device: `cpu`, `cuda`, `cuda:1`, ...; by default a GPU if there is one.
        dtype: Floating-point type of the transformer; by default float32, or bfloat16 with
            `compile`.
        compile: Decode with compiled code in static shapes, for accelerators. The first batch of
            every shape takes a minute or more.
        family: Class of the model, where it is of a family of your own: its import path, such as
            `my_module.MyModel`.
    """

    model: str = "shapes"
    image_tokenizer: str | None = None
    text_tokenizer: str | None = None
    vision_encoder: str | None = None
    device: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    compile: bool = False
    family: str | None = None

    def load(self) -> "ShowoPipeline":
        """Load the model with its tokenizers.

        Raises:
            UserError: If something is missing or damaged or does not belong together.
        """
        from ..inference import ShowoPipeline

        return ShowoPipeline.from_pretrained(
            self.model,
            self.image_tokenizer,
            self.text_tokenizer,
            self.device,
            self.dtype,
            self.compile,
            self.family,
            vision_encoder=self.vision_encoder,
        )

    def settings(self, command: str, pipeline: "ShowoPipeline") -> dict[str, Any]:
        """What determines a command's results as far as the model goes; see `RunFolder`.

        Args:
            command: The command's name.
            pipeline: The model, as `load` gave it.
        """
        from ..inference.loading import own_folder
        from ..models.checkpoints import IMAGE_TOKENIZER_FOLDER, local_folder

        own = own_folder(self.model, IMAGE_TOKENIZER_FOLDER)
        tokenizer = self.image_tokenizer or own or str(pipeline.network.config.image_tokenizer)
        return {
            "command": command,
            "model": self.model,
            "dtype": str(pipeline.network.dtype).removeprefix("torch."),
            "showo": _fingerprint(pipeline.network, local_folder(self.model, "showo")),
            "image_tokenizer": _fingerprint(
                pipeline.image_tokenizer, local_folder(tokenizer, "magvitv2")
            ),
        }


def _fingerprint(network: "nn.Module", folder: Path | None) -> str:
    """The fingerprint of a network as it was loaded; its files are not hashed again and again."""

    def find_out() -> str:
        return fingerprint_module(network)

    if folder is None:
        return find_out()
    dtype = next(network.parameters()).dtype
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return remembered(files, f"{type(network).__name__} {dtype} {__version__}", find_out)
