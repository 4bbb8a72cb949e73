"""Documents as received, and what was collected when: raw/<operator>/<period>/, kept for good, written before use.

Nothing is parsed here, and nothing is ever changed but a sidecar's description and a collection's state.

    <sha256>.<ext>                                  the bytes (a JSON document: <sha256>.body.json)
    <sha256>.json                                   its sidecar: where and when it came from
    collections/<UTC timestamp>-<run_id>.json       one manifest per collection
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from billing_pipeline.errors import SourceError, StorageError
from billing_pipeline.storage.durable import make_directory, move_into_place, write_json
from billing_pipeline.storage.keys import checked_operator, checked_period, file_name_part, is_operator

_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXTENSION = re.compile(r"[a-z0-9]{1,10}(?:\.[a-z0-9]{1,10}){0,2}")
_CHUNK = 1 << 20
_COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One kept document: `path` of its bytes, their length in `bytes`, when they were `first_seen` (UTC), its sidecar."""

    sha256: str
    path: Path
    bytes: int
    first_seen: datetime
    sidecar: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One collection of one partition: what the caller put in `content`, and its `state` with the reason in `detail`."""

    operator: str
    period: str
    path: Path
    recorded_at: datetime
    run_id: str
    state: str | None
    detail: str | None
    content: Mapping[str, Any] = field(repr=False)

    @property
    def complete(self) -> bool:
        return (self.state or "").casefold() == _COMPLETE


class RawStore:
    """The kept documents under `root`. A code or period that is none is a ValueError before it reaches a path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, operator: str, period: str) -> Path:
        return self.root / checked_operator(operator) / checked_period(period)

    def operators(self) -> list[str]:
        return [name for name in _folders(self.root) if is_operator(name)]

    def periods(self, operator: str) -> list[str]:
        found = []
        for name in _folders(self.root / checked_operator(operator)):
            with suppress(ValueError):
                found.append(checked_period(name))
        return found

    def put(
        self, operator: str, period: str, content: bytes | Path, *, extension: str, sidecar: Mapping[str, Any]
    ) -> StoredDocument:
        """Keep the bytes (copied from a file in pieces), then the sidecar; both are on disk when this returns.

        The same bytes again keep their `first_seen`; the rest of the sidecar is the newer one's. StorageError on disk
        faults.
        """
        folder = self.folder(operator, period)
        incoming = folder / f".incoming-{uuid.uuid4().hex}"
        try:
            make_directory(folder)
            try:
                sha256, size = copy_bytes(content, incoming)
                path = folder / document_name(sha256, extension)
                # Also over bytes that are there already: should those have rotted, they are whole again.
                move_into_place(incoming, path)
            finally:
                incoming.unlink(missing_ok=True)
            first_seen = self._write_sidecar(folder, sha256, path.name, size, sidecar)
        except OSError as error:
            raise StorageError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
        return StoredDocument(sha256, path, size, first_seen, _read_json(folder / f"{sha256}.json"))

    def _write_sidecar(self, folder: Path, sha256: str, name: str, size: int, sidecar: Mapping[str, Any]) -> datetime:
        path = folder / f"{sha256}.json"
        first_seen = first_seen_before(path) or datetime.now(UTC).isoformat()
        own = {"sha256": sha256, "file": name, "bytes": size, "first_seen": first_seen}
        write_json(path, {**sidecar, **own})
        return datetime.fromisoformat(first_seen)

    def document(self, operator: str, period: str, sha256: str) -> StoredDocument:
        """A kept document by its hash, its bytes checked. StorageError names a missing or altered file."""
        if _SHA256.fullmatch(sha256) is None:
            raise ValueError(f"{sha256!r} is not a SHA-256 in hex")
        folder = self.folder(operator, period)
        sidecar = _read_json(folder / f"{sha256}.json")
        path = folder / Path(str(sidecar.get("file", sha256))).name
        size = _check(path, sha256)
        return StoredDocument(sha256, path, size, datetime.fromisoformat(sidecar["first_seen"]), sidecar)

    def documents(self, operator: str, period: str) -> list[StoredDocument]:
        """Every kept document of the partition, by hash, checked; whether it counts is said by the manifests."""
        folder = self.folder(operator, period)
        names = sorted(path.stem for path in folder.glob("*.json") if _SHA256.fullmatch(path.stem))
        return [self.document(operator, period, sha256) for sha256 in names]

    def write_manifest(self, operator: str, period: str, manifest: Mapping[str, Any]) -> Manifest:
        """Record a collection. `manifest` holds at least `run_id`; `state` and `detail` are read from it too."""
        folder = self.folder(operator, period) / "collections"
        run_id = str(manifest["run_id"])
        # Later than every other one, also when the clock was set back: the newest is found by its name.
        recorded_at = datetime.now(UTC)
        latest = self.latest(operator, period)
        if latest is not None and recorded_at <= latest.recorded_at:
            recorded_at = latest.recorded_at + timedelta(microseconds=1)
        name = f"{recorded_at:%Y%m%dT%H%M%S.%fZ}-{file_name_part(run_id)}.json"
        content = {**manifest, "recorded_at": recorded_at.isoformat()}
        try:
            make_directory(folder)
            write_json(folder / name, content)
        except OSError as error:
            raise StorageError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
        return _manifest(operator, period, folder / name)

    def set_state(self, manifest: Manifest, state: str, detail: str | None) -> Manifest:
        """The manifest with another state, on disk when this returns; the rest of it stays."""
        content = {**_read_json(manifest.path), "state": state, "detail": detail}
        try:
            write_json(manifest.path, content)
        except OSError as error:
            raise StorageError(f"{manifest.path}: cannot be written: {error.strerror}") from None
        return replace(manifest, state=state, detail=detail, content=content)

    def manifests(self, operator: str, period: str) -> list[Manifest]:
        """Every collection of the partition, oldest first."""
        return list(self._newest_first(operator, period))[::-1]

    def latest(self, operator: str, period: str) -> Manifest | None:
        """The newest collection, whatever its state."""
        return next(self._newest_first(operator, period), None)

    def last_complete(self, operator: str, period: str) -> Manifest | None:
        """The newest collection whose state is complete."""
        return next((one for one in self._newest_first(operator, period) if one.complete), None)

    def _newest_first(self, operator: str, period: str) -> Iterator[Manifest]:
        folder = self.folder(operator, period) / "collections"
        for path in sorted(folder.glob("[0-9]*.json"), reverse=True):
            yield _manifest(operator, period, path)


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def document_name(sha256: str, extension: str) -> str:
    """`<sha256>.<ext>`, but `.body.json` for JSON, since `<sha256>.json` is the sidecar's name."""
    extension = extension.lstrip(".").lower()
    if _EXTENSION.fullmatch(extension) is None:
        raise ValueError(f"{extension!r} is not a file extension")
    return f"{sha256}.{'body.json' if extension == 'json' else extension}"


def _delivered(content: bytes | Path) -> Iterator[bytes]:
    """A file that is delivered into a folder may vanish, or its disk fail, while we read: that is not our disk."""
    if isinstance(content, bytes):
        yield content
        return
    try:
        with content.open("rb") as file:
            yield from _pieces(file)
    except OSError as error:
        raise SourceError(
            f"{content}: cannot be read: {error.strerror}; put the file back whole and run the period again"
        ) from None


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece


def first_seen_before(sidecar: Path) -> str | None:
    """When the document of this sidecar was first received; None where there is none that can be read."""
    if not sidecar.exists():
        return None
    with suppress(StorageError, KeyError):
        return str(_read_json(sidecar)["first_seen"])
    return None


def copy_bytes(content: bytes | Path, target: Path, *, synced: bool = True) -> tuple[str, int]:
    """Write `content` to `target`, durably if `synced`, hashing on the way: (sha256, bytes)."""
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        for piece in _delivered(content):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
        file.flush()
        if synced:
            os.fsync(file.fileno())
    return digest.hexdigest(), size


def _check(path: Path, sha256: str) -> int:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            for piece in _pieces(file):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise StorageError(
            f"{path}: kept document cannot be read: {error.strerror}; restore it, or collect again"
        ) from None
    if digest.hexdigest() != sha256:
        raise StorageError(f"{path}: kept document was altered, its SHA-256 is another; restore it, or collect again")
    return size


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}; restore it, or collect again") from None
    except ValueError:
        raise StorageError(f"{path}: is not JSON; restore it, or collect again") from None
    if not isinstance(content, dict):
        raise StorageError(f"{path}: is not a JSON object; restore it, or collect again")
    return content


def _manifest(operator: str, period: str, path: Path) -> Manifest:
    content = _read_json(path)
    try:
        recorded_at, run_id = datetime.fromisoformat(content["recorded_at"]), str(content["run_id"])
    except (KeyError, ValueError, TypeError):
        raise StorageError(f"{path}: lacks recorded_at or run_id; restore it, or remove it and collect again") from None
    return Manifest(operator, period, path, recorded_at, run_id, content.get("state"), content.get("detail"), content)
