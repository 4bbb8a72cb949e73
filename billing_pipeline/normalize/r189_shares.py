"""The shares of lines that lie within one month, as a reading goes by: no engine, no second look at the line.

The rule is reconciliation/allocate.py's, which also spreads the lines that span months.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.periods import Period
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import LINE_ALLOCATIONS

SHARES = content_schema(LINE_ALLOCATIONS)
_DAY = np.dtype("datetime64[D]")


def spans_months(lines: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which lines state both their days, in different months."""
    first, last = _days(lines, "service_from"), _days(lines, "service_to")
    spanning: npt.NDArray[np.bool_] = _dated(lines) & (first.astype("datetime64[M]") != last.astype("datetime64[M]"))
    return spanning


def shares_within_month(lines: pa.RecordBatch, period: str) -> pa.RecordBatch:
    """One share per line, in order, under SHARES. `lines` (content of INVOICE_LINES of `period`) span no months.

    Days are those of the stated service, else of the whole month: the charge month, else the invoice's period.
    """
    dated = _dated(lines)
    first, last = _days(lines, "service_from"), _days(lines, "service_to")
    months = pc.coalesce(lines.column("charge_month"), pa.scalar(period))
    stated, position = np.unique(first.astype("datetime64[M]"), return_inverse=True)
    labels = pa.array([str(month) for month in stated], pa.string())
    service_month = pc.if_else(pa.array(dated), labels.take(pa.array(position)), months)
    coded = months.dictionary_encode()
    lengths = np.array([Period.parse(month).days for month in coded.dictionary.to_pylist()], np.int64)
    whole = lengths[coded.indices.to_numpy()] if len(lengths) else np.zeros(0, np.int64)
    filled = {
        "service_month": service_month,
        "days": pa.array(np.where(dated, (last - first).astype(np.int64) + 1, whole)),
        "amount_ht": lines.column("total_ht"),
    }
    arrays = [filled.get(field.name) for field in SHARES]
    return pa.RecordBatch.from_arrays(
        [
            lines.column(field.name) if array is None else array.cast(field.type)
            for field, array in zip(SHARES, arrays, strict=True)
        ],
        schema=SHARES,
    )


def _dated(lines: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    both = pc.and_(pc.is_valid(lines.column("service_from")), pc.is_valid(lines.column("service_to")))
    found: npt.NDArray[np.bool_] = both.to_numpy(zero_copy_only=False)
    return found


def _days(lines: pa.RecordBatch, name: str) -> npt.NDArray[np.datetime64]:
    """A date column as days, 1970-01-01 where it is null."""
    days = pc.fill_null(lines.column(name).cast(pa.int32()), 0).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.datetime64] = days.astype(np.int64).astype(_DAY)
    return found
