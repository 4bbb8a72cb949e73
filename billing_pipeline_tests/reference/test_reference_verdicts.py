"""Every row of the verdict table, with the arithmetic done by hand in the test."""

import datetime as dt
from decimal import Decimal

from billing_pipeline_tests.reference.examples import line, service, verdicts
from billing_pipeline_tests.reference.records import ExpectedCharge


def test_the_hubs_three_examples_come_out_as_the_hub_words_them() -> None:
    services = [service(142, "25.00"), service(201, "22.00"), service(55, "25.00")]
    lines = [line("25.00", 1, 142), line("28.50", 187, 55)]
    items = verdicts(services, lines)
    matched, unmatched, discrepancy = (items[f"service:SVC-{n}"] for n in (142, 201, 55))
    assert (matched.status, matched.service_amount, matched.invoice_amount) == (
        "MATCHED",
        Decimal("25.00"),
        Decimal("25.00"),
    )
    assert (matched.invoice_line_id, matched.detail, matched.reason_code, matched.reasons) == ("LN-1", None, None, {})
    assert (unmatched.status, unmatched.service_amount, unmatched.invoice_amount) == (
        "UNMATCHED",
        Decimal("22.00"),
        None,
    )
    assert (unmatched.invoice_line_id, unmatched.match_key) == (None, None)
    assert unmatched.detail == "Service actif sans ligne de facturation correspondante"
    assert unmatched.reasons == {"NOT_BILLED": (Decimal("-22.00"), None)}
    assert (discrepancy.status, discrepancy.invoice_amount) == ("DISCREPANCY", Decimal("28.50"))
    assert (discrepancy.invoice_line_id, discrepancy.detail) == ("LN-187", "Écart de 3,50 € HT")
    assert discrepancy.difference == Decimal("3.50")
    assert len(items) == 3


def test_a_service_expected_at_nothing_and_not_billed_is_no_exception() -> None:
    item = verdicts([service(1, "0.01")], [])["service:SVC-1"]
    assert (item.status, item.reason_code, item.difference, item.invoice_amount) == (
        "MATCHED",
        "ROUNDING",
        Decimal("-0.01"),
        None,
    )
    item = verdicts([service(1, "0")], [])["service:SVC-1"]
    assert (item.status, item.reason_code, item.difference) == ("MATCHED", None, Decimal("0"))
    assert verdicts([service(1, "0.02")], [])["service:SVC-1"].reason_code == "NOT_BILLED"


def test_a_line_lost_in_reading_is_not_blamed_on_the_operator() -> None:
    keys = {"installed_offer_id": " ofr-1 ", "external_reference": None, "serial_number": None, "order_reference": None}
    item = verdicts([service()], [], rejected_keys=[keys])["service:SVC-1"]
    assert (item.status, item.reasons) == ("UNMATCHED", {"LINE_REJECTED": (Decimal("-25.00"), None)})
    assert item.detail == "Ligne de facturation rejetée à la lecture"


def test_a_cent_per_line_is_rounding_and_two_are_not() -> None:
    assert verdicts([service()], [line("25.01")])["service:SVC-1"].reasons == {"ROUNDING": (Decimal("0.01"), None)}
    assert verdicts([service()], [line("25.01")])["service:SVC-1"].status == "MATCHED"
    assert verdicts([service()], [line("25.02")])["service:SVC-1"].status == "DISCREPANCY"
    two = [line("12.51", 1), line("12.51", 2, description="Autre")]
    assert verdicts([service()], two)["service:SVC-1"].status == "MATCHED"


def test_billing_a_service_that_is_over_is_on_the_line_side_and_one_item() -> None:
    over = service(1, "25.00", terminated_on=dt.date(2024, 2, 29))
    item = verdicts([over], [line("25.00", 1), line("15.00", 2)])["service:SVC-1"]
    assert (item.side, item.status, item.service_amount, item.invoice_amount) == (
        "line",
        "UNMATCHED",
        None,
        Decimal("40.00"),
    )
    assert item.reasons == {"BILLED_AFTER_TERMINATION": (Decimal("40.00"), None)}
    assert item.detail == "Facturé après la résiliation du service"
    assert item.invoice_line_ids == ("INV-1:LN-1", "INV-1:LN-2")
    assert item.invoice_line_id == "LN-1"


def test_billing_a_service_not_yet_born_says_so() -> None:
    item = verdicts([service(1, activated_on=dt.date(2024, 4, 1))], [line("25.00")])["service:SVC-1"]
    assert (item.side, item.reason_code) == ("line", "BILLED_BEFORE_ACTIVATION")
    assert item.detail == "Facturé avant l'activation du service"


def test_a_dead_service_billed_and_credited_is_matched() -> None:
    over = service(1, terminated_on=dt.date(2024, 2, 29))
    item = verdicts([over], [line("25.00", 1), line("-24.99", 2)])["service:SVC-1"]
    assert (item.side, item.status, item.reasons) == ("line", "MATCHED", {"ROUNDING": (Decimal("0.01"), None)})


def test_lines_of_no_service_and_of_several_are_items_of_their_own() -> None:
    twins = [service(1, external_reference="X"), service(2, external_reference="x ")]
    lines = [line("9.00", 1, 99), line("8.00", 2, 99, service_id=None, external_reference="X")]
    items = verdicts(twins, lines)
    unknown, ambiguous = items["line:INV-1:LN-1"], items["line:INV-1:LN-2"]
    assert (unknown.side, unknown.status, unknown.match_key) == ("line", "UNMATCHED", None)
    assert unknown.reasons == {"UNKNOWN_SERVICE": (Decimal("9.00"), None)}
    assert unknown.detail == "Ligne de facturation sans service actif correspondant"
    assert (ambiguous.status, ambiguous.match_key, ambiguous.service_id) == ("UNMATCHED", "external_reference", None)
    assert ambiguous.reasons == {"AMBIGUOUS_SERVICE": (Decimal("8.00"), None)}
    assert ambiguous.detail == "Ligne de facturation rattachable à plusieurs services"
    assert {items[f"service:SVC-{n}"].reason_code for n in (1, 2)} == {"NOT_BILLED"}


def test_an_expected_charge_is_used_once_and_the_closest_first() -> None:
    charges = [
        ExpectedCharge("SVC-1", "2024-03", Decimal(amount), None, n) for n, amount in enumerate(("80.00", "80.01"), 1)
    ]
    charges.append(ExpectedCharge("SVC-1", "2024-04", Decimal("37.00"), None, 3))
    one_off = [
        line(amount, n, charge_type="one_off") for n, amount in enumerate(("80.01", "80.01", "80.00", "37.00"), 1)
    ]
    items = verdicts([service()], [*one_off, line("25.00", 9)], charges=charges)
    first, second, third, fourth = (items[f"line:INV-1:LN-{n}"] for n in range(1, 5))
    assert (first.status, first.service_amount, first.reason_code) == ("MATCHED", Decimal("80.01"), None)
    assert (second.status, second.service_amount, second.reasons) == (
        "MATCHED",
        Decimal("80.00"),
        {"ROUNDING": (Decimal("0.01"), None)},
    )
    assert (third.status, third.service_amount) == ("DISCREPANCY", None)
    assert third.reasons == {"UNEXPECTED_CHARGE": (Decimal("80.00"), None)}
    assert third.detail == "Frais ponctuels non attendus"
    assert fourth.reason_code == "UNEXPECTED_CHARGE"
    assert items["service:SVC-1"].status == "MATCHED"


def test_a_one_off_line_in_a_foreign_currency_takes_no_expected_charge() -> None:
    charges = [ExpectedCharge("SVC-1", "2024-03", Decimal("80.00"), None, 1)]
    items = verdicts([service()], [line("80.00", charge_type="usage", currency="USD")], charges=charges)
    item = items["line:INV-1:LN-1"]
    assert (item.reason_code, item.currency, item.invoice_amount) == ("UNEXPECTED_CHARGE", "USD", Decimal("80.00"))


def test_a_service_billed_in_one_foreign_currency_is_one_item_without_a_difference() -> None:
    items = verdicts([service()], [line("27.00", 1, currency="USD"), line("1.00", 2, currency="USD")])
    item = items["service:SVC-1"]
    assert (item.side, item.status, item.reason_code, item.reasons) == (
        "service",
        "DISCREPANCY",
        "CURRENCY_MISMATCH",
        {},
    )
    assert (item.currency, item.invoice_amount, item.service_amount, item.difference) == (
        "USD",
        Decimal("28.00"),
        Decimal("25.00"),
        None,
    )
    assert item.detail == "Devise facturée différente de celle du contrat"
    assert len(items) == 1


def test_some_foreign_lines_stand_alone_and_the_rest_is_compared() -> None:
    items = verdicts([service()], [line("25.00", 1), line("9.00", 2, currency="USD")])
    assert items["service:SVC-1"].status == "MATCHED"
    foreign = items["line:INV-1:LN-2"]
    assert (foreign.side, foreign.status, foreign.difference) == ("line", "DISCREPANCY", None)
    assert (foreign.reason_code, foreign.service_id, foreign.service_amount) == ("CURRENCY_MISMATCH", "SVC-1", None)


def test_several_foreign_currencies_leave_the_service_unbilled() -> None:
    items = verdicts([service()], [line("25.00", 1, currency="GBP"), line("9.00", 2, currency="USD")])
    assert items["service:SVC-1"].reason_code == "NOT_BILLED"
    assert {items[f"line:INV-1:LN-{n}"].reason_code for n in (1, 2)} == {"CURRENCY_MISMATCH"}


def test_a_foreign_line_of_a_dead_service_is_an_item_of_its_own() -> None:
    over = service(1, terminated_on=dt.date(2024, 2, 29))
    items = verdicts([over], [line("25.00", 1, currency="USD")])
    assert {key: item.status for key, item in items.items()} == {"line:INV-1:LN-1": "DISCREPANCY"}


def test_the_invoicing_pair_is_taken_where_it_is_in_the_contracts_currency() -> None:
    billed = line("27.13", currency="USD", invoicing_amount=Decimal("25.00"), invoicing_currency="EUR")
    item = verdicts([service()], [billed])["service:SVC-1"]
    assert (item.status, item.currency, item.invoice_amount) == ("MATCHED", "EUR", Decimal("25.00"))


def test_a_later_invoice_that_catches_up_changes_this_month() -> None:
    late = line("25.00", period="2024-05")
    assert verdicts([service()], [late])["service:SVC-1"].status == "MATCHED"


def test_a_line_of_another_month_makes_no_item_here() -> None:
    april = line("25.00", service_from=dt.date(2024, 4, 1), service_to=dt.date(2024, 4, 30))
    assert list(verdicts([service()], [april])) == ["service:SVC-1"]


def test_a_line_of_nothing_keeps_its_reason_code_without_a_row() -> None:
    item = verdicts([service()], [line("0.00", 1, 99)])["line:INV-1:LN-1"]
    assert (item.reason_code, item.reasons, item.invoice_amount) == ("UNKNOWN_SERVICE", {}, Decimal("0.00"))


def test_the_line_shown_is_the_one_with_the_largest_signed_share() -> None:
    lines = [line("-40.00", 1), line("25.00", 3, service_id=None, installed_offer_id="ofr-1"), line("25.00", 4)]
    item = verdicts([service()], lines)["service:SVC-1"]
    assert (item.invoice_line_id, item.match_key) == ("LN-3", "installed_offer_id")
    assert item.invoice_line_ids == ("INV-1:LN-1", "INV-1:LN-3", "INV-1:LN-4")


def test_amounts_above_a_thousand_and_in_dollars_are_worded_as_in_french() -> None:
    item = verdicts([service(1, "25.00", currency="USD")], [line("1259.50", currency="USD")])["service:SVC-1"]
    assert item.detail == "Écart de 1\u202f234,50 USD HT"
