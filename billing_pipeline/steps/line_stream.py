"""Rows of a partition's documents on their way into its tables: lines, their shares, charges, rejected rows.

Each batch is done with at once; only lines that span months wait, in a file, for the engine to spread them. What is
gathered beside (invoices, month digests, sums) does not grow with the rows.
"""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from billing_pipeline.errors import IdentityViolation
from billing_pipeline.normalize.r189_lines import LINES, InvoiceTotals
from billing_pipeline.normalize.r189_shares import SHARES, shares_within_month, spans_months
from billing_pipeline.reconciliation.allocate import allocate
from billing_pipeline.reconciliation.identities import allocations_add_up
from billing_pipeline.reconciliation.keep import keep
from billing_pipeline.steps.engine import require_none, stream
from billing_pipeline.steps.month_digests import READ_BY_VERDICTS, MonthDigests
from billing_pipeline.steps.readings import CHARGES, Rows
from billing_pipeline.storage.incoming import Incoming

# What shares are made of and hashed with: to part all 37 columns by what spans months took twice as long.
_READ_BY_SHARES = sorted({name for name in SHARES.names if name in LINES.names} | set(READ_BY_VERDICTS))
_READ_BESIDE = pa.schema([LINES.field(name) for name in READ_BY_VERDICTS])


class LineStream:
    """Feeds `invoice_lines`, `line_allocations`, `rejected_rows` and `r189_charges` of one partition through `incoming`.

    `invoices` are those the charge rows add up to, `digests` what the shares contribute to each month; both whole after
    `finish`.
    """

    def __init__(self, incoming: Incoming, period: str, where: str, scratch: Path) -> None:
        self._incoming = incoming
        self._period = period
        self._where = where
        self._scratch = scratch
        self._spanning_path = scratch / "spanning.parquet"
        self._spanning: pq.ParquetWriter | None = None
        self._balance = _Balance()
        self.invoices = InvoiceTotals()
        self.digests = MonthDigests()

    def take(self, rows: Rows) -> None:
        """Send one batch on its way."""
        lines = rows.lines
        if rows.rejected.num_rows:
            self._incoming.write("rejected_rows", rows.rejected)
        if not lines.num_rows:
            return
        self._incoming.write("invoice_lines", lines)
        if rows.charges is not None:
            self._incoming.write("r189_charges", rows.charges.select(CHARGES.names))
            self.invoices.add(rows.charges, lines)
        self._balance.add_lines(lines)
        spanning = spans_months(lines)
        if spanning.any():
            self._wait(lines.filter(pa.array(spanning)))
            lines = lines.select(_READ_BY_SHARES).filter(pa.array(~spanning))
        if lines.num_rows:
            self._send_shares(shares_within_month(lines, self._period), lines)

    def finish(self, engine: Any) -> None:
        """Spread what spans months and hold identity 2: all shares add up to all lines, in both currencies."""
        if self._spanning is not None:
            self._spanning.close()
            self._spread(engine)
        self._balance.require(self._where)
        self.digests.close()

    def _wait(self, lines: pa.RecordBatch) -> None:
        if self._spanning is None:
            self._spanning = pq.ParquetWriter(self._spanning_path, LINES)
        self._spanning.write_batch(lines)

    def _spread(self, engine: Any) -> None:
        lines = engine.read_parquet(self._spanning_path).mutate(period=ibis.literal(self._period))
        shares = keep(allocate(lines))
        require_none(allocations_add_up(lines, shares), where=self._where)
        beside = lines.select("invoice_id", "line_id", *READ_BY_VERDICTS)
        joined = shares.inner_join(beside, ["invoice_id", "line_id"])
        for batch in stream(joined, pa.schema([*SHARES, *_READ_BESIDE]), self._scratch):
            self._send_shares(batch.select(SHARES.names), batch)

    def _send_shares(self, shares: pa.RecordBatch, lines: pa.RecordBatch) -> None:
        """`lines` hold the line of each share, row by row."""
        self._incoming.write("line_allocations", shares)
        self._balance.add_shares(shares)
        beside = [lines.column(name) for name in READ_BY_VERDICTS]
        self.digests.add(pa.table([*shares.columns, *beside], names=[*SHARES.names, *READ_BY_VERDICTS]))


class _Balance:
    """Lines less shares, by currency: nothing is left once all shares are counted."""

    def __init__(self) -> None:
        self._left: defaultdict[tuple[str, str | None], Decimal] = defaultdict(Decimal)

    def add_lines(self, lines: pa.RecordBatch) -> None:
        self._add("amount", lines, "currency", "total_ht", 1)
        self._add("invoicing amount", lines, "invoicing_currency", "invoicing_amount", 1)

    def add_shares(self, shares: pa.RecordBatch) -> None:
        self._add("amount", shares, "currency", "amount_ht", -1)
        self._add("invoicing amount", shares, "invoicing_currency", "invoicing_amount", -1)

    def require(self, where: str) -> None:
        for (what, currency), left in sorted(self._left.items(), key=str):
            if left:
                raise IdentityViolation(
                    f"{where}: identity 2, {what} in {currency}: lines and their shares differ by {left}; "
                    "nothing was replaced, and this is a defect to report"
                )

    def _add(self, what: str, rows: pa.RecordBatch, currency: str, amount: str, sign: int) -> None:
        amounts = pa.table({"currency": rows.column(currency), "amount": rows.column(amount)})
        for one in _sums(amounts):
            self._left[what, one["currency"]] += sign * (one["amount_sum"] or Decimal(0))


def _sums(amounts: pa.Table) -> list[dict[str, Any]]:
    currencies = pc.unique(amounts["currency"])
    if len(currencies) == 1:  # as a rule, and a plain sum takes a tenth of a grouped one
        return [{"currency": currencies[0].as_py(), "amount_sum": pc.sum(amounts["amount"]).as_py()}]
    found: list[dict[str, Any]] = (
        amounts.group_by("currency", use_threads=False).aggregate([("amount", "sum")]).to_pylist()
    )
    return found
