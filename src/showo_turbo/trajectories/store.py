"""A store of trajectories: a folder of safetensors shards with a manifest."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from ..errors import UserError
from ..utils.files import read_json, sha256_of, write_atomically, write_json
from ..utils.remembered import Remembered
from .manifest import (
    Manifest,
    Shard,
    StoreIdentity,
    parse_shard,
    read_manifest,
    shard_name,
    write_manifest,
)

logger = logging.getLogger(__name__)

MANIFEST_NAME = "manifest.json"
_IDENTITY = "identity"


def no_barrier() -> None:
    """A no-op: the barrier of a single process."""


class TrajectoryStore:
    """A folder with `manifest.json` and shards such as `images-00000.safetensors`.

    While it is being collected, each process writes whole shards, atomically, and beside each a
    small JSON file with its checksum, its counts and the fingerprint of the store's identity: a
    shard with a matching one is finished and is kept if the collection is interrupted. In the end
    one process moves what these files say into the manifest. All names are derived from the shards'
    index; none is taken from a file.

    Make one with `create_or_continue` or `open`.

    Args:
        folder: Where it lies.
        manifest: What is known to be in it.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def create_or_continue(
        cls,
        folder: Path | str,
        identity: StoreIdentity,
        *,
        rank: int = 0,
        barrier: Callable[[], None] = no_barrier,
    ) -> "TrajectoryStore":
        """Begin a store, or take up one that was begun in the same way.

        To be called by all processes of a collection at the same time. All of them look at the
        folder before the first changes it, so that they agree on what they find.

        Args:
            folder: An empty folder, one that does not exist, or a store of the same identity.
            identity: What is going to be collected.
            rank: Which process this is; the first writes.
            barrier: Returns when all processes have called it.

        Raises:
            UserError: If the folder holds something else, or a store of another identity; in every
                process.
        """
        folder = Path(folder)
        if (folder / MANIFEST_NAME).exists():
            _check_identity(folder, identity)
        elif folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; name a folder for the trajectories")
        elif folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise UserError(
                f"{folder} holds files but no {MANIFEST_NAME}; name an empty folder for the store"
            )
        barrier()
        if rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / MANIFEST_NAME).exists():
                write_manifest(folder / MANIFEST_NAME, Manifest(identity))
        barrier()
        return cls(folder, _check_identity(folder, identity))

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        kind: str | None = None,
        teacher: str | None = None,
        verify: bool = True,
    ) -> "TrajectoryStore":
        """Open a finished store for reading.

        Args:
            folder: Where it lies.
            kind: Raise on stores of another kind than this, `images` or `texts`.
            teacher: Raise on stores that were not made by the teacher with this fingerprint.
            verify: Whether to compare the shards' checksums, which reads all of them, unless they
                were compared on this machine and have not changed since.

        Raises:
            UserError: If it is not a store, is refused, is unfinished, or a shard is missing or
                damaged.
        """
        store = cls.inspect(folder)
        identity = store.identity
        if kind is not None and identity.kind != kind:
            raise UserError(f"{folder} holds trajectories of {identity.kind}; expected {kind}")
        if teacher is not None and identity.teacher != teacher:
            raise UserError(
                f"{folder} was made by teacher {identity.teacher[:12]}..., "
                f"but the teacher is {teacher[:12]}...; collect into another folder, "
                "or load the teacher it was made by"
            )
        if not store.complete:
            raise UserError(
                f"{folder} is unfinished ({len(store.manifest.shards)} of {identity.num_shards} "
                "shards); run the same collect command again to continue it"
            )
        known = store._verified(sorted(store.manifest.shards))
        verify = verify and known.get() is None
        for index, shard in sorted(store.manifest.shards.items()):
            fault = store._fault(index, shard, verify)
            if fault:
                raise UserError(
                    f"{store.shard_path(index)} {fault}; "
                    "run the same collect command again to replace it"
                )
        if verify:
            known.set("whole")
        return store

    @classmethod
    def inspect(cls, folder: Path | str) -> "TrajectoryStore":
        """Read the manifest of a store, finished or not, and look at none of its shards.

        Raises:
            UserError: If it is not a store.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; name one that was made by collect")
        return cls(folder, read_manifest(folder / MANIFEST_NAME))

    @property
    def identity(self) -> StoreIdentity:
        """How the store was made."""
        return self.manifest.identity

    @property
    def complete(self) -> bool:
        """Whether every shard is finished."""
        return self.manifest.complete

    @property
    def num_samples(self) -> int:
        """Number of trajectories, without the filtered."""
        return self.manifest.samples

    @property
    def filtered(self) -> dict[str, int]:
        """How many trajectories were left out, by reason."""
        return self.manifest.filtered

    @property
    def mean_kept_mass(self) -> float | None:
        """Mean probability that the recorded codes hold (images only)."""
        return self.manifest.mean_kept_mass

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest, and so, through the shards' checksums, of everything."""
        return sha256_of(self.folder / MANIFEST_NAME)

    def shard_path(self, index: int) -> Path:
        """Return the path of shard `index`."""
        return self.folder / shard_name(self.identity.kind, index)

    def shard_paths(self) -> list[Path]:
        """Return the paths of all finished shards, in order."""
        return [self.shard_path(index) for index in sorted(self.manifest.shards)]

    def pending(self, rank: int = 0, world_size: int = 1) -> list[int]:
        """Return which of the shards that are this process's to collect are yet to be.

        Finished ones are compared with their checksums, as in `open`; those that are missing or
        damaged are reported as warnings, and are pending again. Shards are dealt out to the
        processes in turn.
        """
        own = range(rank, self.identity.num_shards, world_size)
        known = self._verified(own)
        if self.complete and known.get() is not None:
            return []
        pending = [index for index in own if self._finished(index) is None]
        if self.complete and not pending:
            known.set("whole")
        return pending

    def write_shard(
        self,
        index: int,
        tensors: Mapping[str, Tensor],
        *,
        samples: int,
        filtered: Mapping[str, int] | None = None,
        totals: Mapping[str, float] | None = None,
    ) -> None:
        """Write one shard, atomically, and mark it as finished."""
        path = self.shard_path(index)
        with write_atomically(path) as temporary:
            save_file(dict(tensors), temporary)
            checksum = sha256_of(temporary)
        shard = Shard(path.name, checksum, samples, dict(filtered or {}), dict(totals or {}))
        note = asdict(shard) | {_IDENTITY: self.identity.fingerprint}
        write_json(path.with_suffix(".json"), note)

    def finish(self) -> None:
        """Write all that is known of the shards into the manifest.

        To be called by one process, after all have written their shards.

        Raises:
            UserError: If a shard is missing.
        """
        every = range(self.identity.num_shards)
        known = self._verified(every)
        if self.complete and known.get() is not None:
            return
        shards = {}
        for index in every:
            shard = self._finished(index)
            if shard is None:
                raise UserError(
                    f"{self.shard_path(index)} is missing; all processes must write to one shared "
                    "folder; run the same collect command again"
                )
            shards[index] = shard
        self.manifest = replace(self.manifest, shards=shards)
        write_manifest(self.folder / MANIFEST_NAME, self.manifest)
        for index in shards:
            self.shard_path(index).with_suffix(".json").unlink(missing_ok=True)
        known.set("whole")

    def notes(self) -> list[Path]:
        """Return the notes of finished shards that are not in the manifest yet."""
        paths = (self.shard_path(index) for index in range(self.identity.num_shards))
        return [note for path in paths if (note := path.with_suffix(".json")).exists()]

    def noted(self) -> list[int]:
        """Return the shards that a process, perhaps another one, says it has finished.

        The manifest is read again; the shards are not, so one may yet turn out to be damaged.
        """
        self.manifest = read_manifest(self.folder / MANIFEST_NAME)
        notes = set(self.notes())
        return [
            index
            for index in range(self.identity.num_shards)
            if index in self.manifest.shards or self.shard_path(index).with_suffix(".json") in notes
        ]

    def _verified(self, indices: Sequence[int]) -> Remembered:
        """Whether shards are those that the manifest says, as far as it is known already."""
        checksums = [
            shard.sha256 if (shard := self.manifest.shards.get(index)) else "" for index in indices
        ]
        return Remembered([self.shard_path(index) for index in indices], f"shards {checksums}")

    def _finished(self, index: int) -> Shard | None:
        """Return what is known of a shard, if it is there and whole."""
        path = self.shard_path(index)
        note = path.with_suffix(".json")
        shard = self.manifest.shards.get(index)
        if note.exists():
            try:
                entry = dict(read_json(note))
                identity = entry.pop(_IDENTITY, None)
                noted = parse_shard(entry)
            except (KeyError, TypeError, ValueError) as error:
                logger.warning("%s is damaged (%s); collecting its shard again", note, error)
                return None
            if identity == self.identity.fingerprint:
                shard = noted
            else:
                logger.warning("%s is not of this collection; left out of it", note)
        if shard is None:
            return None
        fault = self._fault(index, shard, verify=True)
        if fault:
            logger.warning("%s %s; collecting it again", path, fault)
            return None
        return shard

    def _fault(self, index: int, shard: Shard, verify: bool) -> str | None:
        """Return what is wrong with a shard's file, if anything is."""
        path = self.shard_path(index)
        if path.is_symlink():
            return "is a link, which could lead out of the store"
        if not path.is_file():
            return "is missing"
        if shard.file != path.name:
            return f"is noted as {shard.file!r}"
        if verify and sha256_of(path) != shard.sha256:
            return "is damaged: its checksum differs from the one noted"
        return None


def _check_identity(folder: Path, identity: StoreIdentity) -> Manifest:
    manifest = read_manifest(folder / MANIFEST_NAME)
    differences = manifest.identity.differences(identity)
    if differences:
        raise UserError(
            f"{folder} holds other trajectories: {'; '.join(differences)}; "
            "name another folder, or ask for the same"
        )
    return manifest
