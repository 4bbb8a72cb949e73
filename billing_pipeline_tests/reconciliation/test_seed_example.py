"""The published example of the billing hub, figure by figure."""

from decimal import Decimal

from .month import Month, line, service

SERVICES = [service("SVC-2024-00142", "25.00"), service("SVC-2024-00201", "22.00"), service("SVC-2024-00055", "25.00")]
LINES = [line("LN-001", "SVC-2024-00142", "25.00"), line("LN-187", "SVC-2024-00055", "28.50")]


def test_the_hubs_example_gives_its_three_items_and_no_other():
    outcome = Month(SERVICES, LINES).outcome()
    shown = {
        item["service_id"]: (
            item["invoice_line_id"], item["status"], item["service_amount"], item["invoice_amount"], item["detail"]
        )
        for item in outcome.items.values()
    }  # fmt: skip
    assert shown == {
        "SVC-2024-00142": ("LN-001", "MATCHED", Decimal("25.00"), Decimal("25.00"), None),
        "SVC-2024-00201": (
            None, "UNMATCHED", Decimal("22.00"), None, "Service actif sans ligne de facturation correspondante",
        ),
        # 28.50 billed less 25.00 expected.
        "SVC-2024-00055": ("LN-187", "DISCREPANCY", Decimal("25.00"), Decimal("28.50"), "Écart de 3,50 € HT"),
    }  # fmt: skip


def test_the_examples_differences_are_explained_to_the_cent():
    outcome = Month(SERVICES, LINES).outcome()
    assert outcome.amounts("service:SVC-2024-00142") == {}
    assert outcome.amounts("service:SVC-2024-00201") == {"NOT_BILLED": Decimal("-22.00")}
    assert outcome.amounts("service:SVC-2024-00055") == {"PRICE_MISMATCH": Decimal("3.50")}
