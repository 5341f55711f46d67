"""Model folders: where a model id points, and reading and writing the released layout."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import UserError, shown
from ..utils.files import read_json, write_atomically, write_json
from .weight_files import SHARDS, WEIGHT_FILES, WEIGHTS, first_line, load_state

Kind = Literal["showo", "magvitv2", "clip"]

SHAPES, SHAPES_MMADA = "shapes", "shapes-mmada"
"""Model ids of the small models that ship with the package: Show-o and MMaDA."""

INCLUDED = (SHAPES, SHAPES_MMADA)
"""All of them."""

MODEL_CONFIG_KEY, MAGVITV2_CONFIG_KEY = "showo_config", "magvitv2_config"
"""Where checkpoints of training keep the sizes of the network that they train (the first is that of
every model family, named after the oldest)..."""

TEXT_TOKENIZER_KEY, IMAGE_TOKENIZER_KEY = "text_tokenizer", "image_tokenizer"
VISION_ENCODER_KEY = "vision_encoder"
"""...and the ids of what goes with it, so that they can be exported on their own."""

IMAGE_TOKENIZER_FOLDER, VISION_ENCODER_FOLDER = "image_tokenizer", "vision_encoder"
"""Where a model's folder holds its image tokenizer and its vision encoder, if it does."""

_ACCEPT_NON_FINITE = ContextVar("accept_non_finite", default=False)


def resolve_folder(
    model: str | Path,
    kind: Kind,
    patterns: Sequence[str] = (
        "*.json",
        *WEIGHT_FILES,
        SHARDS,
        f"{IMAGE_TOKENIZER_FOLDER}/*",
        f"{VISION_ENCODER_FOLDER}/*",
    ),
) -> Path:
    """Find the local folder of a model, downloading it when it is a hub id.

    Args:
        model: `shapes` or `shapes-mmada` (they ship with the package), a local folder, or a hub id
            `owner/name`.
        kind: Which network is wanted: those that ship hold a `magvitv2` and a `showo`, the latter
            of whichever family.
        patterns: Files to download from the hub.

    Raises:
        UserError: If it is neither a folder nor something that the hub delivers.
    """
    if str(model) in INCLUDED:
        part = "mmada" if str(model) == SHAPES_MMADA and kind == "showo" else kind
        return Path(str(resources.files("showo_turbo") / "assets" / SHAPES / part))
    folder = Path(model)
    if folder.is_dir() and str(model):
        return folder
    if str(model).count("/") != 1 or folder.is_absolute() or str(model).startswith("."):
        raise UserError(
            f"model {shown(str(model))} is not a folder; expected {SHAPES!r}, {SHAPES_MMADA!r}, a "
            "local folder or a hub id such as 'showlab/show-o', correct the name"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), allow_patterns=list(patterns)))
    except Exception as error:  # every failure of the hub client: offline, unknown id, gated
        raise UserError(
            f"model {shown(str(model))} is not a local folder and could not be downloaded "
            f"({first_line(error)}); correct the name, or see to the connection"
        ) from None


def local_folder(model: str | Path, kind: Kind) -> Path | None:
    """The folder of a model that has been loaded; None if it is not found without asking a hub."""
    if str(model) in INCLUDED or Path(model).is_dir():
        return resolve_folder(model, kind)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), local_files_only=True))
    except Exception:  # whatever is wrong with the name or the cache
        return None


def is_portable(model: str | None) -> bool:
    """Whether a model id means the same on every machine: `shapes` or a hub id, but no folder."""
    if model is None or model in INCLUDED:
        return True
    return (
        model.count("/") == 1 and not model.startswith((".", "/", "~")) and not Path(model).exists()
    )


def without_folders(config: Any, names: Sequence[str | None]) -> Any:
    """The values of a `config.json` with null in place of these names, where they are folders.

    Args:
        config: Plain JSON.
        names: Model ids, such as those of the tokenizers that the folder itself holds.
    """
    if isinstance(config, Mapping):
        return {key: without_folders(value, names) for key, value in config.items()}
    if isinstance(config, str) and config in names and not is_portable(config):
        return None
    return config


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model folder's `config.json`.

    Raises:
        UserError: If it is missing or no JSON object.
    """
    if not (folder / "config.json").exists():
        raise UserError(
            f"{folder} is not a model folder: {folder / 'config.json'} does not exist; expected a "
            "JSON file with the network's sizes, correct the name or export it again"
        )
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise UserError(
            f"{folder / 'config.json'} holds no JSON object; expected sizes, restore the file"
        )
    return config


@contextmanager
def accept_non_finite() -> Iterator[None]:
    """Load weights within this context as they are: those of a run that went wrong."""
    before = _ACCEPT_NON_FINITE.set(True)
    try:
        yield
    finally:
        _ACCEPT_NON_FINITE.reset(before)


def load_state_into(
    network: nn.Module, folder: Path, adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict
) -> None:
    """Fill a network, usually built on the meta device, with a folder's weights in float32.

    Args:
        network: The network.
        folder: The model's.
        adapt: Makes the network's weights of those in the file.

    Raises:
        UserError: If keys are missing or unexpected, shapes differ, or values are not finite,
            naming them.
    """
    state = adapt(load_state(folder))
    expected = network.state_dict()
    misfits = describe_misfits(expected, state)
    if misfits:
        raise UserError(
            f"the weights in {folder} do not fit its config.json: {misfits}; restore both from "
            "where they come from"
        )
    if not _ACCEPT_NON_FINITE.get():
        check_finite(state, f"the weights in {folder}")
    state = {key: value.to(expected[key].dtype) for key, value in state.items()}
    buffers = dict(network.named_buffers())
    network.load_state_dict(state, assign=True)
    _restore_buffers(network, {name for name in buffers if name not in state})


def describe_misfits(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """One line on how a state dict differs in keys and shapes; empty when it fits."""
    missing = sorted(expected.keys() - given.keys())
    unexpected = sorted(given.keys() - expected.keys())
    misshaped = [
        f"{key} is {tuple(given[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & given.keys())
        if given[key].shape != expected[key].shape
    ]
    parts = [("missing", missing), ("unexpected", unexpected), ("wrong shape", misshaped)]
    return "; ".join(
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in parts
        if names
    )


def check_finite(state: Mapping[str, Tensor], name: str) -> None:
    """Raise on weights that are NaN or Inf, which would spoil all that is made with them.

    Args:
        state: Tensors by their names.
        name: What they are, for the message.

    Raises:
        UserError: Naming the first such tensor.
    """
    for key, value in state.items():
        broken = int((~value.isfinite()).sum())
        if broken:
            raise UserError(
                f"{name} hold {broken} values that are NaN or infinite in {key}; expected finite "
                f"numbers, use an earlier export"
            )


def save_checkpoint(folder: Path, state: Mapping[str, Tensor], config: dict[str, Any]) -> None:
    """Write `pytorch_model.safetensors` and `config.json`, each atomically, config last."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with write_atomically(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_json(folder / "config.json", config)


def _restore_buffers(network: nn.Module, names: set[str]) -> None:
    """Recompute buffers that no checkpoint holds (rotary frequencies) after meta construction."""
    for name in names:
        owner_name, _, leaf = name.rpartition(".")
        owner = network.get_submodule(owner_name)
        if not getattr(owner, leaf).is_meta:
            continue
        if not hasattr(owner, "config"):
            raise UserError(
                f"{type(network).__name__} has the buffer {name}, which no checkpoint holds; "
                "register it with persistent=True"
            )
        rebuilt = type(owner)(owner.config)
        for leaf_name, buffer in rebuilt.named_buffers(recurse=False):
            setattr(owner, leaf_name, buffer)
