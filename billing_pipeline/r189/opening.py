"""A charge file opened up to its header: byte order mark, encoding layer, header record. Its rows are blocks.py's."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189 import bytestream, tokenizer
from billing_pipeline.r189.header import Header, match_header

UTF8, WINDOWS_1252 = "utf-8", "windows-1252"


@dataclass(frozen=True)
class OpenedFile:
    """`blocks` are the bytes after the header as UTF-8; `received` knows the file's hash once they are exhausted."""

    header: Header
    newline: bytes
    bom: bool
    received: bytestream.Bytes
    blocks: Iterator[bytes]


def open_file(
    path: Path, name: str, encoding: str, *, checked: bool, hashed: bool, block_bytes: int = bytestream.BLOCK_BYTES
) -> OpenedFile:
    """Open `path`, whose name as delivered is `name`, as text in `encoding`.

    `checked` raises bytestream.NotUtf8 from here or from `blocks` where a UTF-8 file is none. RefusedFile: no header,
    or one that match_header refuses; the limits of bytestream.Bytes.
    """
    received = bytestream.Bytes(path, name, hashed=hashed, block_bytes=block_bytes)
    blocks = received.blocks()
    start = b""
    while len(start) < len(bytestream.UTF8_BOM) and (block := next(blocks, b"")):
        start += block
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise RefusedFile(f"{name}: is UTF-16; have it delivered as UTF-8")
    if start[:2] == b"\x1f\x8b":
        raise RefusedFile(f"{name}: is compressed although its name does not end in .gz; rename it to .csv.gz")
    bom = start.startswith(bytestream.UTF8_BOM)
    text = _chained(start[len(bytestream.UTF8_BOM) :] if bom else start, blocks)
    if encoding == WINDOWS_1252:
        text = bytestream.from_windows_1252(text)
    elif checked:
        text = bytestream.checked_utf8(text)
    names, newline, rest = _header_record(text, name)
    return OpenedFile(match_header(names, name), newline, bom, received, _chained(rest, text))


def _header_record(blocks: Iterator[bytes], name: str) -> tuple[list[str], bytes, bytes]:
    """(header names, what ended the header, the bytes read beyond it)."""
    data, at, at_end = b"", 0, False
    while True:
        try:
            record = tokenizer.read_record(data, at, at_end=at_end, newline=None) if data[at:] else None
        except tokenizer.TooManyFields:
            raise RefusedFile(
                f"{name}: its header has more than {tokenizer.FIELDS_LIMIT} fields; this is no R189 report"
            ) from None
        except tokenizer.FieldTooLong:
            raise RefusedFile(f"{name}: its header holds a field of more than 1 MiB; this is no R189 report") from None
        if record is not None and not tokenizer.is_blank(data, record):
            break
        if record is not None:
            at = record.following
        elif at_end:
            raise RefusedFile(f"{name}: is empty, without even a header; have it delivered again")
        else:
            block = next(blocks, b"")
            data, at, at_end = data[at:] + block, 0, not block
    if record.fault:
        raise RefusedFile(f"{name}: its header cannot be read: {record.fault}; have it delivered again")
    names = [tokenizer.content(data, span).decode("utf-8", errors="replace") for span in record.spans]
    return names, record.newline or b"\n", data[record.following :]


def _chained(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from others
