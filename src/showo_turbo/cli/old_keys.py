"""Keys of earlier versions, in YAML files and on command lines, and what they are now."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from ..errors import UserError

_TARGETS = {"student": "StudentTarget", "teacher": "TeacherTarget", "ema": "AverageTarget"}


def _renamed(name: str) -> str:
    return f"{name}; rename it"


def _moved(place: str) -> str:
    return f"{place}; move it there"


_EVERYWHERE = {
    "kept_codes": _renamed("topk_targets"),
    "order_seed": _renamed("shared_noise_seed"),
}
_STAGE = {
    f"stages.*.{old}": _moved(f"{new} within the stage's sampling")
    for old, new in {
        "steps": "sampling_steps",
        "guidance_scale": "guidance_scale",
        "confidence_temperature": "confidence_temperature",
        "shared_noise_seed": "shared_noise_seed",
        "order_seed": "shared_noise_seed",
    }.items()
}
_EVALUATION = {
    "evaluation.steps": _renamed("sampling_steps"),
    "evaluation.fit_steps": _renamed("fit_sampling_steps"),
    "evaluation.baseline": _renamed("teacher"),
    "evaluation.baseline_sampling": "teacher_samplings, a list; write it so",
    "evaluation.order_seed": _moved("shared_noise_seed of the model's sampling"),
    "evaluation.max_new_tokens": _moved("max_new_tokens of the model's decoding"),
} | {
    f"evaluation.{name}": _moved(f"{name} of the model's sampling")
    for name in (
        "mask_schedule",
        "token_temperature",
        "confidence_temperature",
        "shared_noise_seed",
        "top_k",
    )
}
_FILES = {
    name: f"{{class_path: {kind}, init_args: {{...}}}}; write it so"
    for name, kind in {
        "captions": "CaptionFiles",
        "val_captions": "CaptionFiles",
        "instructions": "InstructionFiles",
        "val_instructions": "InstructionFiles",
        "web_text": "TextFiles",
    }.items()
}

_CORPUS = {"shapes": "{class_path: ShapesWorld, init_args: {...}}; write it so"}

_OLD: dict[str, dict[str, str]] = {
    "": {"baseline": _renamed("teacher")},  # an option of `validate`
    "Curriculum": _STAGE
    | {
        "stages.*.sampling.steps": _renamed("sampling_steps"),
        "stages.*.final_learning_rate": (
            "the end of an lr_scheduler, such as torch.optim.lr_scheduler.LinearLR; name one"
        ),
        "mask_schedule": _moved("mask_schedule of the model's teacher_sampling"),
        "block_size": _moved("block_size of the model's decoding"),
        "max_new_tokens": _moved("max_new_tokens of the model's decoding"),
    },
    "ShowoTurbo": _EVALUATION
    | {
        "sampling.steps": _renamed("sampling_steps"),
        "teacher_sampling.steps": _renamed("sampling_steps"),
        "weights": (
            "losses, a mapping of names to loss terms; write it as losses: {image_regularizer: "
            "{class_path: ImageRegularizer, init_args: {weight: 1.0}}}"
        ),
        "consistency_target": (
            f"{{class_path: {' | '.join(_TARGETS.values())}}}; name the target's class"
        ),
    },
    "PretrainShowo": _EVALUATION | {"sampling.steps": _renamed("sampling_steps")},
    "DistillationDataModule": _FILES | _CORPUS,
    "PretrainDataModule": _FILES | _CORPUS,
    "ImageDataModule": _FILES | _CORPUS,
    "SpeedupReport": {
        "settings.steps": _renamed("sampling_steps"),
        "settings.stage_steps": _renamed("stage_sampling_steps"),
        "settings.student_guidance": "guidance_scales, with 0.0 for none; write it so",
        "settings.max_new_tokens": _moved("max_new_tokens of the settings' decoding"),
        "settings.block_size": _moved("block_size of the settings' decoding"),
        "settings.sampling.steps": _renamed("sampling_steps"),
        "settings.teacher_samplings.*.steps": _renamed("sampling_steps"),
    },
    "SampleGrid": {"samplings.*.steps": _renamed("sampling_steps")},
    # Commands of their own.
    "generate": {"steps": _renamed("sampling_steps")},
    "export": {"sampling.steps": _renamed("sampling_steps")},
    "answer": {"decoding": _renamed("method")},
    "collect": {
        "images.steps": _renamed("images.sampling.sampling_steps"),
        "images.guidance_scale": _renamed("images.sampling.guidance_scale"),
        "images.mask_schedule": _renamed("images.sampling.mask_schedule"),
        "images.confidence_temperature": _renamed("images.sampling.confidence_temperature"),
        "images.shared_noise_seed": _renamed("images.sampling.shared_noise_seed"),
        "images.order_seed": _renamed("images.sampling.shared_noise_seed"),
        "texts.max_new_tokens": _renamed("texts.decoding.max_new_tokens"),
        "texts.block_size": _renamed("texts.decoding.block_size"),
    },
}
"""Class or command -> dotted key below it (`*` is any entry of a list) -> what it is now."""


def _is_plain_files(value: Any) -> bool:
    names = {"images", "annotations", "files", "column"}
    return isinstance(value, dict) and bool(value) and names >= set(value)


_ONLY_IF: dict[str, Callable[[Any], bool]] = {
    "consistency_target": lambda value: isinstance(value, str) and value in _TARGETS,
    **dict.fromkeys(_FILES, _is_plain_files),
    "shapes": lambda value: isinstance(value, dict) and "folder" in value,
}
"""Keys that are still there, with other values than these."""

_CLASS_OF_SECTION = {"model": "ShowoTurbo", "data": "DistillationDataModule"}
"""Whose options a section has where no class is named."""

_UNKNOWN = object()


def check_config(name: str, config: Mapping[str, Any], command: str) -> None:
    """Raise on old keys in the content of a YAML file.

    Args:
        name: The file's.
        config: Its content.
        command: The command that reads it.

    Raises:
        UserError: Naming the first old key, and what it is now.
    """
    owner = command if command in _OLD else ""
    _refuse(f"{name}: {found}" for found in _in_value(config, owner, (), ""))


def check_options(
    arguments: Sequence[str], command: str, classes: Mapping[str, str] | None = None
) -> None:
    """Raise on old names of options on a command line.

    Args:
        arguments: The command line.
        command: The command.
        classes: Sections (`model`, `data`) -> class that YAML files name for them.

    Raises:
        UserError: Naming the first old option, and what it is now.
    """
    owner = command if command in _OLD else ""
    known = _CLASS_OF_SECTION | dict(classes or {})
    for place, argument in enumerate(arguments):
        if not argument.startswith("--"):
            continue
        option, given, text = argument[2:].partition("=")
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        value = _parsed(text if given else following)
        key = option.removesuffix("+").removesuffix(".class_path")
        if key in ("model", "data", "trainer.callbacks") and isinstance(value, str):
            known[key] = _bare(value)
        _refuse(_in_key(option, value, owner, known, f"--{option}"))


def check_sweep(name: str, content: Mapping[str, Any]) -> None:
    """Raise on old keys among those that a sweep varies or sets.

    Args:
        name: The sweep file's.
        content: Its content.

    Raises:
        UserError: Naming the first old key, and what it is now.
    """
    for part in ("parameters", "overrides", "variants"):
        for key, value in _items(content.get(part)):
            if part == "parameters":
                entries = [(key, choice) for choice in value] if isinstance(value, list) else []
                entries = entries or [(key, _UNKNOWN)]
            else:
                entries = list(_items(value)) if part == "variants" else [(key, value)]
            for dotted, entry in entries:
                found = _in_key(dotted, entry, "", _CLASS_OF_SECTION, dotted)
                _refuse(f"{name}: {text}" for text in found)


def classes_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The class that a configuration names for each section that has one."""
    named = {section: config.get(section) for section in _CLASS_OF_SECTION}
    return {
        section: _bare(value if isinstance(value, str) else str(value["class_path"]))
        for section, value in named.items()
        if isinstance(value, str) or (isinstance(value, dict) and "class_path" in value)
    }


def _refuse(found: Iterator[str]) -> None:
    for message in found:
        raise UserError(message)


def _in_key(
    key: str, value: Any, owner: str, classes: Mapping[str, str], shown: str
) -> Iterator[str]:
    """What is old in a dotted key and its value."""
    below: tuple[str, ...] = ()
    parts = key.split(".")
    for number, part in enumerate(parts, 1):
        if part == "init_args":
            continue
        if not owner and not below and part in _CLASS_OF_SECTION:
            owner = classes[part]
        elif not owner and below == ("trainer", "callbacks") and not part.isdigit():
            is_class = part in _OLD
            owner = part if is_class else classes.get("trainer.callbacks", "")
            below = () if is_class else (part,)
        else:
            below = (*below, "*" if part.isdigit() else part)
        now = _now(owner, below, value if number == len(parts) else _UNKNOWN)
        if now:
            yield f"{shown} is now {now}"
            return
    yield from _in_value(value, owner, below, shown)


def _in_value(value: Any, owner: str, below: tuple[str, ...], shown: str) -> Iterator[str]:
    """What is old in a part of a configuration.

    Args:
        value: The part.
        owner: The class or command that it belongs to; empty if that is not one of ours.
        below: Its key below that.
        shown: Its key for people.
    """
    now = _now(owner, below, value)
    if now:
        yield f"{shown} is now {now}"
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _in_value(entry, owner, (*below, "*"), f"{shown}[{index}]")
    elif isinstance(value, dict):
        if "class_path" in value:
            owner, below, shown = _bare(str(value["class_path"])), (), ""
        elif not owner and len(below) == 1 and below[0] in _CLASS_OF_SECTION:
            owner, below = _CLASS_OF_SECTION[below[0]], ()
        for name, entry in value.items():
            key = str(name)
            if key == "init_args":
                yield from _in_value(entry, owner, below, shown)
            elif key != "class_path":
                yield from _in_value(entry, owner, (*below, key), f"{shown}.{key}".lstrip("."))


def _now(owner: str, below: tuple[str, ...], value: Any) -> str | None:
    """What a key is now, or None if there is nothing to say about it."""
    if owner not in _OLD or not below:
        return None
    key = ".".join(below)
    now = _OLD[owner].get(key) or _EVERYWHERE.get(below[-1])
    return now if now and _ONLY_IF.get(key, lambda _: True)(value) else None


def _bare(class_path: str) -> str:
    return class_path.rpartition(".")[2]


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((str(key), entry) for key, entry in value.items())


def _parsed(text: str) -> Any:
    """An option's value: a mapping or a list if it is written so, else the text."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
