"""A document that arrives late: which months it makes stale, what it changes there, and that this is told once."""

import signal
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from billing_pipeline.config import load_config
from billing_pipeline.defs.location import code_location
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline_tests.pipeline.conftest import SERVICES_HEADER, new_place, program, server  # noqa: F401
from billing_pipeline_tests.pipeline.places import Place

HEADER = (
    "Invoice number;Document type;Charge Currency;Taxable amount;Charge Month;Period from;Period to;Frequency;"
    "Charge Description;Installed Offer ID\n"
)
SERVICES = SERVICES_HEADER + (
    "A,AXIONE,Accès A,C1,EUR,30.00,0,2023-01-01,,OFR-A,,,\nB,AXIONE,Accès B,C1,EUR,40.00,0,2023-01-01,,OFR-B,,,\n"
)
CONFIG = """\
version: 1
first_period: "2024-01"
storage: {data_dir: ./data}
services: {inventory: ./services.csv}
operators:
  - {code: AXIONE, name: Axione, source: {type: r189_files, folder: ./inbox}}
"""


def month(number: int, *rows: str) -> str:
    return HEADER + "".join(f"AX-{number:02d};Invoice;EUR;{row}\n" for row in rows)


def recurring(amount: str, offer: str, number: int, words: str = "Abonnement") -> str:
    return f"{amount};2024-{number:02d};2024-{number:02d}-01;2024-{number:02d}-28;Monthly;{words};{offer}"


@pytest.fixture(scope="module")
def judged(new_place: Callable[[], Place]) -> Place:  # noqa: F811
    """February billed A at 30.00 and forgot B; it has been judged."""
    place = new_place()
    place.write("billing.yaml", CONFIG)
    place.write("services.csv", SERVICES)
    place.write("inbox/R189_202402.csv", month(2, recurring("30.00", "OFR-A", 2)))
    place.run("2024-02")
    return place


@pytest.fixture(scope="module")
def late(judged: Place) -> Place:
    """March's file also bills B's February; only March has been run since."""
    place = judged.copy()
    march = month(
        3, recurring("30.00", "OFR-A", 3), recurring("40.00", "OFR-B", 3), recurring("40.00", "OFR-B", 2, "Rattrapage")
    )
    place.write("inbox/R189_202403.csv", march)
    ended = place.run("2024-03")
    assert "AXIONE 2024-02" in ended.out.split("stale: ")[1].splitlines()[0]
    return place


def history(place: Place) -> list[dict[str, object]]:
    return place.query(
        "SELECT period, item_id, changed_at, changed_by_run, status_before, status_after, reason_code_before,"
        " reason_code_after, invoice_amount_before::text, invoice_amount_after::text, difference_after::text, documents"
        " FROM billing.reconciliation_history ORDER BY period, item_id, changed_at"
    )


def test_a_first_evaluation_writes_no_history(judged):
    assert judged.query("SELECT count(*) AS n FROM billing.reconciliation_items") != [{"n": 0}]
    assert history(judged) == []


def test_a_late_line_changes_its_month_and_the_change_names_its_document(late):
    place = late.copy()
    place.run("2024-03", options=("--refresh-stale",))
    (told,) = history(place)
    file = place.query("SELECT sha256 FROM billing.source_documents WHERE location LIKE '%R189_202403.csv'")[0][
        "sha256"
    ]
    assert (told["period"], told["item_id"]) == ("2024-02", "service:B")
    assert (told["status_before"], told["reason_code_before"]) == ("UNMATCHED", "NOT_BILLED")
    assert (told["status_after"], told["reason_code_after"]) == ("MATCHED", None)
    assert (told["invoice_amount_before"], told["invoice_amount_after"]) == (None, "40.000000")
    assert told["documents"] == [file]
    before = place.stored()
    place.run("2024-02", "2024-03")
    assert place.stored() == before
    assert place.run("2024-03", options=("--refresh-stale",)).out.count("stale") == 0


def test_a_second_change_leaves_the_first_as_it_was(late):
    place = late.copy()
    place.run("2024-03", options=("--refresh-stale",))
    (first,) = history(place)
    place.write("services.csv", SERVICES.replace("30.00", "25.00"))
    place.run("2024-02")
    kept, second = sorted(history(place), key=lambda row: str(row["changed_at"]))
    assert kept == first
    assert (second["item_id"], second["status_before"], second["status_after"]) == (
        "service:A",
        "MATCHED",
        "DISCREPANCY",
    )
    assert second["difference_after"] == "5.000000"
    inventory = place.query(
        "SELECT sha256 FROM billing.source_documents WHERE period = '2024-02' AND location LIKE '%services.csv'"
    )
    assert second["documents"] == [row["sha256"] for row in inventory]
    assert place.query(
        "SELECT (contents -> 'reconciliation_history' ->> 'rows')::int AS n FROM billing.partition_loads"
        " WHERE phase = 'reconcile' AND period = '2024-02'"
    ) == [{"n": 2}]


def test_a_document_of_another_month_that_takes_an_invoice_over_is_named(new_place):  # noqa: F811
    """February's file arrives last and holds March's invoice for February: March loses the line, and is told why."""
    place = new_place()
    place.write("billing.yaml", CONFIG)
    place.write("services.csv", SERVICES)
    place.write(
        "inbox/R189_202403.csv",
        month(3, recurring("30.00", "OFR-A", 3)) + month(9, recurring("40.00", "OFR-B", 3))[len(HEADER) :],
    )
    place.run("2024-03")
    february = recurring("40.00", "OFR-B", 2)
    place.write("inbox/R189_202402.csv", month(9, february) + month(2, recurring("30.00", "OFR-A", 2))[len(HEADER) :])
    place.run("2024-02", options=("--refresh-stale",))
    told = {(row["period"], row["item_id"]): row for row in history(place)}
    lost = told["2024-03", "service:B"]
    assert (lost["status_before"], lost["status_after"]) == ("MATCHED", "UNMATCHED")
    file = place.query("SELECT sha256 FROM billing.source_documents WHERE location LIKE '%R189_202402.csv'")
    assert lost["documents"] == [row["sha256"] for row in file]


def test_the_sensor_asks_once_for_each_stale_period(late, monkeypatch):
    place = late.copy()
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    config = load_config(place.folder / "billing.yaml")
    definitions = code_location(config, marts=False)
    sensor = definitions.resolve_sensor_def("stale_periods")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED

    def asked() -> list[dg.RunRequest]:
        with dg.instance_for_test() as instance:
            resources = {"billing": BillingResource(config_path=str(config.path))}
            context = dg.build_sensor_context(instance=instance, definitions=definitions, resources=resources)
            return list(sensor.evaluate_tick(context).run_requests or [])

    (request,) = asked()
    assert request.partition_key == "AXIONE|2024-02"
    assert "reconciliation_items" in {key.to_user_string() for key in request.asset_selection}
    assert "invoice_lines" not in {key.to_user_string() for key in request.asset_selection}
    assert [again.run_key for again in asked()] == [request.run_key], "Dagster knows a request by its run_key"
    place.run("2024-03", options=("--refresh-stale",))
    assert asked() == []


def test_an_evaluation_killed_before_its_commit_tells_the_change_once(late):
    killed, undisturbed = late.copy(), late.copy()
    ended = killed.command("run", "--period", "2024-03", "--refresh-stale", point="reconciled_without_commit")
    assert ended.code == -signal.SIGKILL
    assert history(killed) == []
    for place in (killed, undisturbed):
        place.run("2024-03", options=("--refresh-stale",))
    told = [_without(row, ("changed_at", "changed_by_run")) for row in history(killed)]
    assert len(told) == 1
    assert told == [_without(row, ("changed_at", "changed_by_run")) for row in history(undisturbed)]


def _without(row: dict[str, object], names: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in names}


def test_nothing_of_a_month_is_looked_for_outside_the_partitions_the_ledger_names(late):
    """One month costs the same whatever lies beside it: a file of another month that cannot be read stops nothing."""
    place = late.copy()
    parquet = place.folder / "data" / "parquet"
    for month_of in ("2023-11", "2023-12"):
        for table in ("invoice_lines", "line_allocations", "services"):
            path: Path = parquet / table / f"period={month_of}" / "operator_code=AXIONE" / "data.parquet"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"not Parquet")
    place.run("2024-03", options=("--refresh-stale",))
    assert len(history(place)) == 1
