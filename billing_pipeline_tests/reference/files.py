"""Several charge files of one operator: which period each is for, which counts for an invoice, and is it enough.

Reading one file is in r189.py; verdicts are elsewhere.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from billing_pipeline.config import Profile
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.r189 import KEY_NAMES, Charge, ChargeFile, read_file
from billing_pipeline_tests.reference.records import Finding, RejectedRow

_MONTH_IN_NAME = re.compile(r"(?<!\d)(\d{4})-?(0[1-9]|1[0-2])(?!\d)")


@dataclass
class DatedFile:
    """A file with its period, or None where it cannot be told; `finding` where the name overrules the rows."""

    file: ChargeFile
    stem: str
    period: Period | None
    finding: Finding | None = None


@dataclass
class Partition:
    """What one period of one operator was collected from. `incomplete`: why it is, empty where it is complete."""

    files: list[DatedFile] = field(default_factory=list)
    loaded: list[tuple[ChargeFile, Charge]] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    rows_read: int = 0
    rows_rejected: int = 0


def stem_of(name: str) -> str:
    """The name without .csv or .csv.gz."""
    return re.sub(r"(?i)\.csv(\.gz)?$", "", name)


def natural(stem: str) -> tuple[tuple[str | int, ...], str]:
    """Sorts `_v2` before `_v10`: text and numbers alternate, so like meets like."""
    pieces = re.split(r"(\d+)", stem)
    return tuple(int(piece) if index % 2 else piece for index, piece in enumerate(pieces)), stem


def read_folder(folder: Path, profile: Profile) -> list[DatedFile]:
    """Every *.csv and *.csv.gz of the folder, the same bytes once (under the greater stem), with its period."""
    by_digest: dict[str, tuple[str, bytes]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural(stem_of(path.name))):
        if path.is_file() and path.name.lower().endswith((".csv", ".csv.gz")):
            content = path.read_bytes()
            by_digest[hashlib.sha256(content).hexdigest()] = (path.name, content)
    return [dated(read_file(name, digest, content, profile)) for digest, (name, content) in by_digest.items()]


def dated(file: ChargeFile) -> DatedFile:
    """The month in the name, else the Charge Month on which all loaded rows that state one agree."""
    stem = stem_of(file.name)
    named = {Period(int(year), int(month)) for year, month in _MONTH_IN_NAME.findall(file.name) if int(year)}
    stated = {str(charge.cells["Charge Month"]) for charge in file.charges if charge.cells["Charge Month"]}
    if len(named) > 1:
        file.refused = file.refused or "has two months in its name"
        return DatedFile(file, stem, None)
    if not named:
        return DatedFile(file, stem, Period.parse(stated.pop()) if len(stated) == 1 else None)
    period = named.pop()
    if len(stated) == 1 and stated != {str(period)}:
        note = f"{file.name}: its rows state {stated.pop()}, its name {period}"
        finding = Finding(
            invoice_id="",
            line_id="",
            code="FILE_PERIOD",
            subject=file.sha256[:8],
            expected=None,
            actual=None,
            note=note,
        )
        return DatedFile(file, stem, period, finding)
    return DatedFile(file, stem, period)


def partitions(
    files: Sequence[DatedFile], periods: Sequence[Period], max_rejected_ratio: Decimal
) -> dict[Period, Partition]:
    """Per requested period: its files, the rows that count, the rejected ones, and whether that is complete."""
    made = {period: Partition() for period in periods}
    collected = [one for one in files if one.period in made and one.file.refused is None]
    owners = invoice_owners(collected)
    undated = [one for one in files if one.period is None]
    for period, partition in made.items():
        for one in files:
            if one.period == period and one.file.refused is not None:
                partition.incomplete.append(f"{one.file.name} {one.file.refused}")
        partition.files = [one for one in collected if one.period == period]
        partition.incomplete.extend(f"{one.file.name} ends within a row" for one in partition.files if one.file.cut)
        _fill(partition, owners)
        if not partition.files and not partition.incomplete:
            partition.incomplete.append("no file for the period")
        partition.incomplete.extend(f"{one.file.name}: its period cannot be told" for one in undated)
        _check_ratio(partition, max_rejected_ratio)
    return made


def invoice_owners(files: Sequence[DatedFile]) -> dict[str, DatedFile]:
    """Which file an invoice number counts from: the earliest period's, and in it the greatest stem's."""
    owners: dict[str, DatedFile] = {}
    # From the weakest claim to the strongest: late periods first, and within one the smaller stems first.
    for one in sorted(sorted(files, key=lambda one: natural(one.stem)), key=lambda one: str(one.period), reverse=True):
        for charge in one.file.charges:
            owners[str(charge.cells["Invoice number"])] = one
    return owners


def _fill(partition: Partition, owners: Mapping[str, DatedFile]) -> None:
    for one in sorted(partition.files, key=lambda one: natural(one.stem)):
        partition.rows_read += one.file.rows
        partition.rejected.extend(one.file.rejected)
        partition.rows_rejected += len({row.source_row for row in one.file.rejected})
        if one.finding is not None:
            partition.findings.append(one.finding)
        superseded: set[str] = set()
        for charge in one.file.charges:
            invoice = str(charge.cells["Invoice number"])
            if owners[invoice] is one:
                partition.loaded.append((one.file, charge))
            else:
                partition.rejected.append(_superseded(one.file, charge, owners[invoice]))
                superseded.add(invoice)
        for invoice in sorted(superseded):
            _compare_superseded(partition, invoice, one, owners[invoice])


def _superseded(file: ChargeFile, charge: Charge, owner: DatedFile) -> RejectedRow:
    keys = {name: None if (cell := charge.cells[header]) is None else str(cell) for header, name in KEY_NAMES.items()}
    return RejectedRow(
        file=file.name,
        source_sha256=file.sha256,
        source_row=charge.row,
        column_name="",
        check_name="superseded",
        message=f"invoice {charge.cells['Invoice number']} counts from {owner.file.name}",
        keys=keys,
    )


def _compare_superseded(partition: Partition, invoice: str, old: DatedFile, owner: DatedFile) -> None:
    """Adds DUPLICATE_INVOICE, once per invoice and partition, where the two files say different things."""
    rows = [_content(one.file, invoice) for one in (owner, old)]
    known = any(finding.code == "DUPLICATE_INVOICE" and finding.invoice_id == invoice for finding in partition.findings)
    if rows[0] == rows[1] or known:
        return
    totals = [
        sum((amount for charge in one.file.charges if isinstance(amount := charge.cells["Taxable amount"], Decimal)
             and charge.cells["Invoice number"] == invoice), Decimal(0))
        for one in (owner, old)
    ]  # fmt: skip
    partition.findings.append(
        Finding(
            invoice_id=invoice, line_id="", code="DUPLICATE_INVOICE", subject="", expected=totals[0], actual=totals[1],
            note=f"{old.file.name} differs from {owner.file.name}",
        )
    )  # fmt: skip


def _content(file: ChargeFile, invoice: str) -> list[str]:
    """What the file says about an invoice, in any row order: all 50 typed cells, 1.0 and 1.00 being the same."""
    return sorted(
        repr([cell.normalize() if isinstance(cell, Decimal) else cell for cell in charge.cells.values()])
        for charge in file.charges
        if charge.cells["Invoice number"] == invoice
    )


def _check_ratio(partition: Partition, max_rejected_ratio: Decimal) -> None:
    """Rejected rows over rows read, superseded ones left out on both sides."""
    counted = len(partition.loaded) + partition.rows_rejected
    if counted and Fraction(partition.rows_rejected, counted) > Fraction(max_rejected_ratio):
        partition.incomplete.append(f"{partition.rows_rejected} of {counted} rows rejected")
