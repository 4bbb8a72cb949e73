"""How the file of an Orange report reaches us: from the API, else from the drop folder, else not at all, and why.

Control totals are compared here: a report that declares its bytes arrives with that many, or it has not arrived.
"""

import gzip
import tempfile
import uuid
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any

from billing_pipeline.errors import SourceError, one_line
from billing_pipeline.sources.collection import path_segment
from billing_pipeline.sources.http_answer import Refused
from billing_pipeline.sources.orange_api import CSV_TYPES, OrangeApi

API_LIMIT_BYTES = 5 * 1024 * 1024
# A file that differs from its declared length is asked for again: it may be written while we read.
DOWNLOADS = 3


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file that is here whole. `name` is its name as delivered; `content` its bytes or, a large one, where it lies.

    That is scratch unless it is the drop folder.
    """

    name: str
    content: bytes | Path
    location: str
    media_type: str
    request: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    scratch: bool = True

    def discard(self) -> None:
        if self.scratch and isinstance(self.content, Path):
            self.content.unlink(missing_ok=True)


class Deliveries:
    """Fetches files into a scratch folder of its own; close it to remove them."""

    def __init__(self, api: OrangeApi, drop_folder: Path | None) -> None:
        self._api = api
        self._drop_folder = drop_folder
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def open(self) -> None:
        """Call once before threads ask for files."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="billing-collecting-")

    def close(self) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def charges(self, report: Mapping[str, Any], name: str) -> Delivery | str:
        """An R189 report, or in one line what is missing."""
        if path_segment(name) is None:
            return f"report {one_line(name)} cannot be asked for: its id is no name; ask the operator to correct it"
        declared = declared_bytes(report)
        fault = ""
        for _ in range(DOWNLOADS):
            try:
                delivery, size, framed = self._fetched(name, "text/csv", CSV_TYPES)
            except Refused as refusal:
                if not _not_served(refusal, declared):
                    raise
                return self._dropped(name, declared, refusal)
            if declared is None and not framed:
                fault = "arrived without a declared length, so that a cut cannot be told"
            elif declared is not None and size != declared:
                fault = f"declares {declared} bytes, {size} arrived"
            else:
                return delivery
            delivery.discard()
        return f"report {one_line(name)} {fault}; run the period again, or put the whole file into the drop folder"

    def file(self, collection: Any, name: str, accept: str) -> Delivery | str:
        """Any other file, which no verdict rests on: what keeps it from us is told, never raised."""
        if path_segment(name) is None:
            return "its id is no name"
        try:
            delivery, _, framed = self._fetched(name, accept, (), collection)
        except SourceError as fault:
            return str(fault)
        if framed and (accept != "application/pdf" or _is_whole_pdf(delivery.content)):
            return delivery
        delivery.discard()
        return f"{delivery.location}: what arrived is not a whole file of type {accept}"

    def _fetched(
        self, name: str, accept: str, types: tuple[str, ...], collection: Any = "reports"
    ) -> tuple[Delivery, int, bool]:
        target = self._scratch_file()
        answer = self._api.download(collection, name, accept=accept, target=target, types=types)
        media_type = answer.media_type or "application/octet-stream"
        content = answer.path or answer.body
        delivery = Delivery(name, content, answer.url, media_type, answer.request, dict(answer.headers))
        return delivery, answer.length, answer.framed

    def as_file(self, delivery: Delivery) -> Path:
        """Where the delivered file lies, for a reader that wants one; scratch goes with `close`."""
        if isinstance(delivery.content, Path):
            return delivery.content
        path = self._scratch_file()
        path.write_bytes(delivery.content)
        return path

    def _scratch_file(self) -> Path:
        assert self._scratch is not None, "open() comes first"
        return Path(self._scratch.name) / uuid.uuid4().hex

    def _dropped(self, name: str, declared: int | None, refusal: Refused) -> Delivery | str:
        """The file of that name in the drop folder. An id never becomes a path: it is compared with what lies there."""
        told = f"report {one_line(name)} is not served by the API (HTTP {refusal.status})"
        if self._drop_folder is None:
            return f"{told}; set source.drop_folder and put the file there under that name"
        try:
            found = [
                path for path in self._drop_folder.iterdir() if path.name in (name, f"{name}.gz") and path.is_file()
            ]
        except OSError as error:
            return f"{told}, and {self._drop_folder} cannot be read ({error.strerror}); create the folder"
        if not found:
            return f"{told} and does not lie in {self._drop_folder}; put it there under that name"
        path = min(found, key=lambda one: len(one.name))
        compressed = path.name.endswith(".gz") and not name.endswith(".gz")
        try:
            size = path.stat().st_size
            if compressed and declared is not None and size != declared:
                size = _unpacked_bytes(path, most=declared)
        except OSError as error:
            return f"{path}: cannot be read ({error.strerror}); put the file back whole and run the period again"
        if declared is not None and size != declared:
            held = "more" if compressed and size > declared else size
            return f"{path}: report declares {declared} bytes, the file has {held}; download it again"
        media_type = "application/gzip" if compressed else "text/csv"
        return Delivery(path.name, path, str(path), media_type, scratch=False)


def declared_bytes(report: Mapping[str, Any]) -> int | None:
    """The length a report states, as a number or as text; None where it states none."""
    stated = report.get("bytes")
    if isinstance(stated, str) and stated.isascii() and stated.isdigit():
        return int(stated)
    return stated if isinstance(stated, int) and not isinstance(stated, bool) and stated >= 0 else None


def _not_served(refusal: Refused, declared: int | None) -> bool:
    """The status for a file over the limit is not published: 413 says it, and so does any refusal of such a file."""
    if declared is not None and declared > API_LIMIT_BYTES:
        return True
    return 400 <= refusal.status < 500 and refusal.status not in (401, 403)


def _unpacked_bytes(path: Path, *, most: int) -> int:
    """The bytes of a compressed file up to where it is damaged, if it is, counted no further than past `most`."""
    size = 0
    with gzip.open(path) as file, suppress(EOFError, gzip.BadGzipFile, zlib.error):
        while size <= most and (piece := file.read(1 << 20)):
            size += len(piece)
    return size


def _is_whole_pdf(content: bytes | Path) -> bool:
    """It begins as a PDF and holds the end mark in its last kilobyte, as the format asks for."""
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        begins = file.read(1024).lstrip().startswith(b"%PDF-")
        file.seek(max(0, file.seek(0, SEEK_END) - 1024))
        return begins and b"%%EOF" in file.read()
