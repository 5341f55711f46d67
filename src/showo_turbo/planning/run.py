"""What of a run's configuration decides its memory, time and disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..losses.term import LossTerm
from ..models.magvitv2 import MAGVITv2, MAGVITv2Config
from ..models.masked_text import MaskedTextModel
from ..models.registry import OURS, family_and_config, import_family
from ..training.lora import LoRAOptions
from .hardware import name_of, read_hardware
from .stages import StageOfRun, read_stages
from .terms import read_terms

RELEASED: dict[str, tuple[str, dict[str, int]]] = {
    "showlab/show-o": ("Showo", {"image_tokens": 256}),
    "showlab/show-o-512x512": ("Showo", {"image_tokens": 1024}),
    "Gen-Verse/MMaDA-8B-Base": ("MMaDA", {}),
    "Gen-Verse/MMaDA-8B-MixCoT": ("MMaDA", {}),
}
"""Families of released models, and sizes that differ from the defaults; a plan downloads none."""

_SIZES = ("hidden_size", "intermediate_size", "layers", "max_text_length")
"""What a configuration has, beside a `ModelConfig`, for its memory to be estimated."""

_STATES = {"AdamW": 8.0, "Adam": 8.0, "MuonWithAdamW": 8.0, "EightBitAdamW": 2.03, "SGD": 0.0}
"""Bytes of an optimizer's state for each trained parameter, at most."""


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
        bfloat16: Whether arithmetic is in bfloat16, or in float16, which takes as much.
        teacher: Whether a teacher stays beside the student.
        average: Whether an average of the student is kept.
        base: Whether the model that training started from is kept.
        optimizer: Name of its class.
        state_bytes: Bytes of its state a parameter.
        copies_states: Whether a step makes a temporary copy as large as the weights.
        keeps_states: Whether it has its state while a later stage collects.
        on_gpu: Whether an accelerator is used.
        devices: How many, on all nodes.
        lora: Adapters that are trained in place of all weights, if any.
        perturbed: Whether the student reads noise at first that its teacher does not.
        sharded: Whether weights are sharded over them.
        bucket_copies: Whether gradients are exchanged as copies of themselves.
        collect_batch: Samples that are collected at once.
        topk_targets: Codes recorded of a distribution.
        accumulated: Batches of a device in an optimizer step.
        samples_per_epoch: Of the first stream, over all devices; None for all.
        max_steps: Optimizer steps after which the run ends, if the stages have not; None for none.
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
    base: bool
    optimizer: str
    state_bytes: float
    copies_states: bool
    keeps_states: bool
    on_gpu: bool
    devices: int
    lora: LoRAOptions | None
    perturbed: bool
    sharded: bool
    bucket_copies: bool
    collect_batch: int
    topk_targets: int
    accumulated: int
    samples_per_epoch: int | None
    max_steps: int | None
    stages: tuple[StageOfRun, ...]

    @property
    def begins_apart(self) -> bool:
        """Whether the student is not bit for bit its teacher when a round begins."""
        return self.perturbed or self.lora is not None

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
        devices: On all nodes, in place of the configuration's.

    Raises:
        UserError: If it is of a kind that cannot be estimated.
    """
    kind = name_of(config["model"])
    if kind != "ShowoTurbo":
        raise UserError(f"plan estimates runs of ShowoTurbo, not of {kind}; name another file")
    options, trainer = config["model"]["init_args"], config["trainer"]
    family, model = _model_of(options)
    curriculum = _options_of(trainer.get("callbacks"), "Curriculum")
    if not curriculum:
        raise UserError("plan needs the Curriculum of the run; list it under trainer.callbacks")
    stages = list(curriculum["stages"])
    terms, base = read_terms(options, stages)
    batches = {name: int(count or 0) for name, count in _batch_sizes(config).items()}
    by_stream = bool(options.get("backward_by_stream"))
    hardware = read_hardware(trainer, by_stream, devices)
    optimizer = options.get("optimizer") or {"class_path": "torch.optim.AdamW"}
    settings = optimizer.get("init_args") or {}
    name = name_of(optimizer)
    targets = [entry.get("consistency_target") for entry in (options, *stages)]
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
        by_stream=by_stream,
        bfloat16=hardware.half,
        teacher=any(name_of(t) not in ("StudentTarget", "AverageTarget") for t in targets if t),
        average=any(name_of(c).endswith("WeightAveraging") for c in trainer.get("callbacks") or ()),
        base=base,
        optimizer=name,
        state_bytes=4.0 if name == "SGD" and settings.get("momentum") else _STATES.get(name, 8.0),
        copies_states=hardware.on_gpu and name in ("AdamW", "Adam") and not settings.get("fused"),
        keeps_states=any(stage.get("keep_optimizer") for stage in stages[1:]),
        on_gpu=hardware.on_gpu,
        devices=hardware.devices,
        lora=None if options.get("lora") is None else LoRAOptions(**options["lora"]),
        perturbed=bool(options.get("noise_scale")),
        sharded=hardware.sharded,
        bucket_copies=hardware.bucket_copies,
        collect_batch=int(curriculum["batch_size"]),
        topk_targets=int(curriculum["topk_targets"]),
        accumulated=int(trainer.get("accumulate_grad_batches") or 1),
        samples_per_epoch=config["data"]["init_args"].get("samples_per_epoch"),
        max_steps=steps if (steps := int(trainer.get("max_steps") or -1)) >= 0 else None,
        stages=read_stages(
            stages, options, config["data"]["init_args"].get("trajectories"), batches
        ),
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
    return MAGVITv2.read_config(str(name))


def _checkpointing(value: Any) -> str | None:
    return None if not value else value if isinstance(value, str) else "layers"


def _batch_sizes(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config["data"]["init_args"]["batch_sizes"]  # type: ignore[no-any-return]


def _options_of(callbacks: Any, name: str) -> Mapping[str, Any]:
    for entry in callbacks or ():
        if name_of(entry) == name:
            return entry.get("init_args") or {}
    return {}
