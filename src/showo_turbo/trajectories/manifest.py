"""What a store of trajectories says about itself: how it was made and what is in each shard."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from ..errors import UserError, shown
from ..utils.files import read_json, write_json
from .model_identity import ModelIdentity, parse_model_identity

FORMAT = "showo-turbo trajectories"
FORMAT_VERSION = 3
"""3: distributions at a segment's end are predicted from the state there, no longer one before."""
KINDS = ("images", "texts")
_MOST = 2**63 - 1
_LONGEST_REASON = 200


ADDED = {
    "sampling.schedule_base": "image",
    "sampling.random_start": 0.0,
    "sampling.revise_below": 0.0,
    "decoding.guidance_scale": 0.0,
    "decoding.reveal_order": "confidence",
}
"""Options that came after the format, and what stores without them were made with."""


@dataclass(frozen=True)
class StoreIdentity:
    """What determines every byte of a store; two that differ in it cannot be mixed.

    Attributes:
        kind: `images` or `texts`.
        teacher: Fingerprint of the network that made the trajectories.
        prompts: Fingerprint of the prompts, or of the requests with their images.
        num_prompts: How many there are.
        shard_size: Number of prompts that go into a shard.
        settings: The settings of the collection that change what is recorded.
        model: What else whoever trains on the trajectories must share with their teacher.
    """

    kind: str
    teacher: str
    prompts: str
    num_prompts: int
    shard_size: int
    settings: dict[str, Any]
    model: ModelIdentity = field(default_factory=ModelIdentity)

    @property
    def num_shards(self) -> int:
        """Number of shard files."""
        return -(-self.num_prompts // self.shard_size)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def setting(self, name: str) -> Any:
        """A setting of the collection; None for a name without one."""
        return self.settings.get(name, ADDED.get(name))

    def shard_prompts(self, index: int) -> range:
        """Return which prompts belong to shard `index`."""
        start = index * self.shard_size
        return range(start, min(start + self.shard_size, self.num_prompts))

    def differences(self, other: "StoreIdentity") -> list[str]:
        """Return one phrase for each field in which `other` (what is asked for) differs."""
        theirs = _flat(asdict(other))
        names = {f"settings.{name}": name for name in ADDED}
        added = {key: self.setting(name) for key, name in names.items() if key in theirs}
        mine = added | _flat(asdict(self))
        return [
            f"{name} is {_short(mine.get(name))} there but {_short(theirs.get(name))} is asked for"
            for name in sorted(mine | theirs)
            if mine.get(name) != theirs.get(name)
        ]


@dataclass(frozen=True)
class Shard:
    """One finished shard file.

    Attributes:
        file: Its name in the store's folder.
        sha256: Of its bytes.
        samples: Number of trajectories in it.
        filtered: How many were left out, by reason.
        totals: Sums of statistics over its samples.
    """

    file: str
    sha256: str
    samples: int
    filtered: dict[str, int] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The whole manifest: how the store was made, and its finished shards by their index."""

    identity: StoreIdentity
    shards: dict[int, Shard] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every shard is finished."""
        return len(self.shards) == self.identity.num_shards

    @property
    def samples(self) -> int:
        """Number of trajectories."""
        return sum(shard.samples for shard in self.shards.values())

    @property
    def filtered(self) -> dict[str, int]:
        """How many trajectories were left out, by reason."""
        return {name: int(value) for name, value in self._sums("filtered").items()}

    @property
    def totals(self) -> dict[str, float]:
        """Sums of statistics over all samples."""
        return self._sums("totals")

    @property
    def mean_kept_mass(self) -> float | None:
        """Mean probability that the recorded codes hold; none if nothing of the kind is stored."""
        totals = self.totals
        kept, positions = totals.get("kept_mass"), totals.get("positions")
        return kept / positions if kept is not None and positions else None

    def _sums(self, name: str) -> dict[str, float]:
        sums: dict[str, float] = {}
        for _, shard in sorted(self.shards.items()):
            for key, value in getattr(shard, name).items():
                sums[key] = sums.get(key, 0) + value
        return dict(sorted(sums.items()))


def shard_name(kind: str, index: int) -> str:
    """Return the file name of a shard, such as `images-00003.safetensors`."""
    return f"{kind}-{index:05d}.safetensors"


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest, atomically; the same manifest always gives the same bytes."""
    write_json(
        path,
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "identity": asdict(manifest.identity),
            "complete": manifest.complete,
            "samples": manifest.samples,
            "filtered": manifest.filtered,
            "totals": manifest.totals,
            "mean_kept_mass": manifest.mean_kept_mass,
            "shards": [asdict(manifest.shards[index]) for index in sorted(manifest.shards)],
        },
    )


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and check all that will be relied on.

    Raises:
        UserError: If it is missing, of another format or version, or contradicts itself.
    """
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise UserError(f"{path} is not a manifest of trajectories; name a folder made by collect")
    if value.get("version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {shown(value.get('version'))}; "
            f"expected {FORMAT_VERSION}; collect again with this version"
        )
    try:
        identity = _identity(value["identity"])
        shards = {
            _shard_index(entry["file"], identity): parse_shard(entry) for entry in value["shards"]
        }
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{path} is damaged ({reason[:_LONGEST_REASON]}); delete its folder and collect again"
        ) from None
    return Manifest(identity, shards)


def parse_shard(entry: Any) -> Shard:
    """Read what is known of a finished shard from its JSON value.

    Raises:
        KeyError, TypeError, ValueError: If it is not what `asdict(Shard)` gives.
    """
    shard = Shard(**entry)
    _require(entry, str, "file", "sha256")
    _require(entry, int, "samples")
    _require(entry, dict, "filtered", "totals")
    _require(entry["filtered"], int, *entry["filtered"])
    _require(entry["totals"], (int, float), *entry["totals"])
    counts = [shard.samples, *shard.filtered.values(), *shard.totals.values()]
    if not all(0 <= count <= _MOST for count in counts):
        raise ValueError(f"{shard.file} has counts that are negative, endless or no numbers")
    return shard


def _shard_index(name: Any, identity: StoreIdentity) -> int:
    """The index of the shard with a file name; nothing else of the name is ever used."""
    digits = str(name).removeprefix(f"{identity.kind}-").removesuffix(".safetensors")
    index = int(digits) if digits.isdecimal() else -1
    if not 0 <= index < identity.num_shards or name != shard_name(identity.kind, index):
        raise ValueError(f"{shown(name)} is not one of the {identity.num_shards} shards")
    return index


def _identity(value: Any) -> StoreIdentity:
    identity = StoreIdentity(**value | {"model": parse_model_identity(value["model"])})
    _require(value, str, "kind", "teacher", "prompts")
    _require(value, int, "num_prompts", "shard_size")
    _require(value, dict, "settings")
    if identity.kind not in KINDS:
        raise ValueError(f"kind is {shown(identity.kind)}, expected one of {', '.join(KINDS)}")
    if not (1 <= identity.num_prompts <= _MOST and 1 <= identity.shard_size <= _MOST):
        raise ValueError(f"it is for {identity.num_prompts} prompts, {identity.shard_size} a shard")
    _require(identity.settings, (str, int, float, NoneType), *identity.settings)
    return identity


def _require(values: Any, kind: type | tuple[type, ...], *names: str) -> None:
    """Check the types of values that JSON gave.

    Raises:
        TypeError: Naming the first that is not of the kind.
    """
    for name in names:
        if not isinstance(values[name], kind):
            raise TypeError(f"{name} is {shown(values[name])}")


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    for group in ("settings", "model"):
        value |= {f"{group}.{name}": entry for name, entry in value.pop(group).items()}
    return value


def _short(value: Any) -> str:
    """Show a value, a fingerprint by its first digits."""
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else shown(value)
