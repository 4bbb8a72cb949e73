"""Contradictions inside an invoice: what is wrong is found, what is merely not stated is not."""

from decimal import Decimal

import pytest

from billing_pipeline.reconciliation.findings import findings

from .month import LINES, invoice, invoices, line, rows, table

D = Decimal


def found(invoice_row, *lines):
    """(code, subject, line_id, expected, actual, difference) of each finding."""
    result = rows(findings(invoices(invoice_row), table(LINES, lines)))
    return sorted((r["code"], r["subject"], r["line_id"], r["expected"], r["actual"], r["difference"]) for r in result)


def test_lines_that_do_not_add_up_to_the_total_are_found():
    lines = [line("1", "S", "10"), line("2", "S", "20")]
    assert found(invoice(total_ht="30.02"), *lines) == []
    assert found(invoice(total_ht="30.03"), *lines) == [("INVOICE_FOOTING", "ht", "", D("30"), D("30.03"), D("0.03"))]


def test_a_total_nobody_declared_is_not_wrong():
    assert found(invoice(), line("1", "S", "10", tax_amount="2")) == []


def test_an_invoice_without_lines_does_not_foot():
    assert found(invoice(total_ht="5", total_ttc="6")) == [("INVOICE_FOOTING", "ht", "", D(0), D(5), D(5))]


def test_ht_and_tax_must_make_the_ttc_where_every_line_states_its_tax():
    lines = [line("1", "S", "10", tax_amount="2"), line("2", "S", "20", tax_amount="4")]
    assert found(invoice(total_ht="30", total_ttc="36"), *lines) == []
    assert found(invoice(total_ht="30", total_ttc="36.03"), *lines) == [
        ("INVOICE_FOOTING", "ttc", "", D("36"), D("36.03"), D("0.03"))
    ]
    assert found(invoice(total_ht="40", total_ttc="99"), lines[0], line("3", "S", "30")) == []


def test_a_credit_note_foots_below_zero():
    credit = line(
        "1",
        "S",
        "-10",
        tax_rate="20",
        tax_amount="-2",
        document_type="credit_note",
        quantity="1",
        unit_price_ht="10",
        pre_discount_amount="-20",
        discount_percent="50",
        discount_amount="-10",
    )
    assert found(invoice(document_type="credit_note", total_ht="-10", total_ttc="-12", line_count=1), credit) == []


def test_a_foreign_line_foots_by_its_invoicing_pair_or_not_at_all():
    usd = line("1", "S", "11", currency="USD", invoicing_amount="10", invoicing_currency="EUR")
    assert found(invoice(total_ht="10"), usd) == []
    assert found(invoice(total_ht="11"), usd)[0][:2] == ("INVOICE_FOOTING", "ht")
    assert found(invoice(total_ht="11"), line("1", "S", "11", currency="USD")) == []


def test_more_lines_than_declared_are_found_and_fewer_are_not():
    lines = [line("1", "S", "1"), line("2", "S", "1")]
    assert found(invoice(line_count=1), *lines) == [("LINE_COUNT", "", "", D(1), D(2), D(1))]
    assert found(invoice(line_count=3), *lines) == []


@pytest.mark.parametrize(("total", "wrong"), [("10.01", False), ("9.99", False), ("10.011", True), ("12", True)])
def test_quantity_times_price_is_the_total_within_a_cent(total, wrong):
    result = found(invoice(), line("1", "S", total, quantity="4", unit_price_ht="2.5"))
    assert result == ([("LINE_ARITHMETIC", "quantity", "1", D(10), D(total), D(total) - 10)] if wrong else [])


def test_the_discount_is_its_percentage_of_what_stood_before():
    # 12.5 % of 50.00 is 6.25.
    fine = {"pre_discount_amount": "50", "discount_percent": "12.5"}
    assert found(invoice(), line("1", "S", "43.74", **fine, discount_amount="6.26")) == []
    assert found(invoice(), line("1", "S", "43", **fine, discount_amount="7")) == [
        ("LINE_ARITHMETIC", "discount", "1", D("6.25"), D("7"), D("0.75"))
    ]
    assert found(invoice(), line("1", "S", "43", **fine)) == []


def test_a_garbled_line_is_a_finding_and_not_a_crash():
    wild = line("1", "S", "1", quantity="999999999999", unit_price_ht="999999999999")
    assert found(invoice(), wild) == [("LINE_ARITHMETIC", "quantity", "1", None, D(1), None)]


def test_vat_is_checked_per_rate_on_the_summed_base():
    lines = [
        line("1", "S", "10", tax_rate="20", tax_amount="2"),
        line("2", "S", "10", tax_rate="8.5", tax_amount="0.85"),
        line("3", "S", "5", tax_rate="20", tax_amount="1.03"),
    ]
    # 15.00 at 20 % is 3.00; two lines allow 0.02.
    assert found(invoice(), *lines) == [("VAT_AMOUNT", "rate=20", "", D(3), D("3.03"), D("0.03"))]
    assert found(invoice(), *lines[:2], line("3", "S", "5", tax_rate="20", tax_amount="1.02")) == []


@pytest.mark.parametrize(
    ("total", "rate", "expected"),
    [
        ("300000", "380129866", None),  # a SIREN in the wrong column: 1 140 389 598 000
        ("999999999999", "999999999999", None),
        ("999999999999", "20", D("199999999999.80")),
    ],
)
def test_a_tax_that_no_amount_can_hold_is_found_without_its_figure(total, rate, expected):
    lines = [line("1", "S", total, tax_rate=rate, tax_amount="60000")]
    ((code, _, _, told, actual, difference),) = found(invoice(), *lines)
    assert (code, told, actual) == ("VAT_AMOUNT", expected, D(60000))
    assert difference == (None if expected is None else actual - expected)


def test_sums_that_no_amount_can_hold_are_found_without_their_figure():
    huge = [line(n, "S", "999999999999", tax_rate="20", tax_amount="0") for n in "123456789AB"]
    assert found(invoice(total_ht="5"), *huge) == [
        ("INVOICE_FOOTING", "ht", "", None, D(5), None),
        ("VAT_AMOUNT", "rate=20", "", None, D(0), None),
    ]


def test_vat_rounded_line_by_line_is_accepted():
    # 0.02 x 20 % is 0.004, rounded 0.00 each; on the sum of three it is 0.012.
    assert found(invoice(), *[line(n, "S", "0.02", tax_rate="20", tax_amount="0") for n in "123"]) == []


def test_a_line_without_a_rate_or_a_tax_proves_nothing():
    assert found(invoice(), line("1", "S", "10", tax_rate="20"), line("2", "S", "10", tax_amount="7")) == []


def test_a_rate_of_zero_wants_no_tax():
    assert found(invoice(), line("1", "S", "10", tax_rate="0", tax_amount="2")) == [
        ("VAT_AMOUNT", "rate=0", "", D(0), D(2), D(2))
    ]
