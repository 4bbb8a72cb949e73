"""Charge files made for a test: a sound row to vary, the bytes of a file, and what reading it gave."""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from billing_pipeline.config import Profile
from billing_pipeline.r189.at_once import ChargesAtOnce, NotBorneOut
from billing_pipeline.r189.profile import FileProfile
from billing_pipeline.r189.reader import R189File
from billing_pipeline.schemas.r189 import R189_COLUMNS

HEADERS = tuple(column.header for column in R189_COLUMNS)
SOUND = {
    "Customer Number": "9300856",
    "Invoice number": "INV-1",
    "Invoice Date": "2024-04-14",
    "Document type": "Invoice",
    "Period from": "2024-03-01",
    "Period to": "2024-03-31",
    "Charge Month": "2024-03",
    "Site address": "12 rue de l'Église",
    "Frequency": "Monthly",
    "Monthly price": "20.00",
    "Charge Currency": "EUR",
    "Exchange rate": "1",
    "Pre-discount amount": "20.00",
    "Discount amount": "0.00",
    "Taxable amount": "20.00",
    "Tax rate": "20",
    "Serial Number": "SN-1",
    "Invoice Contact": "Zoé Durand",
    "Phone Number": "+33 5 56 00 00 00",
}


def row(changes: Mapping[str, str] | None = None, **also: str) -> dict[str, str]:
    """A sound row with some cells changed; keywords write spaces as underscores."""
    made = {**SOUND, **(changes or {}), **{name.replace("_", " "): value for name, value in also.items()}}
    assert set(made) <= set(HEADERS), "a cell no column would carry"
    return made


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ';"\r\n') else cell


def text_of(rows: Sequence[Mapping[str, str]], headers: Sequence[str] = HEADERS, newline: str = "\n") -> str:
    records = [list(headers), *([one.get(header, "") for header in headers] for one in rows)]
    return "".join(";".join(quoted(cell) for cell in record) + newline for record in records)


@dataclass
class Reading:
    """All batches of one file together."""

    profile: FileProfile
    sha256: str
    rows: int
    charges: list[dict[str, object]]
    rejected: list[dict[str, object]]

    @property
    def checks(self) -> list[tuple[object, object, object]]:
        return [(one["source_row"], one["column_name"], one["check_name"]) for one in self.rejected]

    @property
    def balances(self) -> bool:
        loaded = {one["source_row"] for one in self.charges}
        left_out = {one["source_row"] for one in self.rejected}
        return not loaded & left_out and loaded | left_out == set(range(1, self.rows + 1))


def read(
    folder: Path,
    content: bytes | str,
    profile: Profile | None = None,
    *,
    name: str = "x.csv",
    rows_per_batch: int = 1000,
) -> Reading:
    """Write the content to a file named as the raw store would, and read it as delivered under `name`."""
    data = content.encode() if isinstance(content, str) else content
    path = folder / "received"
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    file = R189File(path, profile or Profile(), name=name)
    reading = Reading(file.profile, file.sha256, 0, [], [])
    for batch in file.batches(rows_per_batch):
        charges, rejected = batch.charges.to_pylist(), batch.rejected.to_pylist()
        assert batch.rows == len(charges) + len({one["source_row"] for one in rejected})
        reading.rows += batch.rows
        reading.charges += charges
        reading.rejected += rejected
    assert read_at_once(path, file.sha256, profile, name=name) in (None, reading)
    return reading


def read_at_once(
    path: Path, sha256: str, profile: Profile | None = None, *, name: str = "x.csv", block_bytes: int = 4096
) -> Reading | None:
    """The file read once, its first 4 KB speaking for it; None where that cannot be borne out."""
    try:
        file = ChargesAtOnce(path, profile or Profile(), name=name, sha256=sha256, block_bytes=block_bytes)
        batches = list(file.batches())
    except NotBorneOut:
        return None
    charges = [row for one in batches for row in one.charges.to_pylist()]
    rejected = [row for one in batches for row in one.rejected.to_pylist()]
    return Reading(file.profile, sha256, file.rows, charges, rejected)
