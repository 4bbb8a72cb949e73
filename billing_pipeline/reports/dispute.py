"""The dispute workbooks of one operator's month: the whole file for ourselves, and the claim that is fit to be sent.

Customers, resale prices, margins and services the operator forgot to bill stand in the first only: an operator learns
none of them from us. Numbers are the marts'; that they add up to the summary is checked before a file is in its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing_pipeline.errors import IdentityViolation
from billing_pipeline.periods import Period
from billing_pipeline.reports.cells import Form
from billing_pipeline.reports.dispute_rows import DisputeRows, Row
from billing_pipeline.reports.sheets import ROWS_PER_SHEET, Book, Column, Page, book

_ITEM = (
    Column("Élément", "item_id", width=26),
    Column("Service", "service_id", width=18),
    Column("Désignation", "service_description", width=28),
    Column("Motif", "reason_code", width=30),
    Column("Détail", "detail", width=34),
)
_AMOUNTS = (
    Column("Attendu HT", "service_amount", Form.MONEY),
    Column("Devise du contrat", "service_currency", width=9),
    Column("Facturé HT", "invoice_amount", Form.MONEY),
    Column("Écart HT", "difference", Form.MONEY),
    Column("Devise", "currency", width=8),
)
_PROOF = (
    Column("Facture", "invoice_id", width=18),
    Column("Date de facture", "invoice_date", Form.DATE, 12),
    Column("Ligne", "invoice_line_id", width=18),
    Column("Libellé facturé", "description", width=30),
    Column("Fichier", "file_name", width=28),
    Column("Rang dans le fichier", "source_row", Form.INTEGER, 10),
    Column("Nombre de lignes", "line_count", Form.INTEGER, 9),
)
_CLAIM = (
    Column("À récupérer HT", "amount", Form.MONEY),
    Column("Avoirs reçus HT", "credited_amount", Form.MONEY),
    Column("Reste à récupérer HT", "amount_left", Form.MONEY),
    Column("Suivi", "claim_state", width=22),
    Column("Date limite", "claim_deadline", Form.DATE, 12),
    Column("Date limite estimée", "is_estimated", width=10),
    Column("Délai compté depuis", "claim_basis", width=20),
    Column("Litige", "dispute_status", width=12),
    Column("Référence du litige", "dispute_reference", width=18),
    Column("Litige envoyé le", "disputed_on", Form.DATE, 12),
)
_ALL_REASONS = Column("Tous les motifs", "reasons", width=34)
_FAULT = Column("Responsabilité", "side_at_fault", width=16)
DISCREPANCIES = (*_ITEM, _ALL_REASONS, *_AMOUNTS, *_CLAIM, _FAULT, *_PROOF)
NOT_BILLED = (*_ITEM, *_AMOUNTS[:2], Column("Non facturé HT", "under_billed_amount", Form.MONEY))
CLAIMS = (*_ITEM[:2], *_ITEM[3:], *_AMOUNTS, *_CLAIM[1:], *_PROOF)
LINES = (
    Column("Élément", "item_id", width=26),
    Column("Facture", "invoice_id", width=18),
    Column("Date de facture", "invoice_date", Form.DATE, 12),
    Column("Ligne", "line_id", width=18),
    Column("Libellé facturé", "description", width=34),
    Column("Du", "service_from", Form.DATE, 12),
    Column("Au", "service_to", Form.DATE, 12),
    Column("Mois facturé", "charge_month", width=10),
    Column("Part du mois HT", "amount_ht", Form.MONEY),
    Column("Montant de la ligne HT", "total_ht", Form.MONEY),
    Column("Devise", "currency", width=8),
    Column("Fichier", "file_name", width=30),
    Column("Rang dans le fichier", "source_row", Form.INTEGER, 10),
    Column("Empreinte SHA-256", "source_sha256", width=20),
)
FINDINGS = (
    Column("Facture", "invoice_id", width=18),
    Column("Date de facture", "invoice_date", Form.DATE, 12),
    Column("Ligne", "line_id", width=18),
    Column("Constat", "finding_code", width=44),
    Column("Objet", "subject", width=14),
    Column("Attendu", "expected", Form.MONEY),
    Column("Trouvé", "actual", Form.MONEY),
    Column("Écart", "difference", Form.MONEY),
    Column("Devise", "currency", width=8),
    Column("Remarque", "note", width=40),
)
REJECTED = (
    Column("Fichier", "file_name", width=34),
    Column("Contrôle", "check_name", width=38),
    Column("Colonne", "column_name", width=24),
    Column("Lignes rejetées", "row_count", Form.INTEGER, 12),
    Column("Première au rang", "first_row", Form.INTEGER, 12),
)
MARGINS = (
    Column("Situation", "margin_state", width=20),
    Column("Client", "customer_id", width=16),
    Column("Service", "service_id", width=18),
    Column("Désignation", "service_description", width=28),
    Column("Jours actifs", "active_days", Form.INTEGER, 9),
    Column("Prix de vente mensuel HT", "resale_price_ht", Form.MONEY),
    Column("Vente du mois HT", "resale_amount", Form.MONEY),
    Column("Coût facturé HT", "cost_amount", Form.MONEY),
    Column("Coût attendu HT", "expected_cost_amount", Form.MONEY),
    Column("Marge HT", "margin_amount", Form.MONEY),
    Column("Marge attendue HT", "expected_margin_amount", Form.MONEY),
    Column("Devise", "currency", width=8),
    Column("Motif de l'écart", "reason_code", width=30),
)


@dataclass(frozen=True, slots=True)
class Workbooks:
    """What was written: the whole file for ourselves, the claim to send, and how many items that claims."""

    whole: Path
    claim: Path
    items_claimed: int


def write_workbooks(
    rows: DisputeRows,
    summary: Row,
    *,
    operator: str,
    period: Period,
    folder: Path,
    rows_per_sheet: int = ROWS_PER_SHEET,
) -> Workbooks:
    """Both workbooks of an evaluated month, under `folder`. IdentityViolation, and no file, if they do not add up."""
    stem = f"{operator}_{period}"
    whole, claim = folder / f"{stem}_dossier_interne.xlsx", folder / f"{stem}_reclamation.xlsx"
    who = f"{summary['operator_name']} ({operator}), {period}"
    with book(whole, title=f"Rapprochement {who}", created=summary["loaded_at"], rows_per_sheet=rows_per_sheet) as made:
        _whole(made, rows, summary, who)
    with book(claim, title=f"Réclamation {who}", created=summary["loaded_at"], rows_per_sheet=rows_per_sheet) as made:
        claimed = _claim(made, rows, summary, who)
    return Workbooks(whole, claim, claimed)


class _Tally:
    """Passes rows on and adds up what is to be compared with the summary."""

    def __init__(self) -> None:
        self.rows = 0
        self.services = 0
        self.recoverable: dict[str, Decimal] = {}
        self.left: dict[str, Decimal] = {}

    def passing(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            self.services += row["side"] == "service"
            if row["amount"] is not None:
                _add(self.recoverable, row["currency"], row["amount"])
                _add(self.left, row["currency"], row["amount_left"])
            yield row


def _add(sums: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    sums[currency] = sums.get(currency, Decimal(0)) + amount


def _whole(made: Book, rows: DisputeRows, summary: Row, who: str) -> None:
    page = made.page("Synthèse", (44, 18, 16, 16, 16, 16, 18, 16, 16, 18))
    apart, orphans, missing = _Tally(), _Tally(), _Tally()
    counts = {
        "Écarts": made.table("Écarts", DISCREPANCIES, apart.passing(rows.items("DISCREPANCY"))),
        "Lignes orphelines": made.table(
            "Lignes orphelines", DISCREPANCIES, orphans.passing(rows.items("UNMATCHED", "line"))
        ),
        "Services non facturés": made.table(
            "Services non facturés", NOT_BILLED, missing.passing(rows.items("UNMATCHED", "service"))
        ),
        "Justificatifs": made.table("Justificatifs", LINES, rows.lines()),
        "Constats factures": made.table("Constats factures", FINDINGS, rows.findings()),
        "Lignes rejetées": made.table("Lignes rejetées", REJECTED, rows.rejected()),
        "Marges": made.table("Marges", MARGINS, rows.margins()),
    }
    currencies = rows.currencies()
    _refuse_unequal(who, summary, currencies, apart, orphans, missing)
    page.line((f"Rapprochement {who}", Form.TITLE))
    page.gap()
    _figures(page, summary)
    _by_currency(page, currencies)
    _margins(page, rows.margin_totals())
    page.line(("Feuille", Form.HEADER), ("Lignes", Form.HEADER))
    for name, count in counts.items():
        page.line((name, Form.LABEL), (count, Form.INTEGER))


def _figures(page: Page, summary: Row) -> None:
    for label, name, form in (
        ("Services actifs", "total_services", Form.INTEGER),
        ("Services conformes", "matched", Form.INTEGER),
        ("Services en écart", "discrepancies", Form.INTEGER),
        ("Services non facturés", "unmatched", Form.INTEGER),
        ("Lignes hors service", "line_items", Form.INTEGER),
        ("dont lignes orphelines", "orphan_lines", Form.INTEGER),
        ("Montant des lignes orphelines HT", "orphan_amount", Form.MONEY),
        ("Attendu HT", "service_amount", Form.MONEY),
        ("Facturé HT", "invoice_amount", Form.MONEY),
        ("Écart HT", "difference", Form.MONEY),
        ("Fichiers lus", "files", Form.INTEGER),
        ("Lignes lues", "rows_read", Form.INTEGER),
        ("Lignes rejetées", "rows_rejected", Form.INTEGER),
        ("Remarque", "state_detail", Form.TEXT),
    ):
        page.line((label, Form.LABEL), (summary[name], form))
    page.gap()


def _by_currency(page: Page, currencies: list[Row]) -> None:
    titles = (
        "Par devise", "Attendu HT", "Facturé HT", "Écart HT", "À récupérer HT", "Avoirs reçus HT",
        "Reste à récupérer HT", "Sous-facturé HT", "Toléré HT", "Non comparable HT",
    )  # fmt: skip
    page.line(*((title, Form.HEADER) for title in titles))
    for row in currencies:
        amounts: Iterator[Any] = (value for name, value in row.items() if name != "currency")
        page.line((row["currency"], Form.LABEL), *((amount, Form.MONEY) for amount in amounts))
    page.gap()


def _margins(page: Page, totals: list[Row]) -> None:
    titles = ("Marges", "Devise", "Services", "Vente HT", "Coût HT", "Marge HT")
    page.line(*((title, Form.HEADER) for title in titles))
    for row in totals:
        page.line(
            (row["margin_state"], Form.LABEL),
            (row["currency"], Form.TEXT),
            (row["services"], Form.INTEGER),
            (row["resale_amount"], Form.MONEY),
            (row["cost_amount"], Form.MONEY),
            (row["margin_amount"], Form.MONEY),
        )
    page.gap()


def _refuse_unequal(
    who: str, summary: Row, currencies: list[Row], apart: _Tally, orphans: _Tally, missing: _Tally
) -> None:
    """The sheets hold every verdict the summary counts, and claim what the month has to recover."""
    claimed: dict[str, list[Decimal]] = {}
    for tally in (apart, orphans, missing):
        for currency, amount in tally.recoverable.items():
            sums = claimed.setdefault(currency, [Decimal(0), Decimal(0)])
            claimed[currency] = [sums[0] + amount, sums[1] + tally.left[currency]]
    due = {
        row["currency"]: [row["recoverable_amount"], row["left_to_recover_amount"]]
        for row in currencies
        if row["recoverable_amount"]
    }
    told = (summary["discrepancies"], summary["orphan_lines"], summary["unmatched"], due)
    found = (apart.services, orphans.rows, missing.rows, claimed)
    if told != found:
        raise IdentityViolation(
            f"{who}: the verdicts do not add up to the summary (discrepancies, orphan lines, unbilled services, claims: "
            f"{found[:3]} instead of {told[:3]}); no workbook was written; run the period again"
        )


def _claim(made: Book, rows: DisputeRows, summary: Row, who: str) -> int:
    page = made.page("Synthèse", (44, 12, 14, 22))
    claimed = made.table("Réclamations", CLAIMS, rows.claims())
    made.table("Justificatifs", LINES, rows.lines(claims_only=True))
    made.table("Constats factures", FINDINGS, rows.findings())
    page.line((f"Réclamation {who}", Form.TITLE))
    page.gap()
    page.line(
        ("Facturé pour le mois HT", Form.LABEL),
        (None, Form.TEXT),
        (None, Form.TEXT),
        (summary["invoice_amount"], Form.MONEY),
    )
    page.gap()
    titles = ("Suivi", "Devise", "Éléments", "Reste à récupérer HT")
    page.line(*((title, Form.HEADER) for title in titles))
    for row in rows.claim_totals():
        page.line(
            (row["claim_state"], Form.LABEL),
            (row["currency"], Form.TEXT),
            (row["items"], Form.INTEGER),
            (row["amount_left"], Form.MONEY),
        )
    return claimed
