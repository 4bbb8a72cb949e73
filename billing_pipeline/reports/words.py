"""The French words a billing person reads for our codes. A test keeps every code of the pipeline in here."""

from collections.abc import Mapping

REASONS = {
    "NOT_BILLED": "Service actif non facturé",
    "LINE_REJECTED": "Ligne rejetée à la lecture",
    "ROUNDING": "Arrondi",
    "BILLED_AFTER_TERMINATION": "Facturé après la résiliation",
    "BILLED_BEFORE_ACTIVATION": "Facturé avant l'activation",
    "UNKNOWN_SERVICE": "Aucun service correspondant",
    "AMBIGUOUS_SERVICE": "Plusieurs services possibles",
    "UNEXPECTED_CHARGE": "Frais non attendus",
    "CURRENCY_MISMATCH": "Devise différente du contrat",
    "DUPLICATE_LINE": "Ligne facturée en double",
    "PRORATION": "Prorata non conforme au contrat",
    "STALE_PRICE": "Ancien tarif appliqué",
    "DISCOUNT_MISSING": "Remise non appliquée",
    "PRICE_MISMATCH": "Prix différent du contrat",
    "UNEXPLAINED": "Écart non expliqué",
}
STATUSES = {"MATCHED": "Conforme", "UNMATCHED": "Sans correspondance", "DISCREPANCY": "En écart"}
FINDINGS = {
    "INVOICE_FOOTING": "Total de la facture différent de la somme de ses lignes",
    "LINE_COUNT": "Plus de lignes que la facture n'en annonce",
    "LINE_ARITHMETIC": "Calcul de la ligne inexact",
    "VAT_AMOUNT": "Montant de TVA inexact",
    "DUPLICATE_INVOICE": "Même numéro de facture, autre contenu",
    "FILE_PERIOD": "Mois du fichier différent de celui de ses lignes",
}
DISPUTES = {"sent": "Envoyé", "accepted": "Accepté", "refused": "Refusé"}
CLAIMS = {
    "to_claim": "À réclamer",
    "claimed": "Réclamé, sans réponse",
    "credit_awaited": "Accepté, avoir attendu",
    "refused": "Refusé par l'opérateur",
    "settled": "Soldé",
}
FAULTS = {"operator": "Opérateur", "inventory": "Notre inventaire", "undetermined": "À déterminer"}
MARGINS = {
    "negative": "Marge négative",
    "sold_without_cost": "Vendu sans coût",
    "bought_without_sale": "Acheté sans vente",
    "not_comparable": "Autre devise",
    "normal": "Normale",
}
BASES = {
    "payment": "Paiement de la facture",
    "invoice_date": "Date de facture",
    "received_at": "Réception de la facture",
    "period_end": "Fin du mois",
}
CHECKS = {
    "type": "Valeur illisible",
    "required": "Valeur obligatoire absente",
    "field_count": "Nombre de champs inexact",
    "superseded": "Remplacée par une autre version de la facture",
}


def yes_no(value: bool | None) -> str | None:
    return None if value is None else "oui" if value else "non"


def word(words: Mapping[str, str], code: str | None) -> str | None:
    """The word for a code, the code itself where none is known, null for null."""
    return None if code is None else words.get(code, code)
