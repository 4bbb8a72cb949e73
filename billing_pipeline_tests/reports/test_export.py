"""`export` as a user runs it, and the workbooks as a spreadsheet program opens them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import yaml

import billing_pipeline
from billing_pipeline.errors import IdentityViolation
from billing_pipeline.normalize.inventory_rules import DISPUTE_STATUSES
from billing_pipeline.periods import Period
from billing_pipeline.reports import words
from billing_pipeline.reports.dispute import write_workbooks
from billing_pipeline.reports.dispute_rows import DisputeRows
from billing_pipeline.schemas.tables import BY_NAME
from billing_pipeline.steps import marts
from billing_pipeline.storage.snapshot import snapshot
from billing_pipeline_tests.marts.conftest import Office

FORMULA = '=HYPERLINK("http://evil.example","")'
HOSTILE = (
    f"UPDATE billing.services SET description = '{FORMULA}' WHERE operator_code = 'SFR' AND service_id = 'A'",
    "UPDATE billing.invoice_lines SET description = '@SUM(1)' || chr(7) WHERE operator_code = 'SFR'",
    "UPDATE billing.disputes SET reference = '-2+3'",
    "INSERT INTO billing.invoice_findings VALUES ('SFR', '2024-01', 'INV:1', '', 'INVOICE_FOOTING', 'ht', 36, 36.5, 0.5,"
    " '+33 1', 'by hand', now())",
    "INSERT INTO billing.rejected_rows SELECT 'SFR', '2024-01', repeat('d', 64), n, 'Taxable amount', 'type', 'no number',"
    " NULL, NULL, NULL, NULL, NULL, NULL, 'by hand', now() FROM generate_series(7, 9) AS n",
)


def export(office: Office, *options: str, period: str = "2024-01") -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BILLING_", "DAGSTER_", "PG"))}
    return subprocess.run(
        [sys.executable, "-m", "billing_pipeline", "--config", str(office.config_path), "export", "--period", period, *options],
        cwd=office.folder, env={**kept, **office.environment}, capture_output=True, text=True, timeout=200,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@dataclass
class Exported:
    """An export of SFR's January from books with hostile texts in them."""

    office: Office
    ended: "subprocess.CompletedProcess[str]"

    @property
    def folder(self) -> Path:
        return self.office.data_dir / "exports" / "2024-01"

    def whole(self) -> Any:
        return openpyxl.load_workbook(self.folder / "SFR_2024-01_dossier_interne.xlsx")

    def claim(self) -> Any:
        return openpyxl.load_workbook(self.folder / "SFR_2024-01_reclamation.xlsx")


@pytest.fixture(scope="module")
def exported(made: Office, new_office: Any) -> Exported:
    office = new_office(made)
    office.configure(months=6, data_dir=office.folder / "data")
    office.execute(*HOSTILE)
    return Exported(office, export(office))


def rows(sheet: Any) -> list[dict[str, Any]]:
    titles = [cell.value for cell in sheet[1]]
    return [dict(zip(titles, (cell.value for cell in line), strict=True)) for line in sheet.iter_rows(min_row=2)]


def figures(sheet: Any) -> dict[str, Any]:
    return {line[0].value: line[1].value for line in sheet.iter_rows(min_row=2) if line[0].value}


def cells(*books: Any) -> Iterator[Any]:
    return (
        cell
        for made in books
        for sheet in made
        for line in sheet.iter_rows()
        for cell in line
        if cell.value is not None
    )


def test_the_command_says_what_to_send_and_what_to_keep(exported: Exported) -> None:
    assert (exported.ended.returncode, exported.ended.stderr) == (0, "")
    send, keep = exported.ended.stdout.splitlines()
    assert "to send" in send
    assert "SFR_2024-01_reclamation.xlsx  (2 items)" in send
    assert "to keep" in keep
    assert sorted(path.name for path in exported.folder.iterdir()) == [
        "SFR_2024-01_dossier_interne.xlsx", "SFR_2024-01_reclamation.xlsx",
    ]  # fmt: skip


def test_every_verdict_is_in_one_sheet_and_the_counts_are_the_summarys(exported: Exported) -> None:
    opened = exported.whole()
    assert opened.sheetnames == [
        "Synthèse", "Écarts", "Lignes orphelines", "Services non facturés", "Justificatifs", "Constats factures",
        "Lignes rejetées", "Marges",
    ]  # fmt: skip
    told = figures(opened["Synthèse"])
    assert (told["Services actifs"], told["Services en écart"], told["Services non facturés"]) == (3, 2, 1)
    assert (told["dont lignes orphelines"], told["Montant des lignes orphelines HT"]) == (1, 5)
    for name in opened.sheetnames[1:]:
        assert told[name] == len(rows(opened[name])), name
    found = [row["Élément"] for name in opened.sheetnames[1:4] for row in rows(opened[name])]
    assert sorted(found) == ["line:INV:1:L3", "service:A", "service:B", "service:C"]


def test_sums_of_the_sheets_are_those_of_the_summary(exported: Exported) -> None:
    opened = exported.whole()
    lines = [[cell.value for cell in line] for line in opened["Synthèse"].iter_rows()]
    (titles,) = (line for line in lines if line[0] == "Par devise")
    (euros,) = (dict(zip(titles, line, strict=True)) for line in lines if line[0] == "EUR")
    claimed = [*rows(opened["Écarts"]), *rows(opened["Lignes orphelines"])]

    def total(column: str) -> Decimal:
        return sum((Decimal(str(row[column])) for row in claimed if row[column] is not None), Decimal(0))

    assert total("À récupérer HT") == Decimal(str(euros["À récupérer HT"])) == 7
    assert total("Avoirs reçus HT") == Decimal(str(euros["Avoirs reçus HT"])) == Decimal("0.5")
    assert total("Reste à récupérer HT") == Decimal(str(euros["Reste à récupérer HT"])) == Decimal("6.5")
    (missing,) = rows(opened["Services non facturés"])
    assert (missing["Non facturé HT"], euros["Sous-facturé HT"]) == (10, 10)


def test_a_discrepancy_says_why_in_french_with_its_proof_deadline_and_dispute(exported: Exported) -> None:
    (row,) = (row for row in rows(exported.whole()["Écarts"]) if row["Élément"] == "service:A")
    assert row["Motif"] == row["Tous les motifs"] == "Prix différent du contrat"
    assert (row["Attendu HT"], row["Facturé HT"], row["Écart HT"], row["Devise"]) == (10, 12, 2, "EUR")
    assert (row["Fichier"], row["Rang dans le fichier"], row["Facture"]) == ("R189_SFR_202401.csv", 1, "INV:1")
    assert (row["Date limite"].date(), row["Date limite estimée"]) == (date(2024, 8, 20), "non")
    assert (row["Litige"], row["Suivi"]) == ("Accepté", "Accepté, avoir attendu")
    assert row["Responsabilité"] == "Opérateur"


def test_numbers_are_numbers_dates_are_dates_and_sheets_filter(exported: Exported) -> None:
    opened = exported.whole()
    for sheet in opened.worksheets[1:]:
        assert sheet.freeze_panes == "B2"
        assert sheet.auto_filter.ref.endswith(str(max(sheet.max_row, 1)))
        for column in sheet.iter_cols(min_row=1):
            title, values = column[0].value, [cell for cell in column[1:] if cell.value is not None]
            if "HT" in title:
                assert {cell.data_type for cell in values} <= {"n"}
                assert {cell.number_format for cell in values} <= {"#,##0.00####"}
            if title.startswith("Date limite") and "estimée" not in title:
                assert {cell.number_format for cell in values} <= {"dd/mm/yyyy"}
                assert all(cell.is_date for cell in values)


def test_what_an_operator_wrote_is_text_and_nothing_is_a_formula(exported: Exported) -> None:
    found = list(cells(exported.whole(), exported.claim()))
    assert len(found) > 200
    assert {cell.data_type for cell in found} <= {"s", "inlineStr", "n", "d"}
    assert not [cell for cell in found if cell.hyperlink]
    texts = {cell.value: cell.quotePrefix for cell in found if isinstance(cell.value, str)}
    hostile = {text: guarded for text, guarded in texts.items() if text[:1] in ("=", "+", "-", "@")}
    assert set(hostile) == {FORMULA, "@SUM(1)\ufffd", "-2+3", "+33 1"}
    assert all(hostile.values())


def test_what_is_sent_holds_the_claim_and_none_of_our_secrets(exported: Exported) -> None:
    opened = exported.claim()
    assert opened.sheetnames == ["Synthèse", "Réclamations", "Justificatifs", "Constats factures"]
    claimed = {row["Élément"]: row for row in rows(opened["Réclamations"])}
    # Neither what we were not billed, nor what cannot be compared, nor what is settled.
    assert set(claimed) == {"service:A", "line:INV:1:L3"}
    assert {row["Élément"] for row in rows(opened["Justificatifs"])} == set(claimed)
    assert claimed["service:A"]["Reste à récupérer HT"] == 1.5
    told = [[cell.value for cell in line] for line in opened["Synthèse"].iter_rows()]
    assert ["Accepté, avoir attendu", "EUR", 1, 1.5] in told
    assert ["À réclamer", "EUR", 1, 5] in told
    said = " ".join(str(cell.value) for cell in cells(opened))
    for secret in ("CUST-1", "Marge", "vente", "fibre", FORMULA, "/inbox/"):
        assert secret not in said


def test_margins_and_rejected_rows_are_told(exported: Exported) -> None:
    opened = exported.whole()
    assert [(row["Situation"], row["Service"], row["Client"], row["Marge HT"]) for row in rows(opened["Marges"])] == [
        ("Autre devise", "C", "CUST-1", None),
        ("Vendu sans coût", "B", "CUST-1", 15),
    ]
    (rejected,) = rows(opened["Lignes rejetées"])
    assert (rejected["Fichier"], rejected["Contrôle"]) == ("R189_SFR_202401.csv", "Valeur illisible")
    assert (rejected["Lignes rejetées"], rejected["Première au rang"]) == (3, 7)
    (finding,) = rows(opened["Constats factures"])
    assert (finding["Attendu"], finding["Trouvé"], finding["Écart"]) == (36, 36.5, 0.5)


def test_exporting_again_writes_the_same_bytes(exported: Exported) -> None:
    before = {path.name: path.read_bytes() for path in exported.folder.iterdir()}
    assert export(exported.office, "--operator", "SFR").returncode == 0
    assert {path.name: path.read_bytes() for path in exported.folder.iterdir()} == before


def test_a_month_without_verdicts_is_told_and_written_nowhere(exported: Exported) -> None:
    ended = export(exported.office, period="2024-02")
    assert (ended.returncode, ended.stdout) == (3, "")
    (told,) = ended.stderr.splitlines()
    assert "SFR 2024-02: no verdicts, so no workbook" in told
    assert "billing-pipeline run --period 2024-02 --operator SFR" in told
    assert not (exported.office.data_dir / "exports" / "2024-02").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--operator", "NOBODY"), "no operator 'NOBODY' is configured"),
        (("--period", "2023-12"), "is outside 2024-01 to"),
        (("--period", "March"), "--period"),
    ],
)
def test_a_mistaken_request_is_one_line(exported: Exported, options: tuple[str, ...], said: str) -> None:
    ended = export(exported.office, *options)
    assert ended.returncode == 2
    (told,) = ended.stderr.splitlines()
    assert said in told


def test_verdicts_that_do_not_add_up_to_the_summary_are_not_exported(made: Office, new_office: Any) -> None:
    office = new_office(made)
    office.execute("DELETE FROM billing.reconciliation_items WHERE operator_code = 'SFR' AND item_id = 'service:A'")
    folder = office.folder / "exports"
    with snapshot(office.url) as seen:
        rows = DisputeRows(seen, "SFR", "2024-01")
        summary = rows.summary()
        assert summary is not None
        with pytest.raises(IdentityViolation, match="do not add up"):
            write_workbooks(rows, summary, operator="SFR", period=Period(2024, 1), folder=folder)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_every_code_of_the_pipeline_has_its_french_word() -> None:
    package = Path(billing_pipeline.__file__).parent
    source = "".join(path.read_text() for path in (package / "reconciliation").glob("*.py"))
    assert {code for code in words.REASONS if f'"{code}"' not in source} == set()
    listed = re.findall(r"[A-Z][A-Z_]{4,}", BY_NAME["invoice_findings"].column("code").meaning)
    assert set(words.FINDINGS) == set(listed)
    statuses = re.findall(r"[A-Z]{5,}", BY_NAME["reconciliation_items"].column("status").meaning)
    assert set(words.STATUSES) == set(statuses)
    assert set(words.DISPUTES) == set(DISPUTE_STATUSES)
    project = yaml.safe_load((marts.project_folder() / "models/marts/_marts.yml").read_text())
    values = {
        (model["name"], column["name"]): test["accepted_values"]["arguments"]["values"]
        for model in project["models"]
        for column in model["columns"]
        for test in column.get("data_tests", ())
        if isinstance(test, dict) and "accepted_values" in test
    }
    assert list(words.CLAIMS) == values["fct_recoverable", "claim_state"]
    assert list(words.BASES) == values["fct_recoverable", "claim_basis"]
    assert list(words.FAULTS) == values["fct_recoverable", "side_at_fault"]
    assert set(words.MARGINS) == set(values["fct_margin", "margin_state"])
