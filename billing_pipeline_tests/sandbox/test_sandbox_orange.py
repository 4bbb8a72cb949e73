"""The Orange API over real HTTP: the published curl examples, credentials, tokens, collections, downloads, counters."""

import base64
import csv
import io
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

import httpx
import pytest
from starlette.applications import Starlette

from billing_pipeline.periods import PARIS, Period
from billing_pipeline.sandbox.access import DEMO_SECRETS, ORANGE_KEY
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.r189_writer import HEADERS
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline_tests.sandbox.orange_client import (
    BASE,
    CREDENTIALS,
    FORM,
    everything,
    exact,
    new_token,
    orange_client,
)


@pytest.fixture(scope="module")
def reseller() -> Reseller:
    return generate_reseller(scale=620, operators=["ORANGE", "SFR"])


@pytest.fixture(scope="module")
def app(reseller: Reseller) -> Starlette:
    return create_app(reseller, api_key="k", tokens_per_minute=1000)


@pytest.fixture(scope="module")
def client(app: Starlette) -> Iterator[httpx.Client]:
    with orange_client(app) as client:
        yield client


def _curl(client: httpx.Client, target: str, *more: str, method: str = "GET") -> tuple[str, str]:
    """Headers and body of the guide's own command line, with this client's credentials."""
    command = [
        "curl", "-sS", "--noproxy", "*", "-g", "-i", "-X", method, "-H", f"Authorization: {client.headers['Authorization']}",
        "-H", f"X-Api-Key: {client.headers['X-Api-Key']}", *more, f"{str(client.base_url).rstrip('/')}{BASE}/{target}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="cp1252", errors="replace")
    head, _, body = done.stdout.partition("\n\n")
    assert head.startswith("HTTP/1.1 200"), done.stdout[:500]
    return head.lower(), body


def _has_curl() -> bool:
    try:
        return subprocess.run(["curl", "--version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not _has_curl(), reason="curl is not installed")
@pytest.mark.parametrize(
    "target",
    [
        "bills", "billingAccounts", "bills?offset=10&limit=20&sort=-updatedAt", "bills?type=invoice",
        "bills?customer.name=ACME%20Corp", "bills?customer.name=ACME%20Corp&type=creditNote", "bills/1013390",
        "snapshots?groupBy=type", "snapshots?groupBy=priority&offset=0&limit=30&customer.id=17896",
        "snapshots?groupBy=sendingFormat&sort=-value", "reports", "status",
    ],
)  # fmt: skip
def test_every_get_of_the_guide_works_as_it_is_printed(client: httpx.Client, target: str) -> None:
    head, body = _curl(client, target)
    assert "content-type: application/json; charset=utf-8" in head
    assert body.strip() not in ("", "[]", "{}")


@pytest.mark.skipif(not _has_curl(), reason="curl is not installed")
@pytest.mark.parametrize(
    "query",
    [
        '{"$or": [ {"currency.id": "GBP"}, {"currency.id": "USD"} ]}',
        '{"$and": [ { "type": "invoice" }, { "sendingFormat": "paper" } ] }',
        '{ "type": { "$eq": "invoice" } }',
        '{ "type": { "$nin": ["creditNote"] } }',
    ],
)
def test_every_search_of_the_guide_works_though_curl_calls_it_a_form(client: httpx.Client, query: str) -> None:
    head, body = _curl(client, "search", "-d", query, method="POST")
    assert "x-total-count" in head
    assert body.startswith('[{"id"')


@pytest.mark.skipif(not _has_curl(), reason="curl is not installed")
def test_the_download_of_the_guide_is_a_charge_report(client: httpx.Client) -> None:
    head, body = _curl(client, "reports/R189-Charges+9300856-202403.csv", "-H", "Accept: text/csv")
    assert "content-type: text/csv\n" in head + "\n"
    assert body.splitlines()[0] == ";".join(HEADERS)


@pytest.mark.parametrize("expires_in_text", [True, False, None])
def test_a_token_states_its_life_as_text_or_number(reseller: Reseller, expires_in_text: bool | None) -> None:
    with orange_client(create_app(reseller, api_key="k", expires_in_text=expires_in_text)) as client:
        lives = [client.post("/oauth/v3/token", data=FORM, auth=CREDENTIALS).json()["expires_in"] for _ in range(2)]
    expected = {True: ["3600", "3600"], False: [3600, 3600], None: [3600, "3600"]}
    assert lives == expected[expires_in_text]


def test_the_fifty_first_token_in_a_minute_is_refused(reseller: Reseller) -> None:
    with orange_client(create_app(reseller, api_key="k")) as client:
        statuses = [client.post("/oauth/v3/token", data=FORM, auth=CREDENTIALS).status_code for _ in range(49)]
        refused = client.post("/oauth/v3/token", data=FORM, auth=CREDENTIALS)
    assert set(statuses) == {200}
    assert (refused.status_code, refused.json()["code"]) == (429, 53)
    assert 0 < int(refused.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    ("auth", "form", "status", "code"),
    [
        (("nobody", CREDENTIALS[1]), FORM, 401, 41), ((CREDENTIALS[0], "wrong"), FORM, 401, 41), (None, FORM, 401, 40),
        (CREDENTIALS, {"grant_type": "password"}, 400, 21), (CREDENTIALS, {}, 400, 21),
    ],
)  # fmt: skip
def test_no_token_for_a_stranger(
    client: httpx.Client, auth: tuple[str, str] | None, form: dict[str, str], status: int, code: int
) -> None:
    request = client.build_request("POST", "/oauth/v3/token", data=form)
    del request.headers["Authorization"]
    answer = client.send(request, auth=auth)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message", "description"}
    assert "access_token" not in answer.text


@pytest.mark.parametrize("header", ["Basic", "Basic !!", "Basic " + base64.b64encode(b"no-colon").decode(), "Bearer x"])
def test_a_mangled_basic_header_is_refused_and_not_a_crash(client: httpx.Client, header: str) -> None:
    answer = client.post("/oauth/v3/token", data=FORM, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, 40)


def test_a_token_ends_with_its_life_and_the_error_says_expired(reseller: Reseller) -> None:
    with orange_client(create_app(reseller, api_key="k", token_lifetime_s=1.5)) as client:
        assert client.get(f"{BASE}/status").status_code == 200
        time.sleep(1.6)
        answer = client.get(f"{BASE}/status")
        assert (answer.status_code, answer.json()["code"]) == (401, 42)
        client.headers["Authorization"] = f"Bearer {new_token(client)}"
        assert client.get(f"{BASE}/status").status_code == 200


PATHS = ["bills", "bills/1013390", "billingAccounts", "reports", "snapshots?groupBy=type", "status"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("X-Api-Key", None, 24), ("X-Api-Key", "wrong", 41), ("Authorization", None, 40),
        ("Authorization", "Bearer nobody", 41), ("Authorization", "Bearer", 40), ("Authorization", "{bare}", 40),
    ],
)  # fmt: skip
def test_nobody_reads_without_both_keys(
    client: httpx.Client, path: str, name: str, value: str | None, code: int
) -> None:
    request = client.build_request("GET", f"{BASE}/{path}")
    token = request.headers["Authorization"].removeprefix("Bearer ")
    del request.headers[name]
    if value is not None:
        request.headers[name] = value.format(bare=token)
    answer = client.send(request)
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_the_first_page_has_ten_of_all_and_says_so(client: httpx.Client) -> None:
    answer = client.get(f"{BASE}/bills")
    total = len(everything(client))
    assert total > 20
    assert len(answer.json()) == 10
    assert answer.headers["X-Result-Count"] == "10"
    assert answer.headers["X-Total-Count"] == str(total)


def test_every_invoice_is_one_bill(client: httpx.Client, reseller: Reseller) -> None:
    bills = everything(client)
    invoices = [one for (code, _), found in reseller.invoices.items() if code == "ORANGE" for one in found]
    assert sorted(bill.get("number", bill["id"]) for bill in bills) == sorted(one.invoice_id for one in invoices)
    by_number = {bill.get("number", bill["id"]): bill for bill in bills}
    for invoice in invoices:
        bill = by_number[invoice.invoice_id]
        assert bill["currency"] == {"id": invoice.currency}
        assert bill.get("amountExcludingTax", invoice.total_ht) == invoice.total_ht
        assert bill.get("amountIncludingTax", invoice.total_ttc) == invoice.total_ttc
        assert bill.get("period", str(invoice.period)) == str(invoice.period)


def test_optional_attributes_are_absent_on_some_bills_and_reports(client: httpx.Client) -> None:
    bills, reports = everything(client), everything(client, "reports")
    for name in ("number", "period", "amountExcludingTax"):
        assert 0 < sum(name in bill for bill in bills) < len(bills), name
    for name in ("period", "billIds", "bytes", "updatedAt"):
        assert 0 < sum(name in report for report in reports) < len(reports), name


def test_a_bill_without_period_was_made_in_the_month_after_in_paris(client: httpx.Client, reseller: Reseller) -> None:
    period_of = {one.invoice_id: one.period for found in reseller.invoices.values() for one in found}
    in_utc_a_month_early = 0
    for bill in everything(client):
        moment = datetime.fromisoformat(bill["createdAt"])
        period = period_of[bill.get("number", bill["id"])]
        assert Period.of(moment.astimezone(PARIS).date()).shift(-1) == period
        in_utc_a_month_early += Period.of(moment.date()) == period
    assert in_utc_a_month_early > 0


def test_a_detail_is_what_the_list_shows(client: httpx.Client) -> None:
    for collection in ("bills", "billingAccounts", "reports"):
        for listed in everything(client, collection):
            assert exact(client.get(f"{BASE}/{collection}/{listed['id']}")) == listed


@pytest.mark.parametrize("path", ["bills/1", "reports/R189-Charges+1.csv", "billingAccounts/..%2Fbills", "nothing", ""])
def test_what_is_not_there_is_a_404_in_the_apis_words(client: httpx.Client, path: str) -> None:
    answer = client.get(f"{BASE}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, 60)


def test_a_method_that_is_not_there_is_refused_in_the_apis_words(client: httpx.Client) -> None:
    answer = client.delete(f"{BASE}/bills")
    assert (answer.status_code, answer.json()["code"]) == (405, 61)


def test_reports_hold_every_line_once_and_as_many_bytes_as_they_declare(
    client: httpx.Client, reseller: Reseller
) -> None:
    rows: Counter[tuple[str, str]] = Counter()
    declared = 0
    for report in everything(client, "reports"):
        answer = client.get(f"{BASE}/reports/{report['id']}", headers={"Accept": "text/csv"})
        assert answer.headers["content-type"] == "text/csv"
        assert report.get("bytes", len(answer.content)) == len(answer.content)
        if report.get("type") != "R189-Charges":
            continue
        table = list(csv.DictReader(io.StringIO(answer.content.decode("cp1252"), newline=""), delimiter=";"))
        month = re.search(r"-(\d{6})[.-]", report["id"])
        assert month is not None
        assert report.get("period", f"{month[1][:4]}-{month[1][4:]}").replace("-", "") == month[1]
        rows.update((month[1], row["Invoice number"]) for row in table)
        if "billIds" in report:
            numbers = {exact(client.get(f"{BASE}/bills/{one}")).get("number", one) for one in report["billIds"]}
            assert numbers == {row["Invoice number"] for row in table}
            declared += 1
    assert declared > 0
    expected = {
        (f"{one.period.year}{one.period.month:02d}", one.invoice_id): one.line_count
        for (code, _), found in reseller.invoices.items() if code == "ORANGE" for one in found
    }  # fmt: skip
    assert rows == expected


def test_a_kind_of_report_nobody_knows_is_among_them(client: httpx.Client) -> None:
    assert {report.get("type") for report in everything(client, "reports")} > {"R189-Charges"}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/pdf", "application/pdf"), ("application/pdf;q=0.2, application/json;q=0.1", "application/pdf"),
        ("application/json, application/pdf;q=0.5", "application/json"), ("*/*", "application/json"),
        ("application/*", "application/json"),
    ],
)  # fmt: skip
def test_the_accept_header_chooses_the_representation(client: httpx.Client, accept: str, media_type: str) -> None:
    answer = client.get(f"{BASE}/bills/1013390", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize(("path", "accept"), [("bills/1013390", "text/csv"), ("bills/1013390", "application/pdf;q=0")])
def test_a_representation_not_offered_is_a_406(client: httpx.Client, path: str, accept: str) -> None:
    answer = client.get(f"{BASE}/{path}", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, 66)


def test_a_bill_in_pdf_can_be_opened(client: httpx.Client) -> None:
    content = client.get(f"{BASE}/bills/1013390", headers={"Accept": "application/pdf"}).content
    assert_valid_pdf(content)
    assert b"FA-ORA-2024-01-0001" in content


def assert_valid_pdf(content: bytes) -> None:
    """Header, trailer, and every entry of the cross-reference table pointing at its object (ISO 32000-1, 7.5)."""
    assert content.startswith(b"%PDF-1.4\n")
    assert content.endswith(b"%%EOF\n")
    start = int(content.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    entries = content[start:].split(b"trailer")[0].split(b"\n")[3:-1]
    assert len(entries) == 5
    for number, entry in enumerate(entries, start=1):
        assert len(entry) == 19
        assert content[int(entry[:10]) :].startswith(b"%d 0 obj\n" % number)
    stream = re.search(rb"/Length (\d+) >>\nstream\n", content)
    assert stream is not None
    assert content[stream.end() + int(stream[1]) :].startswith(b"\nendstream")


def test_a_report_over_the_limit_is_refused_and_the_others_are_not(reseller: Reseller) -> None:
    with orange_client(create_app(reseller, api_key="k", max_download_bytes=100_000)) as client:
        statuses = {
            report["id"]: client.get(f"{BASE}/reports/{report['id']}", headers={"Accept": "text/csv"})
            for report in everything(client, "reports")
        }
        refused = {answer.status_code: answer for answer in statuses.values()}[413]
        assert refused.json()["code"] == 65
        assert {answer.status_code for answer in statuses.values()} == {200, 413}
        assert client.get(f"{BASE}/reports/{next(iter(statuses))}").status_code == 200


def test_counters_count_what_the_list_holds(client: httpx.Client) -> None:
    bills = everything(client)
    for field in ("type", "sendingFormat", "period", "currency.id"):
        outer, _, inner = field.partition(".")
        values = [bill[outer][inner] if inner else bill.get(outer) for bill in bills]
        expected = Counter(value for value in values if value is not None)
        answer = client.get(f"{BASE}/snapshots", params={"groupBy": field})
        assert answer.json() == expected
        assert answer.headers["X-Total-Count"] == str(len(expected))


@pytest.mark.parametrize("sort", ["key", "-key", "value", "-value"])
def test_counters_come_in_the_order_asked_for(client: httpx.Client, sort: str) -> None:
    groups = list(exact(client.get(f"{BASE}/snapshots", params={"groupBy": "currency.id", "sort": sort})).items())
    place = 1 if sort.endswith("value") else 0
    assert len(groups) > 2
    for one, next_one in pairwise(groups):
        assert one[place] >= next_one[place] if sort.startswith("-") else one[place] <= next_one[place]


def test_counters_are_paged_and_filtered(client: httpx.Client) -> None:
    whole = list(exact(client.get(f"{BASE}/snapshots", params={"groupBy": "period", "type": "invoice"})).items())
    paged = client.get(f"{BASE}/snapshots", params={"groupBy": "period", "type": "invoice", "offset": 1, "limit": 1})
    assert list(exact(paged).items()) == whole[1:2]
    assert paged.headers["X-Total-Count"] == str(len(whole))
    credits = [bill for bill in everything(client) if bill["type"] != "invoice"]
    everyone = exact(client.get(f"{BASE}/snapshots", params={"groupBy": "type"}))
    assert everyone["creditNote"] == len(credits) > 0


@pytest.mark.parametrize("query", ["", "groupBy=", "groupBy=colour", "groupBy=type&sort=size", "groupBy=type&limit=0"])
def test_a_bad_counter_is_refused(client: httpx.Client, query: str) -> None:
    answer = client.get(f"{BASE}/snapshots?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, 28)


def test_a_reseller_without_orange_has_an_empty_account() -> None:
    with orange_client(create_app(generate_reseller(scale=5, operators=["SFR"]), api_key="k")) as client:
        assert everything(client) == everything(client, "reports") == []


def test_no_key_and_no_token_is_in_the_log_of_requests(app: Starlette, client: httpx.Client) -> None:
    client.get(f"{BASE}/status")
    log = repr(app.state.requests)
    for secret in (*CREDENTIALS, DEMO_SECRETS[ORANGE_KEY], client.headers["Authorization"].removeprefix("Bearer ")):
        assert secret not in log
