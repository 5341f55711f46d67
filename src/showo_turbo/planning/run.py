"""What of a run's configuration decides its memory, time and disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from ..errors import UserError, check_kind
from ..losses.term import LossTerm
from ..losses.terms import published_losses
from ..models.checkpoints import read_config, resolve_folder
from ..models.magvitv2 import MAGVITv2Config
from ..models.masked_text import MaskedTextModel
from ..models.registry import OURS, family_and_config, import_family

RELEASED: dict[str, tuple[str, dict[str, int]]] = {
    "showlab/show-o": ("Showo", {"image_tokens": 256}),
    "showlab/show-o-512x512": ("Showo", {"image_tokens": 1024}),
    "Gen-Verse/MMaDA-8B-MixCoT": ("MMaDA", {}),
}
"""Families of released models, and sizes that differ from the defaults; a plan downloads none."""

_SIZES = ("hidden_size", "intermediate_size", "layers", "max_text_length")
"""What a configuration has, beside a `ModelConfig`, for its memory to be estimated."""

_STATES = {"AdamW": 8.0, "Adam": 8.0, "MuonWithAdamW": 8.0, "EightBitAdamW": 2.03, "SGD": 0.0}
"""Bytes of an optimizer's state for each trained parameter, at most."""

_SHARDING = ("FullySharded", "FSDPStrategy")


@dataclass(frozen=True)
class StageOfRun:
    """What of a stage decides what is collected in it.

    Attributes:
        epochs: Passes over its image trajectories.
        rounds: How often it collects.
        images: Image trajectories to collect.
        texts: Text trajectories to collect.
        sampling_steps: Denoising steps of an image.
        guided: Whether every image is computed twice.
        segments: Segments of image trajectories.
        text_steps: Denoising steps of an answer, where answers are denoised.
    """

    epochs: int
    rounds: int
    images: int
    texts: int
    sampling_steps: int
    guided: bool
    segments: int
    text_steps: int


@dataclass(frozen=True)
class Run:
    """What is planned; see `read_run`.

    Attributes:
        model: Sizes of the network, a `ModelConfig`.
        family: Its class.
        image_tokenizer: Sizes of the image tokenizer.
        batches: Samples of each stream on one device.
        streams: Those that are trained on, with their terms.
        language_length: Longest plain text in tokens.
        answer_length: Longest answer in tokens.
        block_size: Text tokens decoded together.
        checkpointing: What is recomputed of activations: `layers`, `elementwise`, or nothing.
        by_stream: Whether streams have backward passes of their own.
        bfloat16: Whether arithmetic is in bfloat16.
        teacher: Whether a teacher stays beside the student.
        average: Whether an average of the student is kept.
        optimizer: Name of its class.
        state_bytes: Bytes of its state a parameter.
        copies_states: Whether a step makes a temporary copy as large as the weights.
        keeps_states: Whether it has its state while a later stage collects.
        on_gpu: Whether an accelerator is used.
        devices: How many.
        sharded: Whether weights are sharded over them.
        bucket_copies: Whether gradients are exchanged as copies of themselves.
        collect_batch: Samples that are collected at once.
        topk_targets: Codes recorded of a distribution.
        stages: The curriculum's.
    """

    model: Any
    family: type
    image_tokenizer: MAGVITv2Config
    batches: Mapping[str, int]
    streams: Mapping[str, tuple[LossTerm, ...]]
    language_length: int
    answer_length: int
    block_size: int
    checkpointing: str | None
    by_stream: bool
    bfloat16: bool
    teacher: bool
    average: bool
    optimizer: str
    state_bytes: float
    copies_states: bool
    keeps_states: bool
    on_gpu: bool
    devices: int
    sharded: bool
    bucket_copies: bool
    collect_batch: int
    topk_targets: int
    stages: tuple[StageOfRun, ...]

    @property
    def denoised(self) -> bool:
        """Whether texts are denoised."""
        return issubclass(self.family, MaskedTextModel)

    @property
    def text_vocabulary_size(self) -> int:
        """Text tokens that the network tells apart; 0 for a family that writes none."""
        return int(getattr(self.model, "text_vocabulary_size", 0))


def read_run(config: Mapping[str, Any], devices: int | None = None) -> Run:
    """Read a full configuration of `fit`.

    Args:
        config: With all defaults in it.
        devices: In place of the configuration's.

    Raises:
        UserError: If it is of a kind that cannot be estimated.
    """
    kind = _name(config["model"])
    if kind != "ShowoTurbo":
        raise UserError(f"plan estimates runs of ShowoTurbo, not of {kind}; name another file")
    options, trainer = config["model"]["init_args"], config["trainer"]
    if options.get("lora") is not None:
        raise UserError("plan does not estimate lora; leave it out for the memory without it")
    family, model = _model_of(options)
    curriculum = _options_of(trainer.get("callbacks"), "Curriculum")
    if not curriculum:
        raise UserError("plan needs the Curriculum of the run; list it under trainer.callbacks")
    terms = _terms(options)
    batches = {name: int(count or 0) for name, count in _batch_sizes(config).items()}
    strategy, given = _strategy(trainer.get("strategy"))
    count = _devices(trainer.get("devices"), devices)
    optimizer = options.get("optimizer") or {"class_path": "torch.optim.AdamW"}
    settings = optimizer.get("init_args") or {}
    on_gpu = trainer.get("accelerator") != "cpu"
    name = _name(optimizer)
    precision = str(trainer.get("precision"))
    plugins = trainer.get("plugins") or []
    targets = [
        options.get("consistency_target"),
        *(s.get("consistency_target") for s in _stages(curriculum)),
    ]
    stages = _stages(curriculum)
    return Run(
        model=model,
        family=family,
        image_tokenizer=_tokenizer_of(options.get("image_tokenizer")),
        batches=batches,
        streams={
            stream: found
            for stream, count in batches.items()
            if count and (found := tuple(term for term in terms if term.stream == stream))
        },
        language_length=int(options["max_language_length"]),
        answer_length=int(options["decoding"]["max_new_tokens"]),
        block_size=int(options["decoding"]["block_size"]),
        checkpointing=_checkpointing(options.get("gradient_checkpointing")),
        by_stream=bool(options.get("backward_by_stream")),
        bfloat16=precision.startswith("bf16") or any(_name(p) == "AutoPrecision" for p in plugins),
        teacher=any(_name(t) not in ("StudentTarget", "AverageTarget") for t in targets if t),
        average=any(_name(c).endswith("WeightAveraging") for c in trainer.get("callbacks") or ()),
        optimizer=name,
        state_bytes=4.0 if name == "SGD" and settings.get("momentum") else _STATES.get(name, 8.0),
        copies_states=on_gpu and name in ("AdamW", "Adam") and not settings.get("fused"),
        keeps_states=any(stage.get("keep_optimizer") for stage in stages[1:]),
        on_gpu=on_gpu,
        devices=count,
        sharded=count > 1 and strategy in _SHARDING,
        bucket_copies=count > 1
        and "ddp" in strategy.lower()
        and not given.get("gradient_as_bucket_view"),
        collect_batch=int(curriculum["batch_size"]),
        topk_targets=int(curriculum["topk_targets"]),
        stages=tuple(_stage(stage, options) for stage in stages),
    )


def _model_of(options: Mapping[str, Any]) -> tuple[type, Any]:
    """Class and sizes of the network."""
    name, family = str(options["student"]), options.get("family")
    if family is None and name in RELEASED:
        architecture, changes = RELEASED[name]
        kind = import_family(OURS[architecture])
        return kind, kind.config_class(**changes)
    kind, sizes = family_and_config(name, family)
    missing = [member for member in _SIZES if not hasattr(sizes, member)]
    if missing:
        raise UserError(
            f"plan does not know the sizes of {kind.__name__}: its configuration has no "
            f"{', '.join(missing)}; add them to {type(sizes).__name__}"
        )
    return kind, sizes


def _tokenizer_of(name: object) -> MAGVITv2Config:
    """Sizes of the image tokenizer; of one on the hub those that are released."""
    if name is None or (str(name).count("/") == 1 and str(name) != "shapes"):
        return MAGVITv2Config()
    return MAGVITv2Config.from_dict(read_config(resolve_folder(str(name), "magvitv2")))


def _checkpointing(value: Any) -> str | None:
    return None if not value else value if isinstance(value, str) else "layers"


def _stage(stage: Mapping[str, Any], options: Mapping[str, Any]) -> StageOfRun:
    merged = {**options["teacher_sampling"], **_changes(stage, "sampling")}
    decoding = options.get("teacher_decoding") or options["decoding"]
    decoding = {**decoding, **_changes(stage, "decoding")}
    refresh, epochs = int(stage.get("refresh_every_n_epochs") or 0), int(stage["epochs"])
    return StageOfRun(
        epochs=epochs,
        rounds=-(-epochs // refresh) if refresh else 1,
        images=int(stage.get("image_trajectories") or 0)
        * int(stage.get("images_per_caption") or 1),
        texts=int(stage.get("text_trajectories") or 0),
        sampling_steps=int(merged["sampling_steps"]),
        guided=float(merged["guidance_scale"] or 0) > 0,
        segments=int(stage["image_segments"]),
        text_steps=int(decoding.get("sampling_steps") or decoding["max_new_tokens"]),
    )


def _changes(stage: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in (stage.get(name) or {}).items() if value is not None}


def _stages(curriculum: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(curriculum["stages"])


def _terms(options: Mapping[str, Any]) -> list[LossTerm]:
    """The loss terms that have a weight, the published ones where none are named."""
    named = options.get("losses")
    terms = published_losses().values() if not named else map(_term, named.values())
    return [term for term in terms if term.weight > 0]


def _term(given: Mapping[str, Any]) -> LossTerm:
    """A loss term as the configuration describes it.

    Raises:
        UserError: If it is not a loss term.
    """
    kind = resolve_name(given["class_path"])
    term = kind(**(given.get("init_args") or {}))
    check_kind(term, LossTerm, "a term of the loss")
    return term  # type: ignore[no-any-return]


def _batch_sizes(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config["data"]["init_args"]["batch_sizes"]  # type: ignore[no-any-return]


def _strategy(value: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and options of the strategy.

    Raises:
        UserError: If its memory is not known.
    """
    name = value if isinstance(value, str) else _name(value) if value else "auto"
    name = {"fsdp": "FSDPStrategy"}.get(name, name)
    known = ("auto", "SingleDeviceStrategy", *_SHARDING)
    if name not in known and "ddp" not in name.lower():
        raise UserError(
            f"plan does not know the memory of {name}; expected DDP, FullySharded, FSDP or one "
            "device"
        )
    return name, {} if isinstance(value, str) or not value else value.get("init_args") or {}


def _devices(value: Any, asked: int | None) -> int:
    """How many devices the run has.

    Raises:
        UserError: If that is for the machine to say, or is not a number.
    """
    if asked is not None:
        if asked < 1:
            raise UserError(f"--devices is {asked}; expected at least 1")
        return asked
    if isinstance(value, list):
        return len(value)
    text = str(value)
    if text == "auto":
        return 1
    if not text.isdigit() or text == "0":
        raise UserError(f"trainer.devices is {text}, all of a machine; say how many by --devices 8")
    return int(text)


def _options_of(callbacks: Any, name: str) -> Mapping[str, Any]:
    for entry in callbacks or ():
        if _name(entry) == name:
            return entry.get("init_args") or {}
    return {}


def _name(value: Any) -> str:
    """The bare name of a class that a configuration names."""
    path = value if isinstance(value, str) else (value or {}).get("class_path", "")
    return str(path).rpartition(".")[2]
