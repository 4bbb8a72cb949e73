"""One-off and usage lines against the expected charges: each charge answers once."""

from decimal import Decimal

from .month import Month, line, service

D = Decimal
SERVICES = [service("S", "0"), service("T", "0"), service("OLD", "9", until="2024-01-31")]


def once(line_id, total, service_id="S", **stated):
    return line(line_id, service_id, total, **{"charge_type": "one_off", **stated})


def charge(amount, service_id="S", period="2024-03"):
    return {"service_id": service_id, "period": period, "amount_ht": amount, "description": "Frais"}


def outcome(lines, *charges):
    found = Month(SERVICES, lines, charges=list(charges)).outcome()
    return found, {
        item["invoice_line_id"]: (item["status"], item["reason_code"], item["service_amount"])
        for item in found.items.values()
        if item["item_id"].startswith("line:")
    }


def test_an_expected_charge_is_matched_on_the_line_side():
    found, verdicts = outcome([once("1", "80"), once("2", "45.01", charge_type="usage")], charge("80"), charge("45"))
    assert verdicts == {"1": ("MATCHED", None, D("80")), "2": ("MATCHED", "ROUNDING", D("45"))}
    assert found.item("line:INV-1:1")["side"] == "line"
    assert found.item("line:INV-1:1")["detail"] is None
    assert found.amounts("line:INV-1:2") == {"ROUNDING": D("0.01")}


def test_a_charge_nobody_expected_is_a_discrepancy_of_its_own():
    found, verdicts = outcome([once("1", "80.02"), once("2", "0")], charge("80"))
    assert verdicts == {
        "1": ("DISCREPANCY", "UNEXPECTED_CHARGE", None),
        "2": ("DISCREPANCY", "UNEXPECTED_CHARGE", None),
    }
    assert found.item("line:INV-1:1")["detail"] == "Frais ponctuels non attendus"
    assert found.amounts("line:INV-1:1") == {"UNEXPECTED_CHARGE": D("80.02")}
    assert found.amounts("line:INV-1:2") == {}


def test_one_expected_charge_does_not_excuse_two_lines():
    _, verdicts = outcome([once("2", "80"), once("1", "80")], charge("80"))
    assert {name: status for name, (status, *_) in verdicts.items()} == {"1": "MATCHED", "2": "DISCREPANCY"}


def test_lines_choose_in_the_order_of_their_ids_as_text():
    # "10" comes before "9" and takes 80.01, the closest to it; 9 then has 80.02 left, 0.01 away.
    _, verdicts = outcome([once("9", "80.01"), once("10", "80.01")], charge("80.02"), charge("80.01"))
    assert verdicts == {"10": ("MATCHED", None, D("80.01")), "9": ("MATCHED", "ROUNDING", D("80.02"))}


def test_equally_close_charges_are_taken_in_file_order():
    _, verdicts = outcome([once("1", "80.01")], charge("80.02"), charge("80.00"))
    assert verdicts["1"][2] == D("80.02")


def test_a_charge_of_another_service_or_month_excuses_nothing():
    _, verdicts = outcome([once("1", "80")], charge("80", "T"), charge("80", "S", "2024-04"))
    assert verdicts["1"][0] == "DISCREPANCY"


def test_an_expected_charge_without_a_line_makes_no_item():
    found, verdicts = outcome([], charge("80"))
    assert verdicts == {}
    assert set(found.items) == {"service:S", "service:T"}


def test_a_one_off_line_of_an_inactive_service_is_of_a_known_service():
    found, verdicts = outcome([once("1", "80", "OLD"), once("2", "7", "OLD")], charge("7", "OLD"))
    assert verdicts["1"][:2] == ("DISCREPANCY", "UNEXPECTED_CHARGE")
    assert verdicts["2"][0] == "MATCHED"
    assert found.item("line:INV-1:1")["service_id"] == "OLD"


def test_the_share_of_the_month_is_what_meets_the_charge():
    # 120.00 over January to March is 40.00 in March.
    _, verdicts = outcome([once("1", "120", days=("01-01", "03-31"))], charge("40"))
    assert verdicts["1"][0] == "MATCHED"


def test_a_one_off_line_does_not_enter_the_monthly_comparison():
    found = Month([service("S", "25")], [line("r", "S", "25"), once("o", "25")]).outcome()
    assert found.item("service:S")["status"] == "MATCHED"
    assert found.item("service:S")["invoice_line_ids"] == ["INV-1:r"]
