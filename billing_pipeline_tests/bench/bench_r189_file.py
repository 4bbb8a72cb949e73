"""A charge file of any size for the benchmarks: plausible, valid, the same bytes for the same rows and seed.

About 480 bytes per row, 100 rows per invoice; 95 % of the lines are for one month, 2 % for a quarter, 3 % state no days.
Run as a program it writes one: `python -m billing_pipeline_tests.bench.bench_r189_file FILE --rows 1000000`.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from billing_pipeline.schemas.r189 import R189_COLUMNS

SEED = 189
ROWS_PER_INVOICE = 100
_ROWS_PER_BLOCK = 50_000
_CITIES = ("Paris", "Lyon", "Marseille", "Bordeaux", "Saint-Étienne", "Aix-en-Provence", "Nîmes", "Le Mans")
_OFFERS = ("FTTO Premium 1 Gbit/s GTR 4h", "FTTH Pro 500 Mbit/s", "Collecte Ethernet L2 10 Gbit/s", "SDSL 8 Mbit/s")


def write_file(path: Path, rows: int, *, month: str = "2024-03", seed: int = SEED, prefix: str = "INV") -> Path:
    """Write `rows` charges of `month`; invoices are numbered `prefix`-000001 on."""
    generator = np.random.default_rng(seed)
    headers = [column.header for column in R189_COLUMNS]
    with path.open("wb") as file:
        file.write((";".join(headers) + "\n").encode())
        for start in range(0, rows, _ROWS_PER_BLOCK):
            count = min(_ROWS_PER_BLOCK, rows - start)
            cells = _block(generator, start, count, month, prefix)
            table = pa.table([cells.get(header, pa.nulls(count, pa.string())) for header in headers], names=headers)
            csv.write_csv(table, file, csv.WriteOptions(include_header=False, delimiter=";", quoting_style="none"))
    return path


def _block(generator: np.random.Generator, start: int, count: int, month: str, prefix: str) -> dict[str, pa.Array]:
    numbers = np.arange(start, start + count)
    price = generator.integers(900, 90_000, count)
    discount = np.where(generator.random(count) < 0.2, price // 10, 0)
    taxable = price - discount
    tax = (taxable * 20 + 50) // 100
    kind = generator.random(count)
    undated, quarter = kind < 0.03, (kind >= 0.03) & (kind < 0.05)
    year, number = (int(part) for part in month.split("-"))
    first = f"{year:04d}-{max(number - 2, 1):02d}-01"
    blank = pa.scalar(None, pa.string())
    period_from = pc.if_else(pa.array(quarter), first, f"{month}-01")
    fixed = {
        "Customer Number": "9300856", "Customer name": "Opérateur Commercial du Sud SAS", "Document type": "Invoice",
        "Invoice Date": f"{month}-28", "Charge Month": month, "Division code": "D12", "Division name": "Grand Sud",
        "Country": "FR", "Country Name": "France", "Tax Description": "TVA 20 %", "Frequency": "Monthly",
        "Charge Currency": "EUR", "Exchange rate": "1.000000", "Tax rate": "20.00", "Invoicing Currency": "EUR",
        "Invoice Contact": "facturation@operateur.example", "Phone Number": "+33 1 00 00 00 00",
        "Payment Term": "30 jours fin de mois", "Payment Due Date": f"{month}-28", "Site State": "Occitanie",
        "Number of days": "31",
    }  # fmt: skip
    cells = {header: pa.repeat(pa.scalar(value), count) for header, value in fixed.items()}
    city = generator.integers(0, len(_CITIES), count)
    offer = generator.integers(0, len(_OFFERS), count)
    cells |= {
        "Account number": _numbered("ACC-", numbers // 1000, 6),
        "Invoice number": _numbered(f"{prefix}-", numbers // ROWS_PER_INVOICE, 6),
        "Period from": pc.if_else(pa.array(undated), blank, period_from),
        "Period to": pc.if_else(pa.array(undated), blank, f"{month}-28"),
        "Service description": pc.take(pa.array(_OFFERS), pa.array(offer)),
        "Service start date": pc.strftime(
            pa.array(np.datetime64("2015-01-01") + generator.integers(0, 3000, count)), format="%Y-%m-%d"
        ),
        "Site ID": _numbered("SITE", generator.integers(0, 200_000, count), 6),
        "Site name": _numbered("Agence n° ", generator.integers(0, 200_000, count), 6),
        "Site address": _numbered("12 bis rue de l'Église, bâtiment ", generator.integers(0, 90_000, count), 5),
        "Site City": pc.take(pa.array(_CITIES), pa.array(city)),
        "Postal Code": _numbered("", generator.integers(1000, 95_999, count), 5),
        "Speed": pc.take(pa.array(["1 Gbit/s", "500 Mbit/s", "10 Gbit/s", "8 Mbit/s"]), pa.array(offer)),
        "Bandwidth": pc.take(pa.array(["1G", "500M", "10G", "8M"]), pa.array(offer)),
        "Charge Description": pc.binary_join_element_wise(
            "Abonnement mensuel", pc.take(pa.array(_OFFERS), pa.array(offer)), " "
        ),
        "Monthly price": _money(price), "Pre-discount amount": _money(price), "Discount amount": _money(discount),
        "Discount percentage": pc.if_else(pa.array(discount > 0), "10.00", "0.00"),
        "Taxable amount": _money(taxable), "Tax amount": _money(tax), "Invoicing Amount": _money(taxable),
        "Total including Tax": _money(taxable + tax),
        "TC Cross Reference": _numbered("TC", generator.integers(0, 10**8, count), 8),
        "Serial Number": _numbered("SN", generator.permutation(count) + start, 10),
        "Order reference": _numbered("CMD-2023-", generator.integers(0, 10**7, count), 7),
        "Installed Offer ID": _numbered("IO-", numbers, 9),
        "PO Reference": _numbered("PO", generator.integers(0, 10**6, count), 6),
        "External Reference": _numbered("OO-", generator.integers(0, 10**8, count), 8),
    }  # fmt: skip
    return cells


def _numbered(prefix: str, numbers: np.ndarray, width: int) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _money(cents: np.ndarray) -> pa.Array:
    whole = pa.array(cents // 100).cast(pa.string())
    return pc.binary_join_element_wise(whole, pc.utf8_lpad(pa.array(cents % 100).cast(pa.string()), 2, "0"), ".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    write_file(options.file, options.rows)


if __name__ == "__main__":
    main()
