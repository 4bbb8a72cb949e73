"""What the reseller says it paid and disputed: payments.csv and disputes.csv, whole files for all months.

Read whole and refused whole, like the inventory next door. What a dispute leaves to recover is the marts' to say.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import Services
from billing_pipeline.normalize.inventory import InventoryFile, cells_of, read_file, refuse_faults, typed_table
from billing_pipeline.normalize.inventory_rules import DISPUTES, PAYMENTS, FileRules, broken_rules
from billing_pipeline.schemas.columns import Kind


@dataclass(frozen=True, slots=True)
class ClaimFiles:
    """The two files as they lie there; null where none is configured."""

    payments: InventoryFile | None
    disputes: InventoryFile | None


@dataclass(frozen=True, slots=True)
class Claims:
    """What both files say of all configured operators.

    `payments` and `disputes`: operator_code, period (the month of payment, the disputed month) and the content columns
    of the tables of these names. Amounts are excluding tax, in the disputed item's currency.
    """

    payments: pa.Table
    disputes: pa.Table
    warnings: tuple[str, ...]

    def of(self, operator_code: str) -> "Claims":
        """The same, for one operator, without the column operator_code."""

        def own(table: pa.Table) -> pa.Table:
            return table.filter(pc.equal(table["operator_code"], operator_code)).drop_columns(["operator_code"])

        return Claims(own(self.payments), own(self.disputes), self.warnings)


def read_claim_files(services: Services) -> ClaimFiles:
    """The configured files. InventoryError when one cannot be read."""
    payments, disputes = (None if path is None else read_file(path) for path in (services.payments, services.disputes))
    return ClaimFiles(payments, disputes)


def parse_claims(files: ClaimFiles, operator_codes: Sequence[str]) -> Claims:
    """Check the files and keep the configured operators' rows. InventoryError names file, row, column and remedy."""
    warnings: list[str] = []
    payments = _rows(files.payments, PAYMENTS, operator_codes, warnings)
    disputes = _rows(files.disputes, DISPUTES, operator_codes, warnings)
    payments = payments.assign(period=payments["paid_on"].str.slice(0, 7))
    disputes = disputes.assign(credited_amount=disputes["credited_amount"].replace("", "0"))
    kinds = {"source_row": Kind.INTEGER}
    recorded = typed_table(disputes, {**kinds, "sent_on": Kind.DATE, "credited_amount": Kind.DECIMAL})
    reference = recorded.schema.get_field_index("reference")
    return Claims(
        payments=typed_table(payments, {**kinds, "paid_on": Kind.DATE}),
        # Part of the key, so empty and not null where the file has none.
        disputes=recorded.set_column(reference, "reference", pc.fill_null(recorded["reference"], "")),
        warnings=tuple(warnings),
    )


def _rows(
    file: InventoryFile | None, rules: FileRules, operator_codes: Sequence[str], warnings: list[str]
) -> pd.DataFrame:
    """The file's checked rows as text, with source_sha256 and source_row in place of `row`."""
    frame = cells_of(file, rules, warnings)
    digest = ""
    if file is not None:
        for code in sorted(set(frame["operator_code"]) - set(operator_codes) - {""}):
            count = int((frame["operator_code"] == code).sum())
            warnings.append(f"{file.path}: {count} rows of {code} are left out; no such operator is configured")
        frame = frame[frame["operator_code"].isin([*operator_codes, ""])]
        refuse_faults(file, broken_rules(frame, rules))
        digest = hashlib.sha256(file.content).hexdigest()
    return frame.assign(source_sha256=pd.Series(digest, index=frame.index, dtype="string[pyarrow]")).rename(
        columns={"row": "source_row"}
    )
