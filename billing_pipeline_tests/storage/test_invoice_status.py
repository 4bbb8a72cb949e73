"""An invoice's overall status: the worst of its evaluated periods, and no verdict before there is one."""

import pytest

from billing_pipeline.storage.connections import connect

EVALUATED = "INSERT INTO billing.invoice_reconciliation VALUES ('ORANGE', %s, 'F1', %s, 'run', now())"
FINDING = (
    "INSERT INTO billing.invoice_findings (operator_code, period, invoice_id, line_id, code, subject, run_id, loaded_at)"
    " VALUES (%s, %s, %s, '', 'DUPLICATE_INVOICE', '', 'run', now())"
)


@pytest.mark.parametrize(
    ("verdicts", "findings", "expected"),
    [
        ([], [], None),
        ([("2024-03", "MATCHED")], [], "MATCHED"),
        ([("2024-03", "MATCHED"), ("2024-04", "UNMATCHED")], [], "UNMATCHED"),
        ([("2024-01", "DISCREPANCY"), ("2024-03", "UNMATCHED")], [], "DISCREPANCY"),
        # Found in another month's file: still about this invoice.
        ([("2024-03", "MATCHED")], [("ORANGE", "2024-05", "F1")], "DISCREPANCY"),
        ([], [("ORANGE", "2024-03", "F1")], None),
        ([("2024-03", "MATCHED")], [("SFR", "2024-03", "F1"), ("ORANGE", "2024-03", ""), ("ORANGE", "2024-03", "F2")], "MATCHED"),
    ],
)  # fmt: skip
def test_the_worst_verdict_counts(
    url: str, verdicts: list[tuple[str, str]], findings: list[tuple[str, str, str]], expected: str | None
) -> None:
    with connect(url) as connection:
        for operator in ("ORANGE", "SFR"):
            connection.execute(
                "INSERT INTO billing.invoices (operator_code, period, invoice_id, run_id, loaded_at)"
                " VALUES (%s, '2024-03', 'F1', 'run', now())", (operator,),
            )  # fmt: skip
        for verdict in verdicts:
            connection.execute(EVALUATED, verdict)
        for finding in findings * 2:
            connection.execute(FINDING + " ON CONFLICT DO NOTHING", finding)
        found = connection.execute(
            "SELECT operator_code, reconciliation_status FROM billing.invoices_with_status ORDER BY 1"
        ).fetchall()
    assert found == [("ORANGE", expected), ("SFR", None)]
