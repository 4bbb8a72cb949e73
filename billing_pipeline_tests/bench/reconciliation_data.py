"""A month of any size for the reconciliation benchmarks, in the store's Parquet layout: the same for the same numbers.

One recurring line per service, matched by its installed offer; `exceptions` of the services go wrong instead, spread
evenly over every reason code. Lines and services lie in unrelated orders. Nothing is measured here.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from billing_pipeline.schemas.arrow import content_schema, parquet_schema
from billing_pipeline.schemas.columns import Table
from billing_pipeline.schemas.tables import (
    EXPECTED_CHARGES,
    INVOICE_FINDINGS,
    INVOICE_LINES,
    LINE_ALLOCATIONS,
    REJECTED_ROWS,
    SERVICE_PRICES,
    SERVICES,
)

OPERATOR, PERIOD = "ORANGE", "2024-03"
SEED = 35
LINES_PER_INVOICE = 100
_MONEY = pa.decimal128(18, 6)
_ROWS_PER_GROUP = 1 << 17
_ROWS_AT_ONCE = 10_000_000
# What each kind of exception ends as; OTHER_MONTHS is matched by a quarter's line, whose share must be looked up.
KINDS = (
    "ROUNDING", "NOT_BILLED", "LINE_REJECTED", "TERMINATED", "NOT_YET_ACTIVE", "BILLED_AFTER_TERMINATION",
    "BILLED_BEFORE_ACTIVATION", "UNKNOWN_SERVICE", "AMBIGUOUS_SERVICE", "UNEXPECTED_CHARGE", "CURRENCY_MISMATCH",
    "DUPLICATE_LINE", "PRORATION", "STALE_PRICE", "DISCOUNT_MISSING", "PRICE_MISMATCH", "UNEXPLAINED", "OTHER_MONTHS",
)  # fmt: skip
_PLAIN = -1


def write_month(folder: Path, rows: int, exceptions: float, *, period: str = PERIOD, seed: int = SEED) -> Path:
    """`rows` services and about as many lines of `period` under `folder`/parquet; that folder.

    More than fit into memory are made part by part, each with its own numbers.
    """
    root = folder / "parquet"
    generator = np.random.default_rng(seed)
    with ExitStack() as files:
        writers: dict[str, pq.ParquetWriter] = {}
        for first in range(0, rows, _ROWS_AT_ONCE):
            made = _Month(min(_ROWS_AT_ONCE, rows - first), exceptions, period, generator, first)
            for table, content in made.tables():
                if table.name not in writers:
                    writers[table.name] = files.enter_context(_writer(root, table, period))
                writers[table.name].write_table(_stamped(table, content), row_group_size=_ROWS_PER_GROUP)
                del content
    return root


def _writer(root: Path, table: Table, period: str) -> pq.ParquetWriter:
    path = root / table.name / f"period={period}" / f"operator_code={OPERATOR}" / "data.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    return pq.ParquetWriter(path, parquet_schema(table), compression="zstd", version="2.6")


class _Month:
    """The columns of one month; every service has a number, 0 on, and a kind of exception or none."""

    def __init__(
        self, rows: int, exceptions: float, period: str, generator: np.random.Generator, first: int = 0
    ) -> None:
        self._rows = rows
        self._first_number = first
        self._period = period
        self._first = dt.date.fromisoformat(f"{period}-01")
        self._generator = generator
        wrong = generator.random(rows) < exceptions
        self._kind = np.where(wrong, generator.integers(0, len(KINDS), rows), _PLAIN)
        self._cents = generator.integers(900, 90_000, rows) * 100 + 3100  # thirty-firsts of it are whole cents
        self._order = generator.permutation(rows)

    def tables(self) -> Iterator[tuple[Table, pa.Table]]:
        yield SERVICES, self.services()
        lines = self.lines()
        yield INVOICE_LINES, lines
        yield LINE_ALLOCATIONS, self.allocations(lines)
        del lines
        yield SERVICE_PRICES, self.prices()
        yield REJECTED_ROWS, self.rejected()
        yield EXPECTED_CHARGES, _empty(EXPECTED_CHARGES)
        yield INVOICE_FINDINGS, _empty(INVOICE_FINDINGS)

    def _numbered(self, prefix: str, numbers: np.ndarray, width: int, each: int = 1) -> pa.Array:
        """Names by number; `each` rows of this part share one."""
        return _numbered(prefix, numbers + self._first_number // each, width)

    def _is(self, *kinds: str) -> np.ndarray:
        return np.isin(self._kind, [KINDS.index(kind) for kind in kinds])

    def services(self) -> pa.Table:
        numbers = self._order
        kind_is = {kind: self._is(kind)[numbers] for kind in KINDS}
        price = self._cents[numbers]
        half = kind_is["BILLED_AFTER_TERMINATION"]
        late = kind_is["BILLED_BEFORE_ACTIVATION"] | kind_is["PRORATION"]
        gone, early = kind_is["TERMINATED"], kind_is["NOT_YET_ACTIVE"]
        days = np.where(gone | early, 0, np.where(half, 10, np.where(late, 21, 31)))
        discount = np.where(kind_is["DISCOUNT_MISSING"], 10, 0)
        expected = (2 * price * days * (100 - discount) + 3100) // 6200
        opens = np.where(late, np.datetime64(self._day(11)), np.datetime64("2022-05-01"))
        opens = np.where(early, np.datetime64(self._day(31) + dt.timedelta(days=1)), opens)
        ends = np.where(half, np.datetime64(self._day(10)), np.datetime64("NaT"))
        ends = np.where(gone, np.datetime64(self._first - dt.timedelta(days=1)), ends)
        offers = pc.if_else(
            pa.array(kind_is["AMBIGUOUS_SERVICE"]), self._shared(numbers), self._numbered("IO-", numbers, 9)
        )
        return _table(
            SERVICES,
            service_id=self._numbered("SVC-", numbers, 9),
            description=pa.repeat(pa.scalar("Accès FTTH Pro 500 Mbit/s"), len(numbers)),
            customer_id=self._numbered("CUST-", numbers // 7, 6, each=7),
            currency=pa.repeat(pa.scalar("EUR"), len(numbers)),
            monthly_price_ht=_money(price),
            discount_percent=_money(discount * 100),
            activated_on=pa.array(opens.astype("datetime64[D]")),
            terminated_on=pa.array(ends.astype("datetime64[D]")),
            installed_offer_id=offers,
            external_reference=self._numbered("OO-", numbers, 8),
            expected_amount=_money(expected),
            active_days=pa.array(days),
        )

    def _day(self, number: int) -> dt.date:
        return self._first + dt.timedelta(days=number - 1)

    def _shared(self, numbers: np.ndarray) -> pa.Array:
        """Offers by which two services of the kind go: a bare join stays within four rows per pair."""
        return self._numbered("IO-SHARED-", np.cumsum(self._is("AMBIGUOUS_SERVICE"))[numbers] // 2, 9)

    def lines(self) -> pa.Table:
        numbers = np.flatnonzero(~self._is("NOT_BILLED", "LINE_REJECTED"))
        twice = np.flatnonzero(self._is("DUPLICATE_LINE", "UNEXPLAINED"))
        again = np.concatenate([np.zeros(len(numbers), bool), np.ones(len(twice), bool)])
        numbers = np.concatenate([numbers, twice])
        shuffled = self._generator.permutation(len(numbers))
        numbers, again = numbers[shuffled], again[shuffled]
        kind_is = {kind: self._is(kind)[numbers] for kind in KINDS}
        rows = np.arange(len(numbers))
        cents = self._billed(numbers, kind_is)
        quarter = pa.array(kind_is["OTHER_MONTHS"])
        start = pc.if_else(quarter, pa.scalar(_months_before(self._first, 2)), pa.scalar(self._first))
        late = pa.array(kind_is["PRORATION"])
        start = pc.if_else(late, pa.scalar(self._day(11)), start)
        offers = self._numbered("IO-", numbers, 9)
        offers = pc.if_else(pa.array(kind_is["UNKNOWN_SERVICE"]), self._numbered("ZZ-", numbers, 9), offers)
        offers = pc.if_else(pa.array(kind_is["AMBIGUOUS_SERVICE"]), self._shared(numbers), offers)
        text = pc.if_else(pa.array(kind_is["UNEXPLAINED"] & again), "Option GTR 4h", "Abonnement mensuel FTTH Pro")
        currency = pc.if_else(pa.array(kind_is["CURRENCY_MISMATCH"]), "USD", "EUR")
        return _table(
            INVOICE_LINES,
            invoice_id=self._numbered("INV-", rows // LINES_PER_INVOICE, 7, each=50),
            line_id=_numbered("3fa9c1d2-", rows + 1 + 2 * self._first_number, 8),
            charge_type=pc.if_else(pa.array(kind_is["UNEXPECTED_CHARGE"]), "one_off", "recurring"),
            document_type=pa.repeat(pa.scalar("invoice"), len(rows)),
            description=text,
            service_description=pa.repeat(pa.scalar("FTTH Pro 500 Mbit/s"), len(rows)),
            total_ht=_money(cents),
            currency=currency,
            tax_rate=_money(np.full(len(rows), 2000)),
            service_from=start,
            service_to=pa.repeat(pa.scalar(self._day(31)), len(rows)),
            charge_month=pa.repeat(pa.scalar(self._period), len(rows)),
            frequency=pa.repeat(pa.scalar("Monthly"), len(rows)),
            monthly_price=_money(self._cents[numbers]),
            invoicing_amount=_money(cents),
            invoicing_currency=currency,
            account_number=self._numbered("ACC-", rows // 1000, 6, each=500),
            site_id=self._numbered("SITE", numbers, 7),
            installed_offer_id=offers,
            serial_number=self._numbered("SN", numbers, 10),
            source_sha256=pa.repeat(pa.scalar("3fa9c1d2" * 8), len(rows)),
            source_row=pa.array(rows + 1),
        )

    def _billed(self, numbers: np.ndarray, kind_is: dict[str, np.ndarray]) -> np.ndarray:
        cents: np.ndarray = self._cents[numbers].copy()
        cents += np.where(kind_is["ROUNDING"], 1, 0) + np.where(kind_is["PRICE_MISMATCH"], 350, 0)
        cents = np.where(kind_is["STALE_PRICE"], cents + 500, cents)
        cents = np.where(kind_is["PRORATION"], (cents * 42 + 30) // 60, cents)  # 21 thirtieths
        return np.where(kind_is["OTHER_MONTHS"], cents * 3, cents)

    def allocations(self, lines: pa.Table) -> pa.Table:
        """Every line's share of the month: a third of a quarter's."""
        # Allocated days 31 of 91 by whole months are a third, and every price here is a whole number of cents.
        quarter = pc.less(lines["service_from"], pa.scalar(self._first))
        cents = pc.multiply(lines["total_ht"], pa.scalar(100)).cast(pa.int64())
        amount = _money(np.where(quarter, cents.to_numpy() // 3, cents.to_numpy()))
        days = pc.add(
            pc.days_between(pc.max_element_wise(lines["service_from"], pa.scalar(self._first)), lines["service_to"]), 1
        )
        return _table(
            LINE_ALLOCATIONS,
            invoice_id=lines["invoice_id"],
            line_id=lines["line_id"],
            service_month=pa.repeat(pa.scalar(self._period), len(lines)),
            days=days,
            amount_ht=amount,
            currency=lines["currency"],
            invoicing_amount=amount,
            invoicing_currency=lines["invoicing_currency"],
        )

    def prices(self) -> pa.Table:
        """An earlier price for those billed at it, in force until a year before the month, and today's."""
        numbers = np.flatnonzero(self._is("STALE_PRICE"))
        old, new = pa.array([dt.date(2022, 5, 1)]), pa.array([dt.date(2023, 1, 1)])
        return pa.concat_tables(
            [
                _table(
                    SERVICE_PRICES,
                    service_id=self._numbered("SVC-", numbers, 9),
                    valid_from=pa.repeat(since[0], len(numbers)),
                    monthly_price_ht=_money(self._cents[numbers] + more),
                )
                for since, more in ((old, 500), (new, 0))
            ]
        )

    def rejected(self) -> pa.Table:
        numbers = np.flatnonzero(self._is("LINE_REJECTED"))
        return _table(
            REJECTED_ROWS,
            source_sha256=pa.repeat(pa.scalar("3fa9c1d2" * 8), len(numbers)),
            source_row=pa.array(numbers),
            column_name=pa.repeat(pa.scalar("Taxable amount"), len(numbers)),
            check_name=pa.repeat(pa.scalar("type"), len(numbers)),
            message=pa.repeat(pa.scalar("is not a number"), len(numbers)),
            installed_offer_id=self._numbered("IO-", numbers, 9),
        )


def _months_before(day: dt.date, months: int) -> dt.date:
    index = day.year * 12 + day.month - 1 - months
    return dt.date(index // 12, index % 12 + 1, 1)


def _numbered(prefix: str, numbers: np.ndarray, width: int) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _money(cents: np.ndarray) -> pa.Array:
    millionths = np.zeros((len(cents), 2), np.int64)  # decimal128 in memory: low and high word
    millionths[:, 0] = np.asarray(cents, np.int64) * 10_000
    millionths[:, 1] = np.where(millionths[:, 0] < 0, -1, 0)
    return pa.Array.from_buffers(_MONEY, len(cents), [None, pa.py_buffer(millionths)])


def _table(table: Table, **columns: pa.Array) -> pa.Table:
    """Content rows of `table`; a column not given is null."""
    schema = content_schema(table)
    count = len(next(iter(columns.values())))
    arrays = [
        columns[name].cast(schema.field(name).type) if name in columns else pa.nulls(count, schema.field(name).type)
        for name in schema.names
    ]
    return pa.Table.from_arrays(arrays, names=schema.names)


def _empty(table: Table) -> pa.Table:
    return content_schema(table).empty_table()


def _stamped(table: Table, content: pa.Table) -> pa.Table:
    instant = pa.scalar(dt.datetime(2024, 4, 6, tzinfo=dt.UTC), pa.timestamp("us", tz="UTC"))
    stamped = content.append_column("run_id", pa.repeat(pa.scalar("bench"), len(content)))
    stamped = stamped.append_column("loaded_at", pa.repeat(instant, len(content)))
    return stamped.cast(parquet_schema(table))
