"""The bytes of one answer: decoded under a size cap, into memory or a file, and refused where they may be cut short.

Knows header names and gzip, and nothing of connections.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

MAX_BODY_BYTES = 256 * 1024 * 1024
# A 48 KB gzip can become 50 MB: past this size a body may not expand more than so many times.
_EXPANSION_FREE_BYTES = 8 * 1024 * 1024
_MAX_EXPANSION = 100
_STEP = 1 << 20
_PLAIN = ("", "identity")


class BodyUnusable(Exception):
    """A body that another attempt may bring whole."""


class BodyTooLarge(Exception):
    """More than is ever read."""


@dataclass(frozen=True, slots=True)
class Body:
    """`content` is empty where the body went to a file, which `in_file` says; `length` counts its bytes decoded."""

    content: bytes
    length: int
    framed: bool
    in_file: bool


class BodyWriter:
    """Takes the pieces as they arrive; `finish` once the transport says there are no more.

    With a `target` a body of more than `in_memory` bytes goes there, from its first byte on.
    """

    def __init__(self, headers: Mapping[str, str], *, target: Path | None, limit: int, in_memory: int = 0) -> None:
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in (*_PLAIN, "gzip", "x-gzip"):
            raise BodyUnusable(f"the answer is encoded as {encoding[:20]!r}, which was not asked for")
        self._gzip = None if encoding in _PLAIN else zlib.decompressobj(wbits=31)
        # Without a length and without chunks the end of the connection is the end of the body, cut or not.
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._framed = chunked or "content-length" in headers or self._gzip is not None
        self._limit = limit
        self._target = target
        self._in_memory = in_memory
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._received = self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, piece: bytes) -> None:
        self._received += len(piece)
        if self._gzip is None:
            self._store(piece)
            return
        try:
            while piece:
                self._store(self._gzip.decompress(piece, _STEP))
                piece = self._gzip.unconsumed_tail
        except zlib.error:
            raise BodyUnusable("the answer's gzip stream is damaged") from None

    def finish(self) -> Body:
        if self._gzip is not None and (not self._gzip.eof or self._gzip.unused_data):
            raise BodyUnusable("the answer's gzip stream is cut short")
        if self._target is not None and self._file is None and not self._in_memory:
            self._spill(self._target)  # an empty body is an empty file
        return Body(b"".join(self._pieces), self._size, self._framed, self._file is not None)

    def _store(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise BodyTooLarge(f"the answer is larger than {self._limit} bytes")
        if self._size > max(_EXPANSION_FREE_BYTES, self._received * _MAX_EXPANSION):
            raise BodyTooLarge(f"the answer expands more than {_MAX_EXPANSION} times")
        if self._target is not None and self._file is None and self._size > self._in_memory:
            self._spill(self._target)
        if self._file is not None:
            self._file.write(piece)
        else:
            self._pieces.append(piece)

    def _spill(self, target: Path) -> None:
        self._file = target.open("wb")
        self._file.writelines(self._pieces)
        self._pieces.clear()
