"""Which service a line is about: tiers, blanks, letters' case, and never a guess."""

import pytest

from billing_pipeline.config import MatchKey, ReconciliationRules

from .month import Month, line, service

TIERS = ["service_id", "installed_offer_id", "external_reference", "serial_number", "order_reference"]


def attributed(contracts, *lines, **rules):
    """Per line: (service, tier), from items of one line each."""
    month = Month(contracts, list(lines), rules=ReconciliationRules(**rules))
    return {
        item["invoice_line_id"]: (item["service_id"], item["match_key"])
        for item in month.outcome().items.values()
        if item["invoice_line_id"]
    }


def charge(line_id, **keys):
    """A one-off line stands in an item of its own, whoever it belongs to."""
    return line(line_id, keys.pop("service_id", None), "1", charge_type="one_off", **keys)


@pytest.mark.parametrize("tier", TIERS[1:])
def test_each_key_finds_its_service_whatever_its_case_and_blanks(tier):
    found = attributed([service("S", "0", **{tier: " Ab/1é "})], charge("L", **{tier: "\tAB/1É\u00a0"}))
    assert found == {"L": ("S", tier)}


def test_the_stated_service_is_compared_like_any_key():
    assert attributed([service("svc-é1", "0")], charge("L", service_id=" SVC-É1 ")) == {"L": ("svc-é1", "service_id")}


def test_an_earlier_tier_beats_a_later_one():
    contracts = [service("A", "0", installed_offer_id="OFR"), service("B", "0", serial_number="SN")]
    assert attributed(contracts, charge("L", installed_offer_id="OFR", serial_number="SN")) == {
        "L": ("A", "installed_offer_id")
    }


def test_a_value_nobody_has_leaves_the_word_to_the_next_tier():
    contracts = [service("B", "0", serial_number="SN")]
    found = attributed(contracts, charge("L", service_id="X", installed_offer_id="OFR", serial_number="SN"))
    assert found == {"L": ("B", "serial_number")}


def test_blank_values_on_both_sides_are_no_match():
    contracts = [service("A", "0", installed_offer_id=" ", serial_number="SN")]
    assert attributed(contracts, charge("L", installed_offer_id="", serial_number="sn")) == {
        "L": ("A", "serial_number")
    }


def test_an_ambiguous_tier_is_not_settled_by_a_later_one():
    contracts = [
        service("A", "0", installed_offer_id="OFR"),
        service("B", "0", installed_offer_id="OFR", serial_number="SN"),
    ]
    found = attributed(contracts, charge("L", installed_offer_id="ofr", serial_number="SN"))
    assert found == {"L": (None, "installed_offer_id")}


def test_of_several_the_only_active_one_is_meant():
    contracts = [
        service("OLD", "0", until="2024-02-29", serial_number="SN"),
        service("NEW", "0", since="2024-03-01", serial_number="SN"),
        service("NEXT", "0", since="2024-04-01", serial_number="SN"),
    ]
    assert attributed(contracts, charge("L", serial_number="SN")) == {"L": ("NEW", "serial_number")}


def test_of_several_without_an_active_one_none_is_picked():
    contracts = [service(name, "0", until="2024-02-29", serial_number="SN") for name in "AB"]
    assert attributed(contracts, charge("L", serial_number="SN")) == {"L": (None, "serial_number")}


def test_a_single_inactive_service_is_resolved():
    assert attributed([service("A", "0", until="2024-02-29", serial_number="SN")], charge("L", serial_number="SN")) == {
        "L": ("A", "serial_number")
    }


def test_the_contract_may_reorder_and_drop_tiers():
    contracts = [service("A", "0", installed_offer_id="OFR"), service("B", "0", serial_number="SN")]
    both = charge("L", installed_offer_id="OFR", serial_number="SN")
    reordered = (MatchKey.SERIAL_NUMBER, MatchKey.INSTALLED_OFFER_ID)
    assert attributed(contracts, both, match_on=reordered) == {"L": ("B", "serial_number")}
    assert attributed(contracts, both, match_on=(MatchKey.ORDER_REFERENCE,)) == {"L": (None, None)}


def test_a_building_or_a_wording_never_names_a_service():
    contracts = [service("IMB/33063/C/025A", "0", description="Accès")]
    assert attributed(contracts, charge("L", site_id="IMB/33063/C/025A", description="Accès")) == {"L": (None, None)}


def test_a_dropped_tier_does_not_make_a_rejected_row_speak():
    month = Month([service("S", "5", serial_number="K")], rejected=[{"serial_number": "K"}])
    month.rules = ReconciliationRules(match_on=(MatchKey.SERVICE_ID,))
    assert month.outcome().item("service:S")["reason_code"] == "NOT_BILLED"
