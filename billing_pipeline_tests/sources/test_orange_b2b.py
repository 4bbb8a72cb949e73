"""Which bills and reports make a month, and what is said when one of them is not there."""

import gzip
import json
from contextlib import closing
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from billing_pipeline.errors import SourceError
from billing_pipeline.periods import Period
from billing_pipeline.sources.collection import Role
from billing_pipeline_tests.sources.conftest import Hub, reply
from billing_pipeline_tests.sources.shelf import Shelf, orange

MARCH = Period(2024, 3)
BASE = "/billing/b2b/v1"
CSV = b"Invoice number;Document type;Charge Currency;Taxable amount;Charge Month;Serial Number\r\n"


def rows(month: str, *invoices: str) -> bytes:
    return CSV + b"".join(f"{one};Invoice;EUR;10.00;{month};SN-1\r\n".encode() for one in invoices)


class Account:
    """An account with these bills and reports; `files` holds the reports' bytes, a status in place of bytes refuses."""

    def __init__(self, hub: Hub, bills: list[dict], reports: list[dict], files: dict[str, bytes | int]) -> None:
        self.bills, self.reports, self.files = bills, reports, files
        self.details = {str(one["id"]): one for one in bills if "id" in one}
        self.counters: dict[str, int] | None = None
        self.headers: dict[str, str] = {}
        hub.answer = self.answer

    def answer(self, handler) -> None:
        target = urlsplit(handler.path)
        path = target.path.removeprefix(BASE)
        if target.path == "/oauth/v3/token":
            return reply(handler, 200, b'{"access_token": "t", "expires_in": 3600}')
        if path in ("/bills", "/reports"):
            return self.page(handler, self.bills if path == "/bills" else self.reports, parse_qs(target.query))
        if path == "/snapshots":
            counted: dict[str, int] = {}
            for bill in self.bills:
                if "type" in bill:
                    counted[bill["type"]] = counted.get(bill["type"], 0) + 1
            return reply(handler, 200, json.dumps(counted if self.counters is None else self.counters).encode())
        kind, _, segment = path.removeprefix("/").partition("/")
        name = unquote(segment)
        if kind == "bills" and handler.headers["Accept"] == "application/pdf":
            return reply(handler, 200, b"%PDF-1.4\n%%EOF\n", Content_Type="application/pdf")
        if kind == "bills" and name in self.details:
            return reply(handler, 200, json.dumps(self.details[name]).encode())
        found = self.files.get(name, 404)
        if isinstance(found, int):
            return reply(handler, found, b'{"code": 65}')
        return reply(handler, 200, found, Content_Type="text/csv", **self.headers)

    def page(self, handler, records: list[dict], query: dict[str, list[str]]) -> None:
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        shown = records[offset : offset + limit]
        reply(handler, 200, json.dumps(shown).encode(), X_Total_Count=str(len(records)), X_Result_Count=str(len(shown)))


def collect(hub: Hub, period: Period = MARCH, **options):
    shelf = Shelf()
    with closing(orange(hub.url, **options)) as source:
        return source.collect(period, shelf.keep), shelf


def names(collection, role: Role) -> list[str]:
    return sorted(one.name for one in collection.documents if one.role is role)


def bill(identifier: str, **fields: object) -> dict:
    return {"id": identifier, "type": "invoice", **fields}


def test_a_bill_belongs_to_its_period_else_to_the_month_before_its_creation_in_paris(hub):
    bills = [
        bill("stated", period="2024-03", createdAt="2024-06-01T00:00:00Z"),
        bill("april", createdAt="2024-04-05T06:43:32.092Z"),
        # 23:30 UTC on the last of March is 01:30 on the first of April in Paris.
        bill("night", createdAt="2024-03-31T23:30:00.000Z"),
        bill("evening", createdAt="2024-03-31T21:30:00.000Z"),
        bill("may", createdAt="2024-05-05T00:00:00Z"),
        bill("null", period=None, createdAt="2024-04-09T00:00:00Z"),
    ]
    Account(hub, bills, [], {})
    collection, _ = collect(hub)
    assert collection.gaps == ()
    assert names(collection, Role.ORANGE_BILL) == ["april", "night", "null", "stated"]
    assert len(names(collection, Role.ORANGE_BILL_PDF)) == 1  # the same bytes for all four: one document
    assert not any("period=" in target for target in hub.requests)


def test_a_bill_whose_list_entry_says_little_is_placed_by_its_detail(hub):
    account = Account(hub, [{"id": "1013390", "type": "invoice"}], [], {})
    account.details["1013390"] = bill("1013390", createdAt="2024-04-05T06:43:32.092Z")
    assert names(collect(hub)[0], Role.ORANGE_BILL) == ["1013390"]


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:30:00Z"])
def test_an_instant_that_paris_cannot_say_is_none(hub, instant):
    Account(hub, [bill("odd", createdAt=instant)], [], {})
    collection, _ = collect(hub)
    assert any("bill odd" in gap and "createdAt" in gap for gap in collection.gaps)


def test_a_bill_of_no_month_makes_every_period_incomplete(hub):
    Account(hub, [bill("lost")], [], {})
    for month in (2, 3):
        collection, _ = collect(hub, Period(2024, month))
        assert any("bill lost" in gap and "createdAt" in gap for gap in collection.gaps)


def test_a_report_belongs_to_its_period_else_its_name_else_its_rows(hub):
    files = {
        "R189-A+1-202401.csv": rows("2024-03", "A"),
        "R189-B+1-202403.csv": rows("2024-03", "B"),
        "R189-C+1.csv": rows("2024-03", "C"),
        "R189-D+1.csv": rows("2024-02", "D"),
    }
    reports = [{"id": name} for name in files]
    reports[0]["period"] = "2024-03"
    Account(hub, [], reports, files)
    collection, _ = collect(hub)
    assert collection.gaps == ()
    assert names(collection, Role.R189_CHARGES) == ["R189-A+1-202401.csv", "R189-B+1-202403.csv", "R189-C+1.csv"]


def test_a_report_whose_month_cannot_be_told_is_named_and_kept_in_every_period(hub):
    mixed = rows("2024-03", "A") + rows("2024-02", "B")[len(CSV) :]
    Account(hub, [], [{"id": "R189-mixed.csv"}], {"R189-mixed.csv": mixed})
    for month in (1, 3):
        collection, shelf = collect(hub, Period(2024, month))
        assert any("R189-mixed.csv" in gap for gap in collection.gaps)
        assert names(collection, Role.R189_CHARGES) == []
        assert mixed in shelf.bodies.values()


def test_a_report_of_an_unknown_type_is_kept_and_told_and_no_gap(hub):
    Account(hub, [], [{"id": "Inventory-202403.csv", "type": "Inventory"}], {"Inventory-202403.csv": b"a;b\r\n"})
    collection, _ = collect(hub)
    assert collection.gaps == ()
    assert names(collection, Role.ORANGE_REPORT) == ["Inventory-202403.csv"]
    assert any("Inventory-202403.csv" in note and "unknown type" in note for note in collection.notes)


def test_fewer_bytes_than_a_report_declares_is_a_gap_and_not_a_shorter_month(hub):
    body = rows("2024-03", "A", "B")
    Account(hub, [], [{"id": "R189-202403.csv", "bytes": len(body) + 40}], {"R189-202403.csv": body})
    collection, _ = collect(hub)
    assert names(collection, Role.R189_CHARGES) == []
    assert any(f"declares {len(body) + 40} bytes, {len(body)} arrived" in gap for gap in collection.gaps)


@pytest.mark.parametrize("status", [404, 410, 413, 422])
def test_a_report_that_is_listed_and_not_served_is_a_gap(hub, status):
    Account(hub, [], [{"id": "R189-202403.csv"}], {"R189-202403.csv": status})
    collection, _ = collect(hub)
    assert any(f"HTTP {status}" in gap and "R189-202403.csv" in gap for gap in collection.gaps)


@pytest.mark.parametrize(("held", "told"), [(-40, "60"), (0, None), (40, "more")])
def test_a_compressed_file_in_the_drop_folder_holds_the_bytes_its_report_declares(hub, tmp_path, held, told):
    """Whole as a gzip, it may still be made of half a report."""
    name, body = "R189-202403.csv", b"x" * (100 + held)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(body))
    Account(hub, [], [{"id": name, "bytes": 100}], {name: 413})
    collection, _ = collect(hub, drop_folder=tmp_path)
    if told is None:
        assert (collection.gaps, names(collection, Role.R189_CHARGES)) == ((), [f"{name}.gz"])
    else:
        (gap,) = collection.gaps
        assert f"{name}.gz: report declares 100 bytes, the file has {told};" in gap
        assert names(collection, Role.R189_CHARGES) == []


def test_a_file_whose_length_is_that_of_the_compressed_report_is_taken(hub, tmp_path):
    name, body = "R189-202403.csv", gzip.compress(rows("2024-03", "A"))
    (tmp_path / f"{name}.gz").write_bytes(body)
    Account(hub, [], [{"id": name, "bytes": len(body)}], {name: 413})
    assert collect(hub, drop_folder=tmp_path)[0].gaps == ()


def test_a_hostile_report_id_never_becomes_a_path(hub, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_bytes(rows("2024-03", "STOLEN"))
    folder = tmp_path / "drop"
    folder.mkdir()
    name = "../secret.csv"
    Account(hub, [], [{"id": name, "type": "R189", "period": "2024-03"}], {name: 413})
    collection, shelf = collect(hub, drop_folder=folder)
    assert any("secret.csv" in gap for gap in collection.gaps)
    assert secret.read_bytes() not in shelf.bodies.values()
    assert any("..%2Fsecret.csv" in target for target in hub.requests)


def test_counters_that_differ_from_the_list_make_the_month_incomplete(hub):
    account = Account(hub, [bill("1", period="2024-03")], [], {})
    account.counters = {"invoice": 1, "creditNote": 4}
    collection, _ = collect(hub)
    assert any("counts 4 bills of type creditNote, 0 are listed" in gap for gap in collection.gaps)


def test_an_empty_month_is_complete_and_keeps_the_answers_that_prove_it(hub):
    Account(hub, [bill("1", period="2024-02")], [], {})
    collection, _ = collect(hub)
    assert collection.gaps == ()
    assert {one.role for one in collection.documents} == {Role.ORANGE_LISTING}


def test_a_list_is_read_to_its_end_over_many_pages(hub):
    Account(hub, [bill(f"{number:04d}", period="2024-02") for number in range(250)], [], {})
    collection, _ = collect(hub)
    assert collection.gaps == ()
    assert collection.declared["bills_listed"] == collection.collected["bills_listed"] == 250


def test_a_record_without_an_id_is_named_by_its_place(hub):
    Account(hub, [{"type": "invoice", "period": "2024-03"}], [], {})
    collection, _ = collect(hub)
    assert any("record 1 has no 'id'" in gap for gap in collection.gaps)


def test_a_list_without_its_total_is_an_error_that_names_the_header(hub):
    account = Account(hub, [], [], {})
    account.page = lambda handler, records, query: reply(handler, 200, b"[]")
    with pytest.raises(SourceError, match="x-total-count is missing"):
        collect(hub)


def test_what_bills_a_report_declares_travels_with_it(hub):
    body = rows("2024-03", "A")
    reports = [{"id": "R189-202403.csv", "billIds": ["1", 2], "createdAt": "2024-04-06T05:12:00+02:00"}]
    Account(hub, [], reports, {"R189-202403.csv": body})
    collection, _ = collect(hub)
    document = next(one for one in collection.documents if one.role is Role.R189_CHARGES)
    assert list(document.declared_ids) == ["1", "2"]
    assert document.created_at == "2024-04-06T03:12:00.000000+00:00"
