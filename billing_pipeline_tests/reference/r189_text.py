"""Bytes of a charge file into records of raw fields: decoding, and RFC 4180 one character at a time. No cell is read."""

import gzip
import zlib
from dataclasses import dataclass
from typing import Literal

SEPARATOR = ";"
QUOTE = '"'
LARGEST_FIELD = 1024 * 1024


class Refused(Exception):
    """The file cannot be read with certainty; the message says why."""


@dataclass
class Record:
    """One CSV record. `fault`: None, or the check it fails as text (`quote`, `nul`); `end`: how it ends without a line end."""

    fields: list[str]
    fault: str | None = None
    end: Literal["of text", "in quotes"] | None = None


def decode(name: str, content: bytes, encoding: Literal["utf-8", "windows-1252"] | None) -> str:
    """The text of a file as received, unpacked where it is a .gz; Windows-1252 only where it is not UTF-8."""
    if name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise Refused("is named .gz and is not whole gzip") from None
    try:
        if encoding != "windows-1252":
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if encoding == "utf-8":
            raise Refused("is not UTF-8 as its profile says") from None
    try:
        return content.decode("windows-1252")
    except UnicodeDecodeError:
        raise Refused("is neither UTF-8 nor Windows-1252") from None


def split_records(text: str) -> list[Record]:
    """All records, blank lines left out. A record runs to a line end outside quotes, or to the end of the text."""
    splitter = _Splitter()
    for character in text:
        splitter.take(character)
    splitter.finish()
    if len(splitter.line_ends) > 1:
        raise Refused(f"mixes the line ends {sorted(splitter.line_ends)}")
    return [record for record in splitter.records if record.fields != [""] or record.fault]


class _Splitter:
    """The states: at the START of a field, in a PLAIN one, QUOTED, or just AFTER a quote inside a quoted field."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.line_ends: set[str] = set()
        self.record = Record([])
        self.field: list[str] = []
        self.state = "START"
        self.after_cr = False  # a CR has just ended a record; an LF now belongs to it

    def take(self, character: str) -> None:
        if self.after_cr:
            self.after_cr = False
            if character == "\n":
                self.line_ends.add("CRLF")
                return
            self.line_ends.add("CR")
        if character == "\0":
            self.record.fault = "nul"
        if self.state == "QUOTED":
            if character == QUOTE:
                self.state = "AFTER"
            else:
                self.field.append(character)
        elif character == SEPARATOR:
            self.end_field()
        elif character in "\r\n":
            self.end_record()
            self.after_cr = character == "\r"
            if character == "\n":
                self.line_ends.add("LF")
        elif character == QUOTE and self.state in ("START", "AFTER"):
            if self.state == "AFTER":
                self.field.append(QUOTE)
            self.state = "QUOTED"
        else:
            if self.state == "AFTER":
                self.record.fault = self.record.fault or "quote"
            self.field.append(character)
            self.state = "PLAIN"

    def end_field(self) -> None:
        if len(self.field) > LARGEST_FIELD:
            raise Refused("holds a field of more than 1 MiB")
        self.record.fields.append("".join(self.field))
        self.field = []
        self.state = "START"

    def end_record(self) -> None:
        self.end_field()
        self.records.append(self.record)
        self.record = Record([])

    def finish(self) -> None:
        if self.after_cr:
            self.line_ends.add("CR")
        if self.state == "QUOTED":
            self.record.fault = self.record.fault or "quote"
        self.record.end = "in quotes" if self.state == "QUOTED" else "of text"
        if self.record.fields or self.field or self.state != "START":
            self.end_record()
