"""Every fault as a plain client sees it: on real sockets, at the requests it was asked for, and at no others."""

import email.utils
import json
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette

from billing_pipeline.errors import UsageError
from billing_pipeline.sandbox.access import DEMO_SECRETS, INVOICING_KEY
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.fault_effects import DRIP_S
from billing_pipeline.sandbox.fault_injection import EFFECTS, PAGING
from billing_pipeline.sandbox.fault_rewrites import HOSTILE_IDS
from billing_pipeline.sandbox.faults import FAULTS, FaultRule, parse_fault
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline_tests.sandbox.orange_client import BASE, orange_client

KEY = "test-key"
HUB = "/v1/billing/invoices"
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def reseller() -> Reseller:
    return generate_reseller(scale=600, operators=["ORANGE", "SFR"])


@contextmanager
def _hub(reseller: Reseller, *faults: str, seed: int = 0) -> Iterator[tuple[httpx.Client, Starlette]]:
    app = create_app(reseller, api_key=KEY, faults=faults, fault_seed=seed)
    with (
        SandboxServer(app) as server,
        httpx.Client(base_url=server.base_url, headers=HEADERS, trust_env=False, timeout=5) as client,
    ):
        yield client, app


@pytest.fixture(scope="module")
def right(reseller: Reseller) -> dict[str, Any]:
    """The first page of the hub's list and one detail, as they are without a fault."""
    with _hub(reseller) as (client, _):
        listed = client.get(HUB)
        detail = client.get(f"{HUB}/{listed.json()['invoices'][0]['invoiceId']}")
        return {"list": listed.json(), "detail": detail.json(), "bytes": listed.content}


def _raw(client: httpx.Client, path: str = HUB, *, seconds: float = 5.0) -> bytes:
    """Every byte the server sends until it ends the connection or `seconds` are over."""
    url = client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=seconds) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n".encode()
        )
        received, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                chunk = connection.recv(65536)
            except TimeoutError:
                return received
            if not chunk:
                return received
            received += chunk
        return received


def _split(received: bytes) -> tuple[str, bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    return head.decode().lower(), body


def test_every_fault_of_the_catalogue_is_done_and_described() -> None:
    assert EFFECTS.keys() | set(PAGING) == FAULTS.keys()
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.description
        assert "\n" not in fault.description


def test_a_client_may_wait_by_seconds_or_by_date(reseller: Reseller) -> None:
    with _hub(reseller, "rate_limit_seconds", "rate_limit_date:first=2") as (client, app):
        answers = [client.get(HUB) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [429, 429, 200]
        assert answers[0].headers["Retry-After"] == "1"
        at = email.utils.parsedate_to_datetime(answers[1].headers["Retry-After"])
        said_at = email.utils.parsedate_to_datetime(answers[1].headers["Date"])
        assert 0 < (at - said_at).total_seconds() <= 4
        assert app.state.faults == [
            ("rate_limit_date", HUB), ("rate_limit_seconds", HUB), ("rate_limit_date", HUB),
        ]  # fmt: skip


def test_a_burst_of_server_errors_ends(reseller: Reseller) -> None:
    with _hub(reseller, "server_error_burst") as (client, _):
        assert [client.get(HUB).status_code for _ in range(5)] == [503, 500, 502, 200, 200]


def test_a_reset_is_a_reset_and_not_an_orderly_end(reseller: Reseller) -> None:
    with _hub(reseller, "reset") as (client, _):
        with pytest.raises(ConnectionResetError):
            _raw(client)
        assert client.get(HUB).status_code == 200


def test_an_answer_may_be_lost_though_the_request_was_carried_out(reseller: Reseller) -> None:
    with _hub(reseller, "answer_lost@/v2/billing/invoice/*") as (client, app):
        headers = {"Authorization": f"Bearer {DEMO_SECRETS[INVOICING_KEY]}"}
        with pytest.raises(httpx.TransportError):
            client.post("/v2/billing/invoice/C1", headers=headers)
        assert len(app.state.invoicing.by_id) == 1
        assert client.post("/v2/billing/invoice/C1", headers=headers).status_code == 201


@pytest.mark.parametrize(("fault", "status"), [("answer_withheld", None), ("error_after_effect", 502)])
def test_a_request_may_be_carried_out_though_its_answer_does_not_say_so(
    reseller: Reseller, fault: str, status: int | None
) -> None:
    with _hub(reseller, f"{fault}@/v2/billing/invoice/*") as (client, app):
        headers = {"Authorization": f"Bearer {DEMO_SECRETS[INVOICING_KEY]}"}
        try:
            found = client.post("/v2/billing/invoice/CUST-001", headers=headers, timeout=0.5).status_code
        except httpx.ReadTimeout:
            found = None
        assert found == status
        assert len(app.state.invoicing.by_id) == 1


def test_a_cut_body_with_a_length_is_noticed_by_who_counts(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "truncated_body") as (client, _):
        head, body = _split(_raw(client))
        assert head.startswith("http/1.1 200")
        assert f"content-length: {len(right['bytes'])}" in head
        assert body == right["bytes"][: len(right["bytes"]) // 2]
        client.get(HUB)
    with _hub(reseller, "truncated_body") as (client, _), pytest.raises(httpx.RemoteProtocolError):
        client.get(HUB)


def test_a_cut_body_without_a_length_looks_complete(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "truncated_without_length:first=2") as (client, _):
        head, body = _split(_raw(client))
        assert "content-length" not in head
        assert "transfer-encoding" not in head
        assert body == right["bytes"][: len(right["bytes"]) // 2]
        assert client.get(HUB).content == body


def test_a_cut_gzip_stream_looks_complete_to_http(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "gzip_cut") as (client, _):
        head, body = _split(_raw(client))
    assert "content-encoding: gzip" in head
    assert f"content-length: {len(body)}" in head
    unpacking = zlib.decompressobj(wbits=31)
    assert right["bytes"].startswith(unpacking.decompress(body))
    assert not unpacking.eof


def test_a_drip_outlives_a_read_timeout(reseller: Reseller) -> None:
    with _hub(reseller, "drip") as (client, _):
        head, body = _split(_raw(client, seconds=8 * DRIP_S))
        assert head.startswith("http/1.1 200")
        assert 2 <= len(body) <= 9
        start = time.monotonic()
        assert client.get(HUB).status_code == 200
        assert time.monotonic() - start < 2


def test_silence_is_no_answer_at_all(reseller: Reseller) -> None:
    with _hub(reseller, "silence") as (client, _):
        assert _raw(client, seconds=0.6) == b""
        assert client.get(HUB).status_code == 200


def test_broken_json_has_the_announced_length(reseller: Reseller) -> None:
    with _hub(reseller, "malformed_json") as (client, _):
        answer = client.get(HUB)
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(answer.content)
        with pytest.raises(json.JSONDecodeError):
            answer.json()


def test_a_maintenance_page_says_200(reseller: Reseller) -> None:
    with _hub(reseller, "html_with_200") as (client, _):
        answer = client.get(HUB)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_the_right_body_can_have_the_wrong_type(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "wrong_content_type") as (client, _):
        answer = client.get(HUB)
        assert answer.headers.get_list("content-type") == ["application/octet-stream"]
        assert answer.content == right["bytes"]


def test_who_follows_a_redirect_to_another_host_is_in_the_log(reseller: Reseller) -> None:
    with _hub(reseller, "redirect") as (client, app):
        answer = client.get(HUB, params={"page": 1})
        assert answer.status_code == 302
        target = httpx.URL(answer.headers["location"])
        assert (target.host, target.port, target.path) == ("localhost", client.base_url.port, HUB)
        assert len(app.state.requests) == 1


@pytest.mark.parametrize(("fault", "code"), [("token_expires", 42), ("token_revoked", 41)])
def test_a_token_can_end_in_the_middle_of_a_run(reseller: Reseller, fault: str, code: int) -> None:
    app = create_app(reseller, api_key=KEY, faults=[f"{fault}@{BASE}/bills:every=2"])
    with orange_client(app) as client:
        assert client.get(f"{BASE}/bills").status_code == 200
        answer = client.get(f"{BASE}/bills")
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert client.get(f"{BASE}/status").status_code == 401


def test_a_report_too_large_is_refused_but_still_described(reseller: Reseller) -> None:
    app = create_app(reseller, api_key=KEY, faults=["oversized_report"])
    with orange_client(app) as client:
        path = f"{BASE}/reports/R189-Charges+9300856-202403.csv"
        answer = client.get(path, headers={"Accept": "text/csv"})
        assert (answer.status_code, answer.json()["code"]) == (413, 65)
        assert client.get(path).status_code == 200
        assert client.get(f"{BASE}/reports/none.csv", headers={"Accept": "text/csv"}).status_code == 404


def _hub_pages(client: httpx.Client, per_page: int = 4) -> tuple[list[str], set[int]]:
    ids: list[str] = []
    totals, page = set(), 1
    while True:
        content = client.get(HUB, params={"page": page, "perPage": per_page}).json()
        totals.add(content["pagination"]["total"])
        if not content["invoices"]:
            return ids, totals
        ids += [invoice["invoiceId"] for invoice in content["invoices"]]
        page += 1


def _orange_pages(client: httpx.Client) -> tuple[list[str], set[int]]:
    ids: list[str] = []
    totals, offset = set(), 0
    while True:
        answer = client.get(f"{BASE}/bills", params={"sort": "id", "offset": offset, "limit": 4})
        totals.add(int(answer.headers["X-Total-Count"]))
        assert int(answer.headers["X-Result-Count"]) == len(answer.json())
        if not answer.json():
            return ids, totals
        ids += [bill["id"] for bill in answer.json()]
        offset += 4


def test_an_item_that_comes_while_paging_shows_one_twice_and_stays(reseller: Reseller) -> None:
    with _hub(reseller) as (client, _):
        all_ids, (total,) = _hub_pages(client)
    with _hub(reseller, "item_inserted_while_paging") as (client, app):
        first, totals = _hub_pages(client)
        assert totals == {total - 1, total}
        assert len(first) == len(set(first)) + 1
        assert set(all_ids) - set(first) == {all_ids[0]}
        assert _hub_pages(client) == (all_ids, {total})
        assert app.state.faults == [("item_inserted_while_paging", HUB)]


def test_an_item_that_goes_while_paging_hides_another_and_stays_away(reseller: Reseller) -> None:
    with _hub(reseller) as (client, _):
        all_ids, (total,) = _hub_pages(client)
    with _hub(reseller, "item_deleted_while_paging") as (client, _):
        first, totals = _hub_pages(client)
        assert totals == {total, total - 1}
        assert set(all_ids) - set(first) == {all_ids[4]}
        assert _hub_pages(client) == (all_ids[1:], {total - 1})


@pytest.mark.parametrize("fault", PAGING)
def test_a_list_that_shifts_at_every_reading_never_settles(reseller: Reseller, fault: str) -> None:
    with orange_client(create_app(reseller, api_key=KEY, faults=[f"{fault}:always"])) as client:
        for _ in range(3):
            ids, totals = _orange_pages(client)
            assert len(totals) == 2
            assert len(set(ids)) < max(totals)


def test_a_list_of_one_page_does_not_shift(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "item_inserted_while_paging:always") as (client, app):
        assert client.get(HUB, params={"perPage": 200}).json()["invoices"] == right["list"]["invoices"]
        assert app.state.faults == []


def test_a_total_promises_one_more_than_there_are(reseller: Reseller, right: dict[str, Any]) -> None:
    faults = ["total_promises_more"]
    with _hub(reseller, *faults) as (client, _):
        assert client.get(HUB).json()["pagination"]["total"] == right["list"]["pagination"]["total"] + 1
    with orange_client(create_app(reseller, api_key=KEY, faults=faults)) as client:
        answer = client.get(f"{BASE}/bills", params={"limit": 1000})
        assert int(answer.headers["X-Total-Count"]) == len(answer.json()) + 1


def test_a_page_repeats_an_id(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "repeated_ids") as (client, _):
        ids = [invoice["invoiceId"] for invoice in client.get(HUB).json()["invoices"]]
    expected = [invoice["invoiceId"] for invoice in right["list"]["invoices"]]
    assert ids == [*expected[:-1], expected[0]]


def test_an_invoice_declares_a_line_too_many(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "line_count_disagrees") as (client, _):
        counts = [invoice["lineCount"] for invoice in client.get(HUB).json()["invoices"]]
    expected = [invoice["lineCount"] for invoice in right["list"]["invoices"]]
    assert counts == [expected[0] + 1, *expected[1:]]


def test_numbers_come_as_texts_with_the_same_digits(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "numbers_as_strings") as (client, _):
        content = client.get(HUB).json()
        detail = client.get(f"{HUB}/{content['invoices'][0]['invoiceId']}").json()
    assert content["pagination"] == right["list"]["pagination"]
    for shown, invoice in zip(content["invoices"], right["list"]["invoices"], strict=True):
        assert isinstance(shown["totalHT"], str)
        assert (float(shown["totalHT"]), int(shown["lineCount"])) == (invoice["totalHT"], invoice["lineCount"])
    assert all(isinstance(line["unitPriceHT"], str) for line in detail["lines"])


def test_a_value_of_each_item_is_null_and_the_same_one_for_the_same_seed(
    reseller: Reseller, right: dict[str, Any]
) -> None:
    shown = []
    for seed in (1, 1, 2):
        with _hub(reseller, "nulls", seed=seed) as (client, _):
            shown.append(client.get(HUB).json()["invoices"])
    for invoice, expected in zip(shown[0], right["list"]["invoices"], strict=True):
        changed = {name: value for name, value in invoice.items() if value != expected[name]}
        assert list(changed.values()) == [None]
        assert "invoiceId" not in changed
    assert shown[0] == shown[1] != shown[2]


def test_members_nobody_knows_are_everywhere(reseller: Reseller) -> None:
    with _hub(reseller, "unknown_fields") as (client, _):
        content = client.get(HUB).json()
        assert all("x-unannounced" in one for one in (content, *content["invoices"]))
        detail = client.get(f"{HUB}/{content['invoices'][0]['invoiceId']}").json()
        assert all("x-unannounced" in line for line in detail["lines"])


def test_the_first_item_lacks_a_member_it_must_have(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "missing_required_field") as (client, _):
        items = client.get(HUB).json()["invoices"]
        lines = client.get(f"{HUB}/{right['detail']['invoiceId']}").json()["lines"]
    assert len(right["list"]["invoices"][0].keys() - items[0].keys()) == 1
    assert items[1:] == right["list"]["invoices"][1:]
    assert len(right["detail"]["lines"][0].keys() - lines[0].keys()) == 1


def test_an_item_with_a_hostile_id_has_a_detail_under_it(reseller: Reseller, right: dict[str, Any]) -> None:
    with _hub(reseller, "hostile_ids") as (client, _):
        items = client.get(HUB).json()["invoices"]
        assert [item["invoiceId"] for item in items[: len(HOSTILE_IDS)]] == list(HOSTILE_IDS)
        assert [item["invoiceId"] for item in client.get(HUB).json()["invoices"]] == [i["invoiceId"] for i in items]
        for item, expected in zip(items[: len(HOSTILE_IDS)], right["list"]["invoices"], strict=False):
            detail = client.get(f"{HUB}/{quote(item['invoiceId'], safe='')}")
            assert detail.status_code == 200, item["invoiceId"]
            assert detail.json()["invoiceId"] == item["invoiceId"]
            assert detail.json()["totalHT"] == expected["totalHT"]


def test_a_report_with_a_hostile_id_can_be_downloaded_under_it(reseller: Reseller) -> None:
    with orange_client(create_app(reseller, api_key=KEY, faults=[f"hostile_ids@{BASE}/reports"])) as client:
        hostile = client.get(f"{BASE}/reports").json()[0]["id"]
        assert hostile == HOSTILE_IDS[0]
        answer = client.get(f"{BASE}/reports/{quote(hostile, safe='')}", headers={"Accept": "text/csv"})
        assert answer.content.startswith(b"Customer Number;")
        assert client.get(f"{BASE}/bills").json()[0]["id"] == "1013390"


def test_a_customer_invoice_may_state_its_enums_as_numbers(reseller: Reseller) -> None:
    with _hub(reseller, "enums_as_numbers") as (client, _):
        headers = {"Authorization": f"Bearer {DEMO_SECRETS[INVOICING_KEY]}"}
        made = client.post("/v2/billing/invoice/C1", headers=headers)
        assert (made.status_code, made.json()["type"], made.json()["state"]) == (201, 1, 0)
        assert client.get("/v2/billing/nobody", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("written", "statuses"),
    [
        ("server_error_burst:every=3", [200, 200, 503, 200, 200]), ("server_error_burst:first=2", [503, 500, 200, 200, 200]),
        ("server_error_burst:always", [503, 500, 502, 503, 500]), ("server_error_burst@/v2/*", [200] * 5),
        ("server_error_burst@/v1/*/invoices:first=1", [503, 200, 200, 200, 200]),
    ],
)  # fmt: skip
def test_a_fault_happens_when_and_where_it_was_asked_for(reseller: Reseller, written: str, statuses: list[int]) -> None:
    with _hub(reseller, written) as (client, app):
        seen = [client.get(HUB).status_code for _ in range(5)]
        assert [status == 200 for status in seen] == [status == 200 for status in statuses]
        assert len(app.state.faults) == sum(status != 200 for status in seen)
        assert len(app.state.requests) == 5


def test_faults_of_values_can_be_asked_for_together_and_in_any_order(reseller: Reseller) -> None:
    names = [name for name, fault in FAULTS.items() if fault.target in ("json", "list", "hub_list", "invoicing")]
    names.remove("malformed_json")
    for order in (names, names[::-1]):
        with _hub(reseller, *(f"{name}:always" for name in order)) as (client, app):
            for page in (1, 2, 3):
                answer = client.get(HUB, params={"page": page, "perPage": 4})
                assert answer.status_code == 200, answer.text
                assert answer.json()["x-unannounced"]
            assert {name for name, _ in app.state.faults} == set(names) - {"enums_as_numbers"}


def test_an_error_stays_an_error_under_a_fault_of_values(reseller: Reseller) -> None:
    names = [name for name, fault in FAULTS.items() if fault.target in ("json", "list", "hub_list", "invoicing")]
    with _hub(reseller, *(f"{name}:always" for name in names if name != "malformed_json")) as (client, _):
        answer = client.get(HUB, headers={"Authorization": "Bearer nobody"})
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("reset", FaultRule(FAULTS["reset"], "*", 1)), ("reset:always", FaultRule(FAULTS["reset"])),
        ("drip@/v1/*:every=7", FaultRule(FAULTS["drip"], "/v1/*", 0, 7)), ("nulls", FaultRule(FAULTS["nulls"])),
        (" nulls:first=3 ", FaultRule(FAULTS["nulls"], "*", 3)),
    ],
)  # fmt: skip
def test_a_fault_is_read_as_it_is_written(written: str, rule: FaultRule) -> None:
    assert parse_fault(written) == rule


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("rest", "reset"), ("", "NAME"), ("reset:first=0", "from 1"), ("reset:sometimes", "every=K"), ("Reset", "NAME"),
        ("reset@", "NAME"), ("nonsense_altogether_zz", "--help"),
    ],
)  # fmt: skip
def test_a_fault_nobody_knows_is_named_with_the_nearest(written: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        parse_fault(written)
