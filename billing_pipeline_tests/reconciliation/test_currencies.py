"""An amount never loses its currency: foreign lines, mixed ones, and the invoicing pair."""

from decimal import Decimal

from .month import Month, line, service

D = Decimal


def verdict(item):
    return item["side"], item["status"], item["reason_code"]


def usd(line_id, service_id, total, **stated):
    return line(line_id, service_id, total, currency="USD", **stated)


def test_a_service_billed_wholly_in_another_currency_is_one_item_without_difference():
    outcome = Month([service("S", "25")], [usd("1", "S", "10"), usd("2", "S", "20", description="b")]).outcome()
    item = outcome.item("service:S")
    assert list(outcome.items) == ["service:S"]
    assert verdict(item) == ("service", "DISCREPANCY", "CURRENCY_MISMATCH")
    assert (item["service_amount"], item["invoice_amount"], item["difference"]) == (D("25"), D("30"), None)
    assert (item["currency"], item["invoice_line_id"], item["invoice_line_ids"]) == ("USD", "2", ["INV-1:1", "INV-1:2"])
    assert item["detail"] == "Devise facturée différente de celle du contrat"
    assert outcome.amounts("service:S") == {}


def test_a_foreign_line_among_others_stands_alone_and_the_rest_is_compared():
    outcome = Month([service("S", "25")], [usd("1", "S", "10"), line("2", "S", "25")]).outcome()
    assert verdict(outcome.item("line:INV-1:1")) == ("line", "DISCREPANCY", "CURRENCY_MISMATCH")
    foreign = outcome.item("line:INV-1:1")
    assert (foreign["service_id"], foreign["service_amount"], foreign["invoice_amount"], foreign["difference"]) == (
        "S",
        None,
        D("10"),
        None,
    )
    assert (foreign["currency"], foreign["match_key"]) == ("USD", "service_id")
    assert verdict(outcome.item("service:S")) == ("service", "MATCHED", None)
    assert outcome.item("service:S")["invoice_line_ids"] == ["INV-1:2"]


def test_several_foreign_currencies_leave_the_service_as_not_billed():
    outcome = Month([service("S", "25")], [usd("1", "S", "10"), line("2", "S", "9", currency="GBP")]).outcome()
    assert verdict(outcome.item("service:S")) == ("service", "UNMATCHED", "NOT_BILLED")
    assert {verdict(outcome.item(f"line:INV-1:{n}")) for n in "12"} == {("line", "DISCREPANCY", "CURRENCY_MISMATCH")}


def test_a_foreign_line_of_an_inactive_service_stands_alone():
    outcome = Month([service("S", "25", until="2024-02-29")], [usd("1", "S", "10"), line("2", "S", "5")]).outcome()
    assert verdict(outcome.item("line:INV-1:1")) == ("line", "DISCREPANCY", "CURRENCY_MISMATCH")
    assert verdict(outcome.item("service:S")) == ("line", "UNMATCHED", "BILLED_AFTER_TERMINATION")
    assert outcome.item("service:S")["invoice_amount"] == D("5")


def test_the_invoicing_pair_is_taken_where_it_is_the_contracts_currency():
    converted = usd("1", "S", "27", invoicing_amount="25", invoicing_currency="EUR")
    item = Month([service("S", "25")], [converted]).outcome().item("service:S")
    assert verdict(item) == ("service", "MATCHED", None)
    assert (item["invoice_amount"], item["currency"]) == (D("25"), "EUR")


def test_the_invoicing_pair_is_left_alone_where_the_charge_is_in_the_contracts_currency():
    item = Month(
        [service("S", "25")], [line("1", "S", "25", invoicing_amount="27", invoicing_currency="EUR")]
    ).outcome()
    assert item.item("service:S")["invoice_amount"] == D("25")
    other = Month(
        [service("S", "25")], [usd("1", "S", "25", invoicing_amount="20", invoicing_currency="GBP")]
    ).outcome()
    assert other.item("service:S")["currency"] == "USD"


def test_an_unknown_line_keeps_its_charge_currency():
    item = Month([service("S", "0")], [usd("1", "X", "27", invoicing_amount="25", invoicing_currency="EUR")]).outcome()
    assert (item.item("line:INV-1:1")["invoice_amount"], item.item("line:INV-1:1")["currency"]) == (D("27"), "USD")


def test_the_converted_share_of_a_quarter_is_the_share_of_the_converted_total():
    # 100.00 EUR over three months: 33.33, 33.34, 33.33; March takes the rest, 100 - 66.67.
    quarter = usd("1", "S", "300", days=("01-01", "03-31"), invoicing_amount="100", invoicing_currency="EUR")
    assert Month([service("S", "33.33")], [quarter]).outcome().item("service:S")["status"] == "MATCHED"


def test_converted_twins_are_duplicates_of_each_other():
    lines = [usd(n, "S", "27", days=("03-01", "03-31"), invoicing_amount="25", invoicing_currency="EUR") for n in "12"]
    assert Month([service("S", "25")], lines).outcome().amounts("service:S") == {"DUPLICATE_LINE": D("25")}


def test_a_one_off_line_in_another_currency_answers_to_no_expected_charge():
    charges = [{"service_id": "S", "period": "2024-03", "amount_ht": "80"}]
    item = Month([service("S", "0")], [usd("1", "S", "80", charge_type="one_off")], charges=charges).outcome()
    assert verdict(item.item("line:INV-1:1")) == ("line", "DISCREPANCY", "UNEXPECTED_CHARGE")
    assert item.item("line:INV-1:1")["currency"] == "USD"
    assert item.amounts("line:INV-1:1") == {"UNEXPECTED_CHARGE": D("80")}
