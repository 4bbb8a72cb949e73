"""The hub's invoices are collected whole, or the collection says what is missing."""

import hashlib
import json
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from billing_pipeline.config import HttpSettings, NetwoSource
from billing_pipeline.errors import SourceError, SourceRefused
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline.sources.collection import Collection, Kept, Received, Role
from billing_pipeline.sources.netwo import LISTING_READS, Netwo
from billing_pipeline_tests.sources.conftest import Hub, reply

MARCH = Period(2024, 3)


class Shelf:
    """Keeps what a source hands over, in memory."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def keep(self, received: Received) -> Kept:
        assert not isinstance(received.content, Path)
        sha256 = hashlib.sha256(received.content).hexdigest()
        self.bodies[received.name] = received.content
        return Kept(
            received.role, sha256, received.extension, received.name, received.location, received.media_type,
            len(received.content), "2024-04-06T00:00:00+00:00", received.created_at, received.declared_count,
        )  # fmt: skip


def netwo(url: str, **changes: object) -> Netwo:
    settings = HttpSettings(attempts=2, read_timeout_s=2, deadline_s=5)
    source = NetwoSource(type="netwo", base_url=url, api_key_env="NETWO_API_KEY", http=settings)
    return Netwo(source.model_copy(update=changes), operator_code="SFR", key="sandbox-key")


def collected(url: str, **changes: object) -> Collection:
    with closing(netwo(url, **changes)) as source:
        return source.collect(MARCH, Shelf().keep)


def entry(invoice_id: str, **changes: object) -> dict[str, object]:
    return {
        "invoiceId": invoice_id, "operator": {"code": "SFR", "name": "SFR"}, "period": "2024-03", "totalHT": 10.0,
        "totalTTC": 12.0, "currency": "EUR", "lineCount": 1, **changes,
    }  # fmt: skip


def serve(
    hub: Hub, entries: list[dict[str, object]], *, total: int | None = None, missing: frozenset[str] = frozenset()
):
    """A hub that pages through `entries` and has a detail for each but the `missing`."""

    def answer(handler) -> None:
        target = urlsplit(handler.path)
        if target.path == "/v1/billing/invoices":
            query = parse_qs(target.query)
            page, per_page = int(query["page"][0]), int(query["perPage"][0])
            shown = entries[(page - 1) * per_page : page * per_page]
            pagination = {"page": page, "perPage": per_page, "total": len(entries) if total is None else total}
            reply(handler, 200, json.dumps({"invoices": shown, "pagination": pagination}).encode())
            return
        invoice_id = unquote(target.path.rpartition("/")[2])
        if invoice_id in missing:
            reply(handler, 404, b"{}")
            return
        reply(handler, 200, json.dumps({"invoiceId": invoice_id, "period": "2024-03", "lines": []}).encode())

    hub.answer = answer


def test_every_invoice_of_the_sandbox_arrives_once_over_real_http():
    reseller = generate_reseller(scale=120)
    with SandboxServer(create_app(reseller, api_key="sandbox-key")) as server:
        collection = collected(server.base_url)
    expected = {invoice.invoice_id for invoice in reseller.invoices["SFR", MARCH]}
    invoices = [one for one in collection.documents if one.role is Role.NETWO_INVOICE]
    assert {one.name for one in invoices} == expected
    assert len(invoices) == len(expected) == collection.declared["invoices"]
    assert collection.gaps == ()


def test_pages_are_followed_to_the_last_invoice(hub):
    serve(hub, [entry(f"INV-{number:03d}") for number in range(123)])
    collection = collected(hub.url)
    assert collection.gaps == ()
    assert collection.collected == {"invoices": 123}
    assert sum("/invoices?" in target for target in hub.requests) == 3


def test_an_empty_month_is_complete_and_keeps_the_answer_that_proves_it(hub):
    serve(hub, [])
    collection = collected(hub.url)
    assert collection.gaps == ()
    assert [one.role for one in collection.documents] == [Role.NETWO_LISTING]


def test_fewer_invoices_than_the_total_promises_is_a_gap_after_reading_again(hub):
    serve(hub, [entry("INV-1")], total=2)
    collection = collected(hub.url)
    assert "declares 2, 1 arrived" in " ".join(collection.gaps)
    assert sum("page=1&" in target for target in hub.requests) == LISTING_READS


def test_a_repeated_page_does_not_double_the_invoice(hub):
    serve(hub, [entry("INV-1"), entry("INV-1")])
    collection = collected(hub.url)
    assert [one.name for one in collection.documents if one.role is Role.NETWO_INVOICE] == ["INV-1"]
    assert any("INV-1 is listed twice" in gap for gap in collection.gaps)


def test_an_invoice_of_another_month_or_operator_is_not_taken_for_this_one(hub):
    serve(hub, [entry("INV-1"), entry("INV-2", period="2024-02"), entry("INV-3", operator={"code": "FREE"})])
    collection = collected(hub.url)
    assert [one.name for one in collection.documents if one.role is Role.NETWO_INVOICE] == ["INV-1"]
    assert len([gap for gap in collection.gaps if "not asked for" in gap]) == 2


def test_a_listed_invoice_without_a_detail_is_a_gap_and_not_a_failure(hub):
    serve(hub, [entry("INV-1"), entry("INV-2")], missing=frozenset({"INV-2"}))
    collection = collected(hub.url)
    assert len(collection.gaps) == 1
    assert "INV-2 is listed but has no detail" in collection.gaps[0]


@pytest.mark.parametrize("invoice_id", ["../../etc/passwd", "a/b?c=d#e", "%2e%2e%2f", "x' OR 1=1 --", "é à"])
def test_a_hostile_id_stays_one_segment_of_the_path(hub, invoice_id):
    serve(hub, [entry(invoice_id)])
    collection = collected(hub.url)
    assert collection.gaps == ()
    assert all(target.startswith(("/v1/billing/invoices", "/v1/billing/reconciliation?")) for target in hub.requests)
    assert [one.name for one in collection.documents if one.role is Role.NETWO_INVOICE] == [invoice_id]


@pytest.mark.parametrize(
    "body", [b"[]", b'{"invoices": {}}', b'{"invoices": []}', b'{"invoices": [], "pagination": {"total": "2"}}']
)
def test_an_answer_that_is_no_listing_is_an_error_that_names_the_field(hub, body):
    hub.answer = lambda handler: reply(handler, 200, body)
    with pytest.raises(SourceError, match=r"'invoices'|'pagination.total'"):
        collected(hub.url)


def test_a_wrong_key_is_refused_and_the_variable_named():
    with (
        SandboxServer(create_app(generate_reseller(scale=5), api_key="another")) as server,
        pytest.raises(SourceRefused, match="key in NETWO_API_KEY is refused"),
    ):
        collected(server.base_url)


def test_the_hubs_own_code_for_the_operator_is_the_one_asked_for(hub):
    serve(hub, [entry("INV-1", operator={"code": "SFR_FIBRE"})])
    collection = collected(hub.url, operator_code="SFR_FIBRE")
    assert collection.gaps == ()
    assert "operatorCode=SFR_FIBRE" in hub.requests[0]
