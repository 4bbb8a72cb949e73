"""The words of R189 files: document types and frequencies. An operator's profile adds its own."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from billing_pipeline.config import ChargeType, DocumentType

Meaning = TypeVar("Meaning", DocumentType, ChargeType)

_INVOICE_WORDS = ("Invoice", "Facture", "INV", "FAC", "Debit note", "Note de débit")
_CREDIT_WORDS = ("Credit note", "Credit", "Creditnote", "Credit memo", "Avoir", "Note de crédit", "CN")
_RECURRING_WORDS = (
    "Monthly", "Mensuel", "Mensuelle", "Month", "Mois", "Recurring", "Récurrent", "Récurrente", "Abonnement",
    "Bimonthly", "Bimestriel", "Bimestrielle", "Quarterly", "Quarter", "Trimestriel", "Trimestrielle", "Trimestre",
    "Half-yearly", "Semi-annual", "Semiannual", "Semestriel", "Semestrielle",
    "Yearly", "Annual", "Annually", "Annuel", "Annuelle",
)  # fmt: skip
_ONE_OFF_WORDS = (
    "One-time", "One time", "Onetime", "One-off", "One off", "One shot", "One-shot", "Once", "Non-recurring",
    "Non recurring", "Ponctuel", "Ponctuelle", "Unique", "Non récurrent", "Non récurrente",
)  # fmt: skip
_USAGE_WORDS = ("Usage", "Usages", "Consumption", "Consommation", "Consommations", "Conso")

DOCUMENT_TYPES: Mapping[str, DocumentType] = {
    **dict.fromkeys(_INVOICE_WORDS, DocumentType.INVOICE),
    **dict.fromkeys(_CREDIT_WORDS, DocumentType.CREDIT_NOTE),
}
FREQUENCIES: Mapping[str, ChargeType] = {
    **dict.fromkeys(_RECURRING_WORDS, ChargeType.RECURRING),
    **dict.fromkeys(_ONE_OFF_WORDS, ChargeType.ONE_OFF),
    **dict.fromkeys(_USAGE_WORDS, ChargeType.USAGE),
}


def folded(word: str) -> str:
    """The form in which words are compared: trimmed, case-folded."""
    return word.strip().casefold()


class Vocabulary(Generic[Meaning]):
    """What a file's words mean. The profile's entries stand above the defaults."""

    def __init__(self, defaults: Mapping[str, Meaning], pinned: Mapping[str, Meaning]) -> None:
        self._meanings = {folded(word): meaning for word, meaning in (*defaults.items(), *pinned.items())}

    def meaning(self, word: str) -> Meaning | None:
        """The word's meaning, None where it has none."""
        return self._meanings.get(folded(word))
