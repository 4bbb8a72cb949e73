"""A run of all three sources: no secret of it is left anywhere, and what it keeps is enough to make it all again."""

import gzip
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline.sandbox.workspace import write_workspace
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.canaries import Text, in_database, in_folder, leaks
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.program import Ended
from billing_pipeline_tests.sources.shelf import CANARIES

PASSWORD = "canary-password-8a2c"
PLANTED = "canary/planted+5e0d"
# February's Axione file is compressed, and Orange's list holds the other months' bills too.
MONTH, LATER = "2024-02", "2024-03"


@dataclass(frozen=True)
class Ran:
    """The place, what its runs printed, and every secret they had: keys, the database's password, the tokens issued."""

    place: Place
    ended: list[Ended]
    secrets: list[str]


@pytest.fixture(scope="module")
def ran(new_place: Callable[[], Place]) -> Ran:
    """One month through, a token revoked on the way; then a later one that no source lets us have. The sandbox is gone."""
    place = new_place()
    place.secrets.update(CANARIES)
    through = _run(place, MONTH, "token_revoked", "nulls@/v1/billing/reconciliation:always")
    refused = _run(place, LATER, "redirect:always", options=("--operator", "ORANGE", "--operator", "SFR"))
    assert (through[0].code, refused[0].code) == (0, 1), through[0].err + refused[0].err
    return Ran(place, [through[0], refused[0]], [*CANARIES.values(), PASSWORD, *through[1], *refused[1]])


def _run(place: Place, month: str, *faults: str, options: tuple[str, ...] = ()) -> tuple[Ended, list[str]]:
    """The command, as it ended, and the tokens it was given."""
    reseller = generate_reseller(scale=40)
    urls = {
        name: place.environment[name].replace("postgresql://postgres@", f"postgresql://postgres:{PASSWORD}@")
        for name in ("BILLING_POSTGRES_URL", "BILLING_DAGSTER_POSTGRES_URL")
    }
    assert all(PASSWORD in url for url in urls.values())
    app = create_app(reseller, api_key=CANARIES["NETWO_API_KEY"], secrets=CANARIES, faults=faults)
    with SandboxServer(app) as sandbox:
        write_workspace(place.folder, reseller, sandbox.base_url)
        ended = place.command("run", "--debug", "--period", month, *options, extra=urls)
    return ended, app.state.orange_tokens.issued


@pytest.fixture(scope="module")
def left(ran: Ran) -> list[Text]:
    """All that the runs left anywhere."""
    printed = [(name, text.encode()) for one in ran.ended for name, text in (("stdout", one.out), ("stderr", one.err))]
    place = ran.place
    return [*printed, *in_folder(place.folder), *in_database(place.url), *in_database(place.dagster_url)]


def test_no_secret_is_left_anywhere(ran: Ran, left: list[Text]) -> None:
    assert len(ran.secrets) >= len(CANARIES) + 1 + 2, "a token and the one after it"
    assert leaks(ran.secrets, left) == []


def test_every_place_was_looked_at(left: list[Text]) -> None:
    """Each holds something that is no secret and has to be there."""
    for where, told in (
        ("stdout", b"EVALUATED"),
        ("stderr", b"HTTP 302"),
        ("data/raw/ORANGE", b"R189-Charges"),
        ("data/raw/SFR", b'"request"'),
        ("data/raw/AXIONE", b"Charge Month"),
        ("data/parquet/invoice_lines", b"INV-SFR-2024-02"),
        ("billing.invoice_lines", b"INV-SFR-2024-02"),
        ("billing.source_documents", b"/billing/b2b/v1/"),
        ("billing.reconciliation_summary", b"HTTP 302"),
        ("public.event_logs", b"HTTP 302"),
        ("public.runs", b"monthly_billing"),
        ("public.snapshots", b"load_partition"),
    ):
        assert any(name.startswith(where) and told in text for name, text in left), where
    assert not any(b"/oauth/v3/token" in text for name, text in left if name.startswith("data/raw"))


def test_what_of_the_hubs_reconciliation_is_not_compared_is_named_in_log_and_check(left: list[Text]) -> None:
    (events,) = (text.decode() for name, text in left if name == "public.event_logs")
    assert "not compared: http://127.0.0.1" in events
    assert "/v1/billing/reconciliation?period=2024-02&operatorCode=SFR: item " in events
    assert "first_unread" in events


def test_dropping_the_schema_and_rebuilding_without_network_gives_equal_tables(ran: Ran) -> None:
    place = ran.place.copy()
    before = place.stored()
    assert {row["source_type"] for row in before["invoices"]} == {"netwo", "orange_b2b", "r189_files"}
    with psycopg.connect(place.url) as connection:
        connection.execute("DROP SCHEMA billing CASCADE")
    shutil.rmtree(place.folder / "inbox")
    shutil.rmtree(place.folder / "data" / "parquet")
    # No key is set, and nobody listens where base_url points: whoever asks for anything fails.
    place.secrets.clear()
    assert place.run(MONTH, options=("--from-raw",)).errors == []
    after = place.stored()
    before = {name: [row for row in rows if not _of_the_failure(name, row)] for name, rows in before.items()}
    assert tables.changed(*(tables.but_for_the_folder(one, place.folder) for one in (before, after))) == {}
    assert tables.unlike_in_parquet(place.folder, after) == {}


def _of_the_failure(table: str, row: tables.Row) -> bool:
    """The later month was never collected, so that nothing makes it again; what was paid in it is in payments.csv."""
    told = table == "reconciliation_summary" or row.get("phase") == "reconcile"
    return told and row["period"] == LATER


def test_the_network_is_indeed_refused(ran: Ran) -> None:
    place = ran.place.copy()
    before = place.stored()
    ended = place.run(MONTH, options=("--operator", "SFR"), code=1)
    assert "connection refused" in ended.err
    assert tables.changed(before, place.stored()) == {}


def _planted_in_a_file(folder: Path) -> list[Text]:
    (folder / "notes.json").write_text(f'{{"url": "http://x/?key={PLANTED}"}}')
    return list(in_folder(folder))


def _planted_in_a_name(folder: Path) -> list[Text]:
    (folder / "canary%2Fplanted%2B5e0d.csv").touch()
    return list(in_folder(folder))


def _planted_in_a_gzip(folder: Path) -> list[Text]:
    (folder / "charges.csv.gz").write_bytes(gzip.compress(PLANTED.encode() * 40))
    return list(in_folder(folder))


def _planted_in_parquet(folder: Path) -> list[Text]:
    pq.write_table(
        pa.table({"location": [f"{PLANTED[:number]}" for number in range(len(PLANTED) + 1)] * 99}),
        folder / "data.parquet", compression="zstd", use_dictionary=False, write_statistics=False,
    )  # fmt: skip
    assert PLANTED.encode() not in (folder / "data.parquet").read_bytes(), "then a search of bytes would do"
    return list(in_folder(folder))


@pytest.mark.parametrize(
    "plant",
    [_planted_in_a_file, _planted_in_a_name, _planted_in_a_gzip, _planted_in_parquet],
    ids=lambda one: one.__name__,
)
def test_a_planted_secret_is_found_in_files(tmp_path: Path, plant: Callable[[Path], list[Text]]) -> None:
    texts = plant(tmp_path)
    assert leaks([PLANTED], texts)
    assert leaks(["canary-not-planted"], texts) == []


@pytest.mark.parametrize("kind", ["text", "jsonb", "bytea"])
def test_a_planted_secret_is_found_in_databases(ran: Ran, kind: str) -> None:
    place = ran.place.copy()
    value = {
        "text": f"Authorization: Bearer {PLANTED}", "jsonb": f'{{"headers": ["{PLANTED}"]}}',
        "bytea": zlib.compress(PLANTED.encode() * 9),
    }[kind]  # fmt: skip
    with psycopg.connect(place.url) as connection:
        connection.execute(f"CREATE TABLE billing.planted (value {kind})".encode())
        connection.execute("INSERT INTO billing.planted VALUES (%s)", (value,))
    assert leaks([PLANTED], in_database(place.url))


def test_a_secret_is_found_as_basic_authorization_sends_it() -> None:
    assert leaks([PLANTED], [("log", b"Authorization: Basic Y2FuYXJ5L3BsYW50ZWQrNWUwZA==")])
