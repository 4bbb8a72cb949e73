"""The verdict in French, as the hub words it, and how an amount is written in it. Decides nothing."""

import ibis
from ibis.expr.types import DecimalValue, StringValue

NOT_BILLED = "Service actif sans ligne de facturation correspondante"
UNKNOWN_SERVICE = "Ligne de facturation sans service actif correspondant"
AMBIGUOUS_SERVICE = "Ligne de facturation rattachable à plusieurs services"
LINE_REJECTED = "Ligne de facturation rejetée à la lecture"
BILLED_AFTER_TERMINATION = "Facturé après la résiliation du service"
BILLED_BEFORE_ACTIVATION = "Facturé avant l'activation du service"
UNEXPECTED_CHARGE = "Frais ponctuels non attendus"
CURRENCY_MISMATCH = "Devise facturée différente de celle du contrat"
_NARROW_NO_BREAK_SPACE = "\u202f"


def gap(difference: DecimalValue, currency: StringValue) -> StringValue:
    """`Écart de 3,50 € HT`, `Écart de 1 234,50 USD HT`: the absolute amount."""
    unit = ibis.ifelse(currency == "EUR", "€", currency)
    return ibis.literal("Écart de ") + _grouped(difference) + " " + unit + " HT"


def plain(amount: DecimalValue) -> StringValue:
    """`25.00`, `45.125`, `-3.50`: a decimal point, at least two decimals and no idle zeros behind them."""
    sign = ibis.ifelse(amount < 0, "-", "")
    whole, decimals = _digits(amount)
    return sign + whole + "." + decimals


def percentage(rate: DecimalValue) -> StringValue:
    """`20`, `8.5`: a rate without idle zeros."""
    text = rate.cast("decimal(18, 6)").cast("string")
    return text.replace("0", " ").rstrip().replace(" ", "0").re_replace("\\.$", "")


def _digits(amount: DecimalValue) -> tuple[StringValue, StringValue]:
    """Digits before the point, and those behind it down to the last that counts, at least two."""
    text = amount.cast("decimal(18, 6)").abs().cast("string")
    size = text.length()
    # rstrip knows only spaces: zeros become spaces, the trailing ones go, the others come back.
    further = text.substr(size - 4, 4).replace("0", " ").rstrip().replace(" ", "0")
    return text.substr(0, size - 7), text.substr(size - 6, 2) + further


def _grouped(amount: DecimalValue) -> StringValue:
    whole, decimals = _digits(amount)
    size = whole.length()

    def groups(count: int) -> StringValue:
        text = whole.substr(0, size - 3 * count)
        for position in range(count, 0, -1):
            text = text + _NARROW_NO_BREAK_SPACE + whole.substr(size - 3 * position, 3)
        return text

    # decimal(18, 6) has at most 12 digits before the point.
    written = ibis.cases((size <= 3, whole), (size <= 6, groups(1)), (size <= 9, groups(2)), else_=groups(3))
    return written + "," + decimals
