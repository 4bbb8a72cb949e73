"""Contradictions inside an invoice, found without looking at the inventory. A finding takes no HT verdict's place.

Every figure is `expected`, what follows from the invoice's other figures, against `actual`, what the invoice states.
DUPLICATE_INVOICE and FILE_PERIOD need the files and are found where these are read.
"""

from decimal import Decimal

import ibis
from ibis.expr.types import BooleanColumn, NumericColumn, Table

from billing_pipeline.money import round_ratio, whole_millionths
from billing_pipeline.reconciliation.content import MONEY, NO_MONEY, NO_TEXT, WIDE, as_content
from billing_pipeline.reconciliation.details import percentage
from billing_pipeline.reconciliation.keep import keep
from billing_pipeline.schemas.tables import INVOICE_FINDINGS

_TOLERANCE = ibis.literal(Decimal("0.01"), WIDE)
_NOTHING = ibis.literal(0, WIDE)
# What numeric(18, 6) holds. Quantity x price of a garbled line can be wider; the finding then says so in its note.
_LIMIT = 10**12


def findings(invoices: Table, lines: Table) -> Table:
    """The content of INVOICE_FINDINGS for one partition: its INVOICES and its INVOICE_LINES.

    Amounts are in the invoice's (line's) currency. What a source does not state is never found wrong.
    """
    return ibis.union(
        _footing(invoices, lines),
        _line_count(invoices, lines),
        _quantity(lines),
        _discount(lines),
        _vat(invoices, lines),
    )


def _footing(invoices: Table, lines: Table) -> Table:
    """Σ lines against the invoice's HT, and HT + tax against its TTC; 0.01 per line.

    A line in another currency counts by its invoicing pair; where that is not in the invoice's currency either, or a
    line states no tax, the sum is unknown and nothing is found.
    """
    billed = lines.inner_join(invoices.select("invoice_id", invoice_currency="currency"), "invoice_id")
    own = billed.invoice_currency.isnull() | (billed.currency == billed.invoice_currency)
    paired = billed.invoicing_currency == billed.invoice_currency
    billed = billed.mutate(
        base=ibis.cases((own, billed.total_ht), (paired, billed.invoicing_amount), else_=NO_MONEY),
        tax=ibis.ifelse(own, billed.tax_amount, NO_MONEY),
    )
    sums = billed.group_by("invoice_id").aggregate(
        lines=billed.count(),
        base=billed.base.sum(),
        tax=billed.tax.sum(),
        unknown_base=billed.base.isnull().sum(),
        unknown_tax=billed.tax.isnull().sum(),
    )
    rows = invoices.left_join(sums, "invoice_id").select(
        invoices, *[sums[n] for n in sums.columns if n != "invoice_id"]
    )
    empty = rows.lines.isnull()
    rows = rows.mutate(
        tolerance=_TOLERANCE * ibis.coalesce(rows.lines, 0),
        sum_ht=ibis.cases((empty, _NOTHING), (rows.unknown_base == 0, rows.base.cast(WIDE)), else_=ibis.null(WIDE)),
        sum_tax=ibis.cases((empty, _NOTHING), (rows.unknown_tax == 0, rows.tax.cast(WIDE)), else_=ibis.null(WIDE)),
    )
    ht = ibis.coalesce(rows.total_ht.cast(WIDE), rows.sum_ht)
    return _off(rows, "INVOICE_FOOTING", "ht", rows.sum_ht, rows.total_ht).union(
        _off(rows.filter(~empty), "INVOICE_FOOTING", "ttc", ht + rows.sum_tax, rows.total_ttc)
    )


def _line_count(invoices: Table, lines: Table) -> Table:
    """More lines than declared; fewer make the collection incomplete, which is told elsewhere."""
    counts = lines.group_by("invoice_id").aggregate(lines=lines.count())
    rows = invoices.inner_join(counts, "invoice_id")
    rows = rows.filter(rows.lines > rows.line_count)
    return _content(rows, "LINE_COUNT", "", rows.line_count.cast(WIDE), rows.lines.cast(WIDE))


def _quantity(lines: Table) -> Table:
    stated = lines.filter(lines.quantity.notnull() & lines.unit_price_ht.notnull())
    product = whole_millionths(stated.quantity) * whole_millionths(stated.unit_price_ht)
    return _line_arithmetic(stated, "quantity", product, 12, stated.total_ht)


def _discount(lines: Table) -> Table:
    stated = lines.filter(
        lines.pre_discount_amount.notnull() & lines.discount_percent.notnull() & lines.discount_amount.notnull()
    )
    product = whole_millionths(stated.pre_discount_amount) * whole_millionths(stated.discount_percent)
    return _line_arithmetic(stated, "discount", product, 14, stated.discount_amount)


def _line_arithmetic(rows: Table, subject: str, product: NumericColumn, digits: int, actual: NumericColumn) -> Table:
    """`product` / 10^`digits` against `actual`, within 0.01 before any rounding.

    In a credit every amount is negative while quantities and prices keep the sign the source gave them, so there only
    the absolute values are compared.
    """
    credit = rows.document_type == "credit_note"
    expected = ibis.ifelse(credit & ((product < 0) != (actual < 0)), -product, product)
    exact = whole_millionths(actual) * 10 ** (digits - 6)
    wrong = (expected - exact).abs() > 10 ** (digits - 2)
    found = rows.mutate(product=expected, stated=actual).filter(wrong)
    fits = found["product"].abs() < ibis.literal(10**digits * _LIMIT, "decimal(38, 0)")
    rounded = round_ratio(ibis.ifelse(fits, found["product"], 0), ibis.literal(10**digits, "decimal(38, 0)"))
    figure = ibis.ifelse(fits, rounded.cast(WIDE), ibis.null(WIDE))
    note = ibis.ifelse(fits, NO_TEXT, ibis.literal("the product has more than 12 digits before the point"))
    return _content(found.mutate(note=note), "LINE_ARITHMETIC", subject, figure, found.stated.cast(WIDE), by_line=True)


def _vat(invoices: Table, lines: Table) -> Table:
    """Base x rate against tax, per invoice and rate: on the summed base, or line by line; 0.01 per line."""
    taxed = lines.filter(lines.tax_rate.notnull() & lines.tax_amount.notnull())
    per_cent = ibis.literal(10**14, "decimal(38, 0)")
    # Base x rate of a garbled row comes to more than an amount can hold: that is wrong, and the figure is not told.
    limit = ibis.literal(10**14 * _LIMIT, "decimal(38, 0)")
    taxed = taxed.mutate(product=whole_millionths(taxed.total_ht) * whole_millionths(taxed.tax_rate))
    narrow = taxed["product"].abs() < limit
    taxed = taxed.mutate(
        line_tax=round_ratio(ibis.ifelse(narrow, taxed["product"], 0), per_cent), garbled=ibis.ifelse(narrow, 0, 1)
    )
    rates = keep(
        taxed.group_by("invoice_id", "currency", "tax_rate").aggregate(
            lines=taxed.count(),
            tax=taxed.tax_amount.sum(),
            base=taxed.total_ht.sum(),
            by_line=taxed.line_tax.sum(),
            garbled=taxed.garbled.sum(),
        )
    )
    based = ibis.ifelse(rates.base.abs() < 10 * _LIMIT, rates.base.cast(WIDE), _NOTHING)
    rates = rates.mutate(product=whole_millionths(based) * whole_millionths(rates.tax_rate))
    told = (rates.base.abs() < 10 * _LIMIT) & (rates["product"].abs() < limit)
    rates = rates.mutate(
        told=told,
        expected_tax=ibis.ifelse(
            told, round_ratio(ibis.ifelse(told, rates["product"], 0), per_cent).cast(WIDE), ibis.null(WIDE)
        ),
    )
    allowed = rates.lines.cast("decimal(38, 0)") * 10**12
    summed = (rates["product"] - whole_millionths(rates.tax) * 10**8).abs() > allowed
    by_line = (rates.by_line - rates.tax).abs() > _TOLERANCE * rates.lines
    rows = rates.filter((summed | ~rates.told) & (by_line | (rates.garbled > 0)))
    rows = rows.inner_join(invoices.select("invoice_id", invoice_currency="currency"), "invoice_id")
    # The key of a finding has no currency: where it is not the invoice's, the subject names it.
    foreign = ibis.coalesce(rows.currency != rows.invoice_currency, True)
    subject = ibis.literal("rate=") + percentage(rows.tax_rate) + ibis.ifelse(foreign, " " + rows.currency, "")
    return _content(rows.mutate(subject=subject), "VAT_AMOUNT", None, rows.expected_tax, rows.tax)


def _off(rows: Table, code: str, subject: str, expected: NumericColumn, actual: NumericColumn) -> Table:
    """Rows whose figures are both known and further apart than their tolerance."""
    found = rows.mutate(expected_figure=expected, stated=actual.cast(WIDE))
    found = found.filter((found.expected_figure - found.stated).abs() > found.tolerance)
    return _content(found, code, subject, found.expected_figure, found.stated)


def _content(
    rows: Table, code: str, subject: str | None, expected: NumericColumn, actual: NumericColumn, by_line: bool = False
) -> Table:
    """`rows` as findings; `subject` None and a `note` column are taken from the rows, `by_line` keeps their line_id."""
    known = {} if subject is None else {"subject": ibis.literal(subject)}
    if not by_line:
        known["line_id"] = ibis.literal("")
    figures = {"expected": expected, "actual": actual, "difference": actual - expected}
    if "note" not in rows.columns:
        untold = ibis.or_(*(~ibis.coalesce(_fits(figure), False) for figure in figures.values()))
        known["note"] = ibis.ifelse(untold, ibis.literal("an amount has more than 12 digits before the point"), NO_TEXT)
    made = rows.mutate(
        **known,
        code=ibis.literal(code),
        **{name: ibis.ifelse(_fits(figure), figure, ibis.null(WIDE)).cast(MONEY) for name, figure in figures.items()},
    )
    return as_content(made, INVOICE_FINDINGS)


def _fits(figure: NumericColumn) -> BooleanColumn:
    return figure.abs() < ibis.literal(_LIMIT, WIDE)
