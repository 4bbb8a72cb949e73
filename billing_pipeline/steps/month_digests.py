"""What a load contributes to each month, as digests: equal ones mean that the month's verdicts rest on the same lines."""

from collections import defaultdict

import duckdb
import pyarrow as pa

_OF_SHARE = ("amount_ht", "currency", "invoicing_amount", "invoicing_currency")
_OF_LINE = (
    "service_id", "installed_offer_id", "external_reference", "serial_number", "order_reference", "charge_type",
    "description", "total_ht", "service_from", "service_to", "charge_month",
)  # fmt: skip
# What of a line must be beside its shares for `MonthDigests.add`.
READ_BY_VERDICTS = _OF_LINE
_QUERY = f"""
SELECT service_month, count(*), sum(hash({", ".join(("invoice_id", "line_id", *_OF_SHARE, *_OF_LINE))})::HUGEINT)
FROM shares GROUP BY service_month
"""


class MonthDigests:
    """Digests of shares and of what verdicts read of their lines, batch by batch; their order makes no difference.

    A month's digest is the count and the sum of its rows' 64-bit hashes: two different contents agree by chance once in
    1.8e19. DuckDB hashes whatever engine computes, so that a change of engine makes no month stale.
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._hasher = duckdb.connect(config={"threads": 1, "memory_limit": "256MB"})

    def add(self, shares: pa.Table) -> None:
        """`shares`: the content of `line_allocations` with the columns of READ_BY_VERDICTS beside it."""
        if not len(shares):
            return
        self._hasher.register("shares", shares)
        for month, count, total in self._hasher.execute(_QUERY).fetchall():
            rows, so_far = self._sums[month]
            self._sums[month] = (rows + count, so_far + total)
        self._hasher.unregister("shares")

    def digests(self) -> dict[str, str]:
        """service_month → digest."""
        return {month: f"{rows}-{total % 2**128:032x}" for month, (rows, total) in sorted(self._sums.items())}

    def close(self) -> None:
        self._hasher.close()
