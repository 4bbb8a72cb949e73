"""A charge file read once: its styles are assumed from its first records, and every cell must bear the assumption out.

Reading a file once more takes a quarter of the processor time of loading it. Nothing is guessed by this: the same votes
are counted as in detect.py, less the cells that can change nothing, and where they end in another profile, or in a
refusal, NotBorneOut says that the file has to be read as reader.py does, all cells first.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from billing_pipeline.config import Profile
from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189 import bytestream
from billing_pipeline.r189.blocks import BlockReader
from billing_pipeline.r189.bytestream import NotUtf8
from billing_pipeline.r189.cells import coded_headers, plain_headers
from billing_pipeline.r189.detect import Ballot, Watch, count_invoices, profile_of
from billing_pipeline.r189.opening import UTF8, WINDOWS_1252, OpenedFile, open_file
from billing_pipeline.r189.profile import FileProfile
from billing_pipeline.r189.reader import (
    DEFAULT_ROWS_PER_BATCH,
    NONE_SUPERSEDED,
    ChargeBatch,
    cell_reader,
    charge_batch,
    slices,
)


class NotBorneOut(Exception):
    """The file is not, or not surely, what its first records say; R189File reads it, or refuses it with the reason."""


class ChargesAtOnce:
    """The file at `path` with the face of reader.R189File, read while it is loaded.

    `rows` and `invoices` are those seen so far and `profile` the assumed one; all three hold once `batches` is
    exhausted. NotBorneOut, from here or from `batches`, where the file needs two readings: whatever was made of its
    batches has to be undone. The first `block_bytes` are assumed to speak for the file.
    """

    def __init__(
        self, path: Path, pinned: Profile, *, name: str, sha256: str, block_bytes: int = bytestream.BLOCK_BYTES
    ) -> None:
        self._path = path
        self._block_bytes = block_bytes
        self._name = name
        self._pinned = pinned
        self._encoding = pinned.encoding or UTF8
        self.sha256 = sha256
        self.rows = 0
        self.cut = False  # a file cut short is read twice
        self.invoices: Counter[str] = Counter()
        self.profile = self._assumed()

    def batches(
        self, rows_per_batch: int = DEFAULT_ROWS_PER_BATCH, superseded: Mapping[str, str] = NONE_SUPERSEDED
    ) -> Iterator[ChargeBatch]:
        """As R189File.batches; the end of it says that the file is what was assumed, or NotBorneOut."""
        try:
            yield from self._batches(rows_per_batch, superseded)
        except (RefusedFile, NotUtf8) as error:
            raise NotBorneOut from error

    def _batches(self, rows_per_batch: int, superseded: Mapping[str, str]) -> Iterator[ChargeBatch]:
        opened, reader, watch, ballot = self._open()
        cells = cell_reader(self.profile, self._pinned)
        invoices: Counter[str] = Counter()
        for whole in reader.pieces(watch.blocks()):
            count_invoices(invoices, whole)
            for piece in slices(whole, rows_per_batch):
                typed = cells.typed(piece)
                # A number with too many digits is a number all the same: its style reads it.
                unread = {(one.at, one.header) for one in typed.unreadable if one.check == "type"}
                ballot.add_rest(piece, unread)
                yield charge_batch(piece, typed, self.sha256, superseded)
        found = self._decided(opened, ballot, watch)
        if reader.cut or _styles(found) != _styles(self.profile):
            raise NotBorneOut
        self.profile, self.rows, self.invoices = found, reader.rows_seen, invoices

    def _assumed(self) -> FileProfile:
        """The profile the first records alone would give the file."""
        try:
            opened, reader, watch, ballot = self._open()
            for piece in islice(reader.pieces(watch.blocks()), 1):
                ballot.add(piece)
            return self._decided(opened, ballot, watch)
        except (RefusedFile, NotUtf8) as error:
            raise NotBorneOut from error

    def _open(self) -> tuple[OpenedFile, BlockReader, Watch, Ballot]:
        encoding = self._encoding
        opened = open_file(
            self._path, self._name, encoding, checked=self._pinned.encoding is None, hashed=False,
            block_bytes=self._block_bytes,
        )  # fmt: skip
        columns = opened.header.columns
        reader = BlockReader(
            opened.header, opened.newline, self._name, coded=coded_headers(columns), plain=plain_headers(columns),
            check_utf8=self._pinned.encoding == UTF8, replaced=encoding == WINDOWS_1252,
        )  # fmt: skip
        return opened, reader, Watch(opened, self._name, None), Ballot(self._pinned, columns)

    def _decided(self, opened: OpenedFile, ballot: Ballot, watch: Watch) -> FileProfile:
        decided = ballot.decide(self._name)
        return profile_of(opened, self._encoding, self._pinned, decided, accented=watch.accented)


def _styles(profile: FileProfile) -> tuple[str, ...]:
    """What decides the value of a cell."""
    return profile.decimal, profile.date_format, profile.charge_month_format, profile.tax_rate
