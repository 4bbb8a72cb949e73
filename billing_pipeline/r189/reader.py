"""One R189 file as batches: the charges that can be loaded, the rows that cannot, and nothing lost between them.

rows of the file = rows of `charges` + distinct rows of `rejected`, in every batch. Every check of a rejected row:

    check         column              the row is rejected because
    quote         (none)              text follows a closing quote, or a quote is never closed         tokenizer.py
    field_count   (none)              it has more or fewer fields than the header                      blocks.py
    nul           the column          the field holds a NUL byte                                       blocks.py
    encoding      the column          the field holds bytes the file's encoding does not have          blocks.py
    type          the column          no number, date, month or rate under the file's style            cells.py
    scale         the column          more than 6 decimals (Exchange rate: 12)                         cells.py
    digits        the column          more than 12 integer digits                                      cells.py
    required      the column          one of the four required values is blank                         rules.py
    mapping       Document type,      the word is neither a default nor in the profile                 rules.py
                  Frequency
    currency      the two currencies  not an ISO 4217 code in capitals                                 rules.py
    arithmetic    Taxable amount      Pre-discount less Discount is another, by more than 0.01         rules.py
    period_order  Period to           before Period from, or only one of the two is stated             rules.py
    span          Period to           the period is longer than 120 months                             rules.py
    superseded    (none)              another document's copy of its invoice counts instead            superseded.py

The first four leave a row unread, so nothing else is said of it; of the others a row may break several. A superseded
row is superseded and nothing else. A column that is none of the 50 is named `#` and its place from 1. Which file owns
an invoice, and how many rejected rows are too many, is decided where several files are in view.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import ChargeType, DocumentType, Profile
from billing_pipeline.r189 import rules, vocabulary
from billing_pipeline.r189.blocks import BlockReader, Piece
from billing_pipeline.r189.cells import CellReader, TypedPiece, coded_headers, plain_headers
from billing_pipeline.r189.detect import survey
from billing_pipeline.r189.opening import UTF8, WINDOWS_1252, open_file
from billing_pipeline.r189.profile import FileProfile, Origin
from billing_pipeline.r189.rejections import Rejection, RowText, rejected_batch, shown
from billing_pipeline.r189.rules import Rule
from billing_pipeline.r189.superseded import in_order, superseded_rows
from billing_pipeline.schemas import arrow, tables
from billing_pipeline.schemas.r189 import BY_HEADER

MAPPED_DOCUMENT_TYPE, CHARGE_TYPE = "mapped_document_type", "charge_type"
CHARGES_SCHEMA = (
    arrow.content_schema(tables.R189_CHARGES)
    .append(pa.field(MAPPED_DOCUMENT_TYPE, pa.string(), nullable=False))
    .append(pa.field(CHARGE_TYPE, pa.string(), nullable=False))
)
# What a credit turns negative. Monthly price and the rates are prices, not amounts.
AMOUNTS = (
    "Pre-discount amount", "Discount amount", "Taxable amount", "Tax amount", "Invoicing Amount", "Total including Tax",
)  # fmt: skip
DEFAULT_ROWS_PER_BATCH = 65_536
NONE_SUPERSEDED: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ChargeBatch:
    """Consecutive records of the file: `charges` under CHARGES_SCHEMA, `rejected` under rejections.REJECTED_SCHEMA.

    `rows` counts the records: those loaded and those rejected, each once. `charge_months` are those of the rows that
    break no rule, superseded ones included: what a file is for does not depend on other files.
    """

    charges: pa.RecordBatch
    rejected: pa.RecordBatch
    rows: int
    charge_months: pa.Array

    def month_votes(self) -> Counter[str]:
        """How many of those rows state each Charge Month; blank cells have no vote."""
        counted = pc.value_counts(self.charge_months.drop_null()).to_pylist()
        return Counter({one["values"]: one["counts"] for one in counted})


class R189File:
    """The file at `path`, delivered under `name`, read under the operator's profile `pinned`.

    Making one reads the file once to detect its styles (and hash it); `batches` reads it again. RefusedFile, one line,
    where it cannot be read with certainty. `sha256` is the known hash of its bytes as received, else it is computed.
    `rows` counts its records, `invoices` those of each invoice number, rejected ones included where it can be told.
    `cut` tells of a file that ends within its last record: it was cut short, or is still being written.
    """

    def __init__(self, path: Path, pinned: Profile, *, name: str, sha256: str | None = None) -> None:
        self._path = path
        self._name = name
        self._pinned = pinned
        found = survey(path, pinned, name=name, sha256=sha256)
        self.profile, self.sha256 = found.profile, found.sha256
        self.rows: int = found.rows
        self.invoices: Counter[str] = found.invoices
        self.cut: bool = found.cut

    def batches(
        self, rows_per_batch: int = DEFAULT_ROWS_PER_BATCH, superseded: Mapping[str, str] = NONE_SUPERSEDED
    ) -> Iterator[ChargeBatch]:
        """The rows in the file's order, at most `rows_per_batch` loaded ones at a time; memory stays that of a block.

        Rows of an invoice number in `superseded` (number → why) are rejected under that check, whatever else they break.
        """
        cells = cell_reader(self.profile, self._pinned)
        for block_piece in self.pieces():
            for piece in slices(block_piece, rows_per_batch):
                yield charge_batch(piece, cells.typed(piece), self.sha256, superseded)

    def pieces(self) -> Iterator[Piece]:
        """The records as text cells, before anything is made of them."""
        profile = self.profile
        opened = open_file(self._path, self._name, profile.encoding, checked=False, hashed=False)
        blocks = BlockReader(
            opened.header, opened.newline, self._name,
            coded=coded_headers(profile.columns), plain=plain_headers(profile.columns),
            check_utf8=profile.encoding == UTF8 and profile.origins["encoding"] is Origin.PINNED,
            replaced=profile.encoding == WINDOWS_1252,
        )  # fmt: skip
        yield from blocks.pieces(opened.blocks)


def cell_reader(profile: FileProfile, pinned: Profile) -> CellReader:
    """What reads the cells of a file of that profile, with the operator's own words beside the usual ones."""
    return CellReader(
        profile,
        vocabulary.Vocabulary[DocumentType](vocabulary.DOCUMENT_TYPES, pinned.document_types),
        vocabulary.Vocabulary[ChargeType](vocabulary.FREQUENCIES, pinned.frequencies),
    )


def charge_batch(piece: Piece, typed: TypedPiece, sha256: str, superseded: Mapping[str, str]) -> ChargeBatch:
    """Charges and rejected rows of a piece, whose typed cells are `typed`."""
    typed = with_credits_negative(typed)
    rejections = [*piece.faults, *_rejections(piece, typed)]
    sound = ~np.isin(piece.rows, [one.source_row for one in rejections])
    months, kept = typed.columns["Charge Month"].filter(pa.array(sound)), sound
    rejected = rejected_batch(rejections, sha256)
    if superseded:
        elsewhere = superseded_rows(piece, superseded, sha256)
        settled = elsewhere.column("source_row")
        rejected = in_order(elsewhere, rejected.filter(pc.invert(pc.is_in(rejected.column("source_row"), settled))))
        kept = sound & ~np.isin(piece.rows, settled.to_numpy())
    charges = _charges(piece, typed, sha256)
    if not kept.all():
        charges = charges.filter(pa.array(kept))
    left_out = pc.count_distinct(rejected.column("source_row")).as_py()
    return ChargeBatch(charges, rejected, charges.num_rows + left_out, months)


def with_credits_negative(typed: TypedPiece) -> TypedPiece:
    """The same rows, every amount of a credit note −|x|, whichever sign the file gave it."""
    credit = pc.fill_null(pc.equal(typed.document_type, DocumentType.CREDIT_NOTE.value), False)
    if not pc.any(credit).as_py():
        return typed
    columns = dict(typed.columns)
    for header in AMOUNTS:
        amount = columns[header]
        columns[header] = pc.if_else(credit, pc.negate(pc.abs(amount)), amount)
    return replace(typed, columns=columns)


def _rejections(piece: Piece, typed: TypedPiece) -> Iterator[Rejection]:
    texts: dict[int, RowText] = {}

    def text(at: int) -> RowText:
        return texts.setdefault(at, piece.text(at)) if at not in texts else texts[at]

    unreadable = {(fault.at, fault.header) for fault in typed.unreadable}
    for fault in typed.unreadable:
        yield Rejection(int(piece.rows[fault.at]), fault.header, fault.check, fault.message, text(fault.at))
    if piece.cells.num_rows == 0:
        return
    for at, rule in rules.broken_rules(rules.facts(typed, unreadable)):
        yield Rejection(int(piece.rows[at]), rule.header, rule.check, _message(piece, at, rule), text(at))


def _message(piece: Piece, at: int, rule: Rule) -> str:
    """The rule's message with the row's cell; rules are about no personal column."""
    if rule.header not in piece.header.columns:  # only one of the two Period columns is in the file
        return rule.message
    return rule.message.format(shown((piece.cells.column(rule.header)[at].as_py() or "").strip()))


def _charges(piece: Piece, typed: TypedPiece, sha256: str) -> pa.RecordBatch:
    rows = piece.cells.num_rows
    by_name = {BY_HEADER[header].name: array for header, array in typed.columns.items()}
    by_name["source_sha256"] = pa.repeat(pa.scalar(sha256, pa.string()), rows)
    by_name["source_row"] = pa.array(piece.rows, pa.int64())
    by_name[MAPPED_DOCUMENT_TYPE] = typed.document_type
    by_name[CHARGE_TYPE] = _charge_type(typed)
    return pa.RecordBatch.from_arrays([by_name[field.name] for field in CHARGES_SCHEMA], schema=CHARGES_SCHEMA)


def _charge_type(typed: TypedPiece) -> pa.Array:
    """The frequency's meaning; for a blank frequency recurring where a Monthly price stands, else one-off."""
    priced = pc.is_valid(typed.columns["Monthly price"])
    assumed = pc.if_else(priced, ChargeType.RECURRING.value, ChargeType.ONE_OFF.value)
    return pc.coalesce(typed.charge_type, assumed)


def slices(piece: Piece, rows: int) -> Iterator[Piece]:
    """The piece cut to at most `rows` readable records each; a fault goes with the records before it."""
    total = piece.cells.num_rows
    if total <= rows:
        if total or piece.faults:
            yield piece
        return
    faults: Sequence[Rejection] = piece.faults
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        bound = piece.rows[stop] if stop < total else None
        mine = [one for one in faults if bound is None or one.source_row < bound]
        faults = faults[len(mine) :]
        yield replace(
            piece,
            cells=piece.cells.slice(start, stop - start),
            rows=piece.rows[start:stop],
            starts=piece.starts[start:stop],
            faults=mine,
        )
